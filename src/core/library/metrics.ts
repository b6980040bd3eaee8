/**
 * The metrics: of a load, of a choice of experts, and of one's own router, step after step.
 *
 * @module
 */
import { z } from "zod";
import { expertCapacity, type ScoreKind, scoreKinds } from "../assignment.ts";
import { InputError } from "../input-error.ts";
import { createKernels } from "../kernels/index.ts";
import { type MetricDescription, metricDescriptions } from "../metrics/catalogue.ts";
import { createChurnMeter } from "../metrics/churn.ts";
import { loadPerRank as sumPerRank } from "../metrics/load.ts";
import { checked, copyLogits, rowsOf } from "./checked.ts";

export { idleFraction, loadCv, loadEntropy, loadGini, maxVio, minVio } from "../metrics/load.ts";
export { type Choice, createMeter, type Meter, type MeterSizes } from "./meter.ts";

/** Every metric, in the order of `moesim list metrics`: its range, definition, source, and where it is written. */
export function list(): readonly MetricDescription[] {
  return metricDescriptions;
}

// A scenario will do, which has other fields besides.
const capacitySizes = z.object({
  tokens: z.int().nonnegative(),
  experts: z.int().positive(),
  topK: z.int().positive(),
  capacityFactor: z.number().min(1).default(1),
});

/**
 * The pairs an expert may hold in a batch, ⌈capacityFactor · tokens · topK / experts⌉; the factor is at least 1, and 1 by
 * default. Throws `InputError` for sizes that are none.
 */
export function capacity(sizes: {
  readonly tokens: number;
  readonly experts: number;
  readonly topK: number;
  readonly capacityFactor?: number | undefined;
}): number {
  const known = checked("metrics.capacity", capacitySizes, sizes);
  return expertCapacity(known.tokens, known);
}

/**
 * The affinities S `[tokens × experts]` of `logits`, flat and row-major, in float64: `softmax` of each row (default),
 * `sigmoid` or `sqrt-softplus` of each entry, or the `logits` themselves. Logits are rounded to float32 first; −∞, and
 * anything below −1e30, is a disabled expert with the affinity 0, −∞ among logits. Throws `InputError` for NaN and +∞, and
 * for other `scores`.
 */
export function affinities(logits: ArrayLike<number>, experts: number, scores: ScoreKind = "softmax"): Float64Array {
  checked("metrics.affinities: scores", z.enum(scoreKinds), scores);
  const tokens = rowsOf("logits", logits, experts);
  const kernels = createKernels();
  const own = kernels.allocateFloat32(logits.length);
  copyLogits("logits", logits, experts, own);
  const result = kernels.allocateFloat64(logits.length);
  kernels.affinities(own, scores, tokens, experts, result);
  return result.slice();
}

/**
 * The load `[experts]` of a choice of experts, −1 = none. Throws `InputError` where an entry is no expert, and where
 * `experts` is no positive integer.
 */
export function countLoad(chosen: ArrayLike<number>, experts: number): Int32Array {
  checked("metrics.countLoad: experts", z.int().positive(), experts);
  const load = new Int32Array(experts);
  for (let pair = 0; pair < chosen.length; pair++) {
    const expert = chosen[pair];
    if (expert === -1) continue;
    if (!(Number.isInteger(expert) && expert >= 0 && expert < experts)) {
      throw new InputError(`entry ${pair}: ${expert} is no expert; 0 to ${experts - 1}, and −1 for none, are allowed`);
    }
    load[expert] += 1;
  }
  return load;
}

/**
 * The load `[experts]` summed over `ranks` equal contiguous groups of experts. Throws `InputError` where `ranks` does not
 * divide the experts.
 */
export function loadPerRank(load: ArrayLike<number>, ranks: number): Float64Array {
  if (!(Number.isInteger(ranks) && ranks > 0 && load.length % ranks === 0)) {
    throw new InputError(`ranks: ${ranks} does not divide the ${load.length} experts`);
  }
  return sumPerRank(load, ranks, new Float64Array(ranks));
}

/**
 * Fraction of pairs that differ between two choices `[tokens × topK]` of the same tokens, in any order within a token;
 * in [0, 1]. Slots with −1 count as differing. Throws `InputError` where the two differ in length or an entry is no expert.
 */
export function churn(
  chosen: ArrayLike<number>,
  reference: ArrayLike<number>,
  { experts, topK }: { readonly experts: number; readonly topK: number },
): number {
  const tokens = rowsOf("chosen", chosen, topK);
  if (reference.length !== chosen.length) {
    throw new InputError(
      `reference: ${reference.length} entries, ${chosen.length} are expected, as many as chosen has`,
    );
  }
  countLoad(chosen, experts);
  countLoad(reference, experts);
  return createChurnMeter(experts).measure(Int32Array.from(chosen), topK, Int32Array.from(reference), topK, tokens);
}
