import type { RunColumnName } from "../metrics/catalogue.ts";
import type { Interval } from "./interval.ts";
import type { Results } from "./results.ts";
import { metricOf, type Variant } from "./variants.ts";

/** What balance is paid for with: the loss where the stream trains, regret elsewhere. */
export interface Price {
  readonly name: "task loss" | "regret";
  /** Of each variant; null where it was not computed. */
  readonly intervals: readonly (Interval | null)[];
}

/** The price that `variants` of `results` pay, the same for all, so that they can be compared. */
export function priceOf(results: Results, variants: readonly Variant[]): Price {
  const intervalsOf = (column: RunColumnName) => variants.map((variant) => metricOf(results, variant, column));
  const losses = intervalsOf("task_loss");
  if (losses.some((loss) => loss !== null)) return { name: "task loss", intervals: losses };
  return { name: "regret", intervals: intervalsOf("regret_mean") };
}
