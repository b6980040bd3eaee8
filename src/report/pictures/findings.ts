import { ascending } from "d3-array";
import { metricOf } from "../results/variants.ts";
import type { ReportData } from "./report-data.ts";
import { drawnName, inWords } from "./text.ts";

/** A variant and what is said of it. */
export interface NamedValue {
  readonly name: string;
  readonly value: number;
}

/** A sentence that says for whom of `values` (not empty) `subject` is lowest and highest. */
export function rangeSentence(subject: string, values: readonly NamedValue[]): string {
  const ranked = values.toSorted((a, b) => ascending(a.value, b.value));
  const [lowest, highest] = [ranked[0], ranked[ranked.length - 1]];
  if (values.length === 1) return `${subject} is ${inWords(lowest.value)} for ${lowest.name}.`;
  if (lowest.value === highest.value) return `${subject} is ${inWords(lowest.value)} for all.`;
  return `${subject} is lowest for ${lowest.name} (${inWords(lowest.value)}) and highest for ${highest.name} (${inWords(highest.value)}).`;
}

/** The means of a column of summary.csv, of all variants that have one. */
export function namedMetric({ results, variants }: ReportData, column: string): NamedValue[] {
  return variants.flatMap((variant) => {
    const metric = metricOf(results, variant, column);
    return metric === null ? [] : [{ name: drawnName(variant.name), value: metric.mean }];
  });
}
