import { max, min } from "d3-array";
import type { RunColumnName } from "../../metrics/catalogue.ts";
import { metricOf } from "../../results/variants.ts";
import { listed } from "../../words.ts";
import type { ReportData } from "./report-data.ts";
import { drawnName, inWords } from "./text.ts";

/** Of names that share a value, how many parts the list of them may have. */
const mostNames = 3;

/** A variant and what is said of it. */
export interface NamedValue {
  readonly name: string;
  readonly value: number;
}

/** A sentence that says for whom of `values` `subject` is lowest and highest, or that it is not known. */
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

/** The means of a column of summary.csv, of all variants that have one. */
export function namedMetric({ results, variants }: ReportData, column: RunColumnName): NamedValue[] {
  return variants.flatMap((variant) => {
    const metric = metricOf(results, variant, column);
    return metric === null ? [] : [{ name: drawnName(variant.name), value: metric.mean }];
  });
}
