import type { Tensor2D } from "@tensorflow/tfjs-core";
import type { Tensors } from "../../platform.ts";
import { matrixOf } from "./matrices.ts";

/** Numbers as the sums of two float32 ones: 48 bits where one has 24. A row for a whole matrix, or an entry for each of it. */
export interface TwoFloats {
  readonly high: Tensor2D;
  readonly low: Tensor2D;
}

/** The first rows · columns of `values`, times `scale`. */
export function twoFloats(tensors: Tensors, values: Float64Array, rows: number, columns: number, scale = 1): TwoFloats {
  const scaled = values.slice(0, rows * columns).map((value) => scale * value);
  const high = Float32Array.from(scaled);
  const low = Float32Array.from(scaled, (value, i) => value - high[i]);
  return { high: matrixOf(tensors, high, rows, columns), low: matrixOf(tensors, low, rows, columns) };
}

/**
 * What is below the largest of each row, in units of `unit`: the exponents of an entropic plan with logits Z as `values`,
 * ε as `unit` and ε·g as `offset`.
 *
 *     (values[t, e] + offset[e]) / unit  =  shift_t / unit + exponent_te,   shift_t the row's largest sum in float32
 *
 * Offsets that make up for the range of the logits make both terms of an exponent as large as 1e7, at |Z| ≤ 1e4 and
 * ε ≥ 1e-3, where float32 counts in ones. What the rounding of their sum leaves out is kept (Knuth's two-sum), so that an
 * exponent x has an error of 4 · 2⁻²⁴·|x| and of 2⁻⁴⁷·max|Z|/ε.
 */
export function exponentsOf(
  { add, sub, div, max }: Tensors,
  values: Tensor2D,
  offset: TwoFloats,
  unit: number,
): { shift: Tensor2D; exponent: Tensor2D } {
  const sum = add<Tensor2D>(values, offset.high);
  const added = sub<Tensor2D>(sum, values);
  const leftOut = add<Tensor2D>(sub(values, sub(sum, added)), sub(offset.high, added));
  const shift = max<Tensor2D>(sum, 1, true);
  return { shift, exponent: div(add(sub(sum, shift), add(leftOut, offset.low)), unit) };
}
