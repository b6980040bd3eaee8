import type { ReportData } from "./report-data.ts";

/** Says how many variants have no line, where there are more than are featured. */
export function leftOutNotes({ variants }: ReportData): string[] {
  const featured = variants.filter(({ isFeatured }) => isFeatured).length;
  if (featured === variants.length) return [];
  return [
    `The ${featured} best of ${variants.length} variants are shown, those on the Pareto front of regret and MaxVio first; ` +
      `${variants.length - featured} are left out.`,
  ];
}

/** Says that a picture shows one seed, where there are several. */
export function firstSeedNotes({ variants }: ReportData): string[] {
  return variants.some(({ members }) => members.length > 1) ? ["Of several seeds the first is shown."] : [];
}
