import path from "node:path";
import type { Results } from "../results/results.ts";
import { readStepSeries, type StepSeries } from "../results/step-series.ts";
import { type Variant, variantsOf } from "../results/variants.ts";

/** The columns of steps.csv that pictures show. */
const stepColumns = ["max_vio"] as const;
export type PicturedColumn = (typeof stepColumns)[number];

/** A variant with what it did step by step. */
export interface VariantData extends Variant {
  /** Its place among the variants, which decides its colour. */
  readonly position: number;
  /** One a seed, where steps.csv is there. */
  readonly series: readonly StepSeries[];
}

/** Everything pictures are made from. */
export interface ReportData {
  readonly results: Results;
  readonly variants: readonly VariantData[];
}

/** Reads the files of `results` that pictures need. Throws `InputError` where one is malformed. */
export async function readReportData(results: Results): Promise<ReportData> {
  const byRun = new Map<string, ReadonlyMap<string, StepSeries>>();
  for (const { folder } of results.runs) {
    byRun.set(folder, await readStepSeries(path.join(folder, "steps.csv"), stepColumns));
  }
  const variants = variantsOf(results).map((variant, position) => ({
    ...variant,
    position,
    series: variant.members.flatMap(({ run }) => byRun.get(run.folder)!.get(variant.router) ?? []),
  }));
  return { results, variants };
}
