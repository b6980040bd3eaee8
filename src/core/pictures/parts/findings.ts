import { max, min } from "d3-array";
import type { RunColumnName } from "../../metrics/catalogue.ts";
import { metricOf } from "../../results/variants.ts";
import { listed } from "../../words.ts";
import type { ReportData } from "./report-data.ts";
import { drawnName, inWords } from "./text.ts";

/** Maximum number of parts in a list of names that share a value. */
const mostNames = 3;

/** A variant and its value. */
export interface NamedValue {
  readonly name: string;
  readonly value: number;
}

/** Returns a sentence that says for whom `subject` is lowest and highest among `values`, or that it is not known. */
export function rangeSentence(subject: string, values: readonly NamedValue[]): string {
  if (values.length === 0) return `${subject} is not known.`;
  const [lowest, highest] = [min(values, ({ value }) => value)!, max(values, ({ value }) => value)!];
  if (values.length === 1) return `${subject} is ${inWords(lowest)} for ${values[0].name}.`;
  if (lowest === highest) return `${subject} is ${inWords(lowest)} for all.`;
  return `${subject} is lowest for ${namesOf(values, lowest)} and highest for ${namesOf(values, highest)}.`;
}

function namesOf(values: readonly NamedValue[], value: number): string {
  const names = values.filter((one) => one.value === value).map(({ name }) => name);
  return `${listed(names, mostNames)} (${inWords(value)})`;
}

/** Returns the means of a column of summary.csv, for all variants that have one. */
export function namedMetric({ results, variants }: ReportData, column: RunColumnName): NamedValue[] {
  return variants.flatMap((variant) => {
    const metric = metricOf(results, variant, column);
    return metric === null ? [] : [{ name: drawnName(variant.name), value: metric.mean }];
  });
}

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
