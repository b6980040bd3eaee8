import type { ReportData } from "./report-data.ts";

/** Says how many variants have no line, if there are more than are featured. */
export function leftOutNotes({ variants }: ReportData): string[] {
  const featured = variants.filter(({ isFeatured }) => isFeatured).length;
  if (featured === variants.length) return [];
  return [
    `The ${featured} best of ${variants.length} variants are shown, those on the Pareto front of regret and MaxVio first; ` +
      `${variants.length - featured} are left out.`,
  ];
}

/** Returns `subject`, which begins with "The", limited to what a picture shows: some variants, or one seed. */
export function subjectShown(subject: string, { variants }: ReportData, shownSeeds: "first" | "all"): string {
  const featured = variants.filter(({ isFeatured }) => isFeatured).length;
  const shown = featured === variants.length ? null : `the ${featured} variants shown`;
  const seed = shownSeeds === "first" && variants.some(({ members }) => members.length > 1) ? "the first seed" : null;
  if (shown === null && seed === null) return subject;
  return `For ${[seed, shown].filter((part) => part !== null).join(" of ")}, ${subject.replace("The", "the")}`;
}

/** Says that a picture shows one seed, if there are several. */
export function firstSeedNotes({ variants }: ReportData): string[] {
  return variants.some(({ members }) => members.length > 1) ? ["Only the first seed is shown."] : [];
}
