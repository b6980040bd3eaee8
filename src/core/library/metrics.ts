/**
 * The metrics of a load, of a choice of experts, and of your own router, step by step.
 *
 * @module
 */
import { z } from "zod";
import { expertCapacity, type ScoreKind, scoreKinds } from "../assignment.ts";
import { InputError } from "../input-error.ts";
import { createKernels } from "../kernels/index.ts";
import { describeMetrics, type MetricDescription } from "../metrics/catalogue.ts";
import { createChurnMeter } from "../metrics/churn.ts";
import { loadPerRank as sumPerRank } from "../metrics/load.ts";
import { checked, copyLogits, rowsOf } from "./checked.ts";

export { idleFraction, loadCv, loadEntropy, loadGini, maxVio, minVio } from "../metrics/load.ts";
export { type Choice, createMeter, type Meter, type MeterSizes } from "./meter.ts";

/** Every metric, in the order of `moesim list metrics`, with range, definition, source, and the file that holds it. */
export function list(): readonly MetricDescription[] {
  return describeMetrics();
}

// A scenario also fits; it has other fields besides.
const capacitySizes = z.object({
  tokens: z.int().nonnegative(),
  experts: z.int().positive(),
  topK: z.int().positive(),
  capacityFactor: z.number().positive().default(1),
});

/**
 * Returns the pairs an expert may hold in a batch, ⌈capacityFactor · tokens · topK / experts⌉; the factor is > 0,
 * default 1. Throws `InputError` if the sizes are not valid.
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
 * Returns the affinities S `[tokens × experts]` of `logits`, flat and row-major, in float64: `softmax` of each row
 * (default), `sigmoid` or `sqrt-softplus` of each entry, or the `logits` themselves. Logits are rounded to float32 first;
 * −∞, and anything below −1e30, is a disabled expert with affinity 0, or −∞ for `logits`. Throws `InputError` for NaN and
 * +∞, and for other `scores`.
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
 * Returns the load `[experts]` of a choice of experts, −1 = none. Throws `InputError` if an entry is not an expert, or
 * if `experts` is not a positive integer.
 */
export function countLoad(chosen: ArrayLike<number>, experts: number): Int32Array {
  checked("metrics.countLoad: experts", z.int().positive(), experts);
  const load = new Int32Array(experts);
  for (let pair = 0; pair < chosen.length; pair++) {
    const expert = chosen[pair];
    if (expert === -1) continue;
    if (!(Number.isInteger(expert) && expert >= 0 && expert < experts)) {
      throw new InputError(`entry ${pair}: ${expert} is not an expert; expected 0 to ${experts - 1}, or −1 for none`);
    }
    load[expert] += 1;
  }
  return load;
}

/**
 * Returns the load `[experts]` summed over `ranks` contiguous groups of experts, the first of which hold one expert more if
 * `ranks` does not divide the experts. Throws `InputError` if `ranks` is not an integer from 1 to the experts.
 */
export function loadPerRank(load: ArrayLike<number>, ranks: number): Float64Array {
  if (!(Number.isInteger(ranks) && ranks > 0 && ranks <= load.length)) {
    throw new InputError(`ranks: ${ranks} is not allowed. Allowed: 1 to ${load.length}.`);
  }
  return sumPerRank(load, ranks, new Float64Array(ranks));
}

/**
 * Returns the fraction of pairs that differ between two choices `[tokens × topK]` of the same tokens, in any order
 * within a token; in [0, 1]. Slots with −1 count as differing unless both leave them empty. Throws `InputError` if the lengths differ or an entry is
 * not an expert.
 */
export function churn(
  chosen: ArrayLike<number>,
  reference: ArrayLike<number>,
  { experts, topK }: { readonly experts: number; readonly topK: number },
): number {
  const tokens = rowsOf("chosen", chosen, topK);
  if (reference.length !== chosen.length) {
    throw new InputError(`reference: ${reference.length} entries; expected ${chosen.length}, as many as in chosen`);
  }
  countLoad(chosen, experts);
  countLoad(reference, experts);
  return createChurnMeter(experts).measure(Int32Array.from(chosen), topK, Int32Array.from(reference), topK, tokens);
}
