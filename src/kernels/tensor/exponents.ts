import type { Tensor2D } from "@tensorflow/tfjs-core";
import type { Tensors } from "../../tensors/load.ts";
import { rowOf } from "./matrices.ts";

/** Numbers as the sums of two float32 ones: 48 bits where one has 24. A row of a matrix, or an entry for each of it. */
export interface TwoFloats {
  readonly high: Tensor2D;
  readonly low: Tensor2D;
}

/** The first `experts` of `values`, times `scale`. */
export function twoFloats(tensors: Tensors, values: Float64Array, experts: number, scale = 1): TwoFloats {
  const scaled = Array.from(values.subarray(0, experts), (value) => scale * value);
  return {
    high: rowOf(tensors, scaled, experts),
    low: rowOf(
      tensors,
      scaled.map((value) => value - Math.fround(value)),
      experts,
    ),
  };
}

/**
 * The exponents of an entropic plan, in two parts, f_e = ε·g_e an offset per column:
 *
 *     (logits[t, e] + f_e)/ε  =  shift_t/ε + exponent_te
 *
 * shift_t is the row's largest logits[t, e] + f_e in float32. With offsets that make up for the range of the logits both
 * terms are up to 1e7 at |Z| ≤ 1e4 and ε ≥ 1e-3, where float32 counts in ones. What the rounding of their sum leaves out
 * is kept (Knuth's two-sum), so that an exponent x has an error of 4 · 2⁻²⁴·|x| and of 2⁻⁴⁷·max|Z|/ε.
 */
export function exponentsOf(
  { add, sub, div, max }: Tensors,
  logits: Tensor2D,
  { high, low }: TwoFloats,
  epsilon: number,
): { shift: Tensor2D; exponent: Tensor2D } {
  const sum = add<Tensor2D>(logits, high);
  const added = sub<Tensor2D>(sum, logits);
  const leftOut = add<Tensor2D>(sub(logits, sub(sum, added)), sub(high, added));
  const shift = max<Tensor2D>(sum, 1, true);
  return { shift, exponent: div(add(sub(sum, shift), add(leftOut, low)), epsilon) };
}
