import path from "node:path";
import { descending } from "d3-array";
import { counted } from "../../core/counted.ts";
import { printable } from "../printable.ts";
import { type ResultCheck, totalOf } from "./check-result.ts";
import { formatDifference } from "./check-text.ts";

/** A remark that a CI system shows beside a file. */
export interface Annotation {
  readonly title: string;
  readonly message: string;
  /** The baseline's file. */
  readonly file: string;
}

const mostAnnotations = 10;

/** One annotation for each router in each file that differs, those with the most differences first, at most ten. */
export function annotationsOf({ parts }: ResultCheck, baseline: string): Annotation[] {
  return parts
    .map((part) => ({ ...part, count: totalOf(part) }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => descending(a.count, b.count))
    .slice(0, mostAnnotations)
    .map(({ file, router, worst, count }) => ({
      title: router === null ? file : `${file}: ${printable(router)}`,
      message: `${counted(count, "difference")}${count === 1 ? "" : ", the worst"}: ${formatDifference(worst[0])}`,
      file: path.join(baseline, file),
    }));
}
