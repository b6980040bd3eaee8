import type { RunColumnName } from "../metrics/catalogue.ts";
import type { Interval } from "./interval.ts";
import type { Results } from "./results.ts";
import { metricOf, type Variant } from "./variants.ts";

/** The price of balance: the loss if the stream trains, otherwise regret. */
export interface Price {
  readonly name: "task loss" | "regret";
  /** One per variant; null if it was not computed. */
  readonly intervals: readonly (Interval | null)[];
}

/** Returns the price that `variants` of `results` pay, of the same kind for all, so that they can be compared. */
export function priceOf(results: Results, variants: readonly Variant[]): Price {
  const intervalsOf = (column: RunColumnName) => variants.map((variant) => metricOf(results, variant, column));
  const losses = intervalsOf("task_loss");
  if (losses.some((loss) => loss !== null)) return { name: "task loss", intervals: losses };
  return { name: "regret", intervals: intervalsOf("regret_mean") };
}
