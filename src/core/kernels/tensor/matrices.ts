import type { Tensor2D, Tensor3D } from "@tensorflow/tfjs-core";
import type { ScoreKind } from "../../assignment.ts";
import type { Tensors } from "../../platform.ts";

/** Rows that are summed in float32 before their sums are in float64. */
const blockRows = 64;

/** What stands for −∞: as good as it, and its differences are numbers. */
export const asGoodAsNegativeInfinity = -3e38;

/**
 * The first `rows` rows of the flat `values`, in a copy: a native backend is not given memory that threads share. −∞ becomes
 * {@link asGoodAsNegativeInfinity}.
 */
export function matrixOf({ tensor2d }: Tensors, values: Float32Array, rows: number, columns: number): Tensor2D {
  const entries = values.slice(0, rows * columns);
  for (let i = 0; i < entries.length; i++)
    if (entries[i] < asGoodAsNegativeInfinity) entries[i] = asGoodAsNegativeInfinity;
  return tensor2d(entries, [rows, columns]);
}

/** S of each row of `logits`. */
export function affinitiesOf(tensors: Tensors, logits: Tensor2D, kind: ScoreKind): Tensor2D {
  if (kind === "softmax") return tensors.softmax(logits);
  if (kind === "sigmoid") return tensors.sigmoid(logits);
  return kind === "sqrt-softplus" ? sqrtSoftplusOf(tensors, logits) : logits;
}

/**
 * √log(1 + e^z) = √(max(z, 0) + log(1 + w)) with w = e^−|z|; below 0 that is e^(z/2)·√(log(1 + w)/w), where w may underflow.
 */
function sqrtSoftplusOf(tensors: Tensors, logits: Tensor2D): Tensor2D {
  const { abs, add, div, exp, greater, log1p, maximum, mul, onesLike, sqrt, where } = tensors;
  const size = abs(logits);
  const w = exp(mul(size, -1));
  const logarithm = log1p(w);
  const above = sqrt<Tensor2D>(add(maximum(logits, 0), logarithm));
  const ratio = where(greater(w, 1e-30), div(logarithm, maximum(w, 1e-30)), onesLike(w));
  return where<Tensor2D>(greater(logits, 0), above, mul(exp(mul(size, -0.5)), sqrt(ratio)));
}

/**
 * Writes Σ_t or max_t of each column of `matrix` `[rows × columns]` into `out` `[columns]`. Sums of 64 rows are float32,
 * those of the blocks float64, so that the error of a sum of positive entries is below 64 · 2⁻²⁴ of it.
 */
export function reduceColumns(tensors: Tensors, reduction: "sum" | "max", matrix: Tensor2D, out: Float64Array): void {
  const { concat, reshape, slice } = tensors;
  const [rows, columns] = matrix.shape;
  const whole = rows - (rows % blockRows);
  const parts: Tensor3D[] = [];
  // Slices are copies, which a matrix of whole blocks does not need.
  if (whole > 0) {
    parts.push(reshape(whole === rows ? matrix : slice(matrix, 0, whole), [whole / blockRows, blockRows, columns]));
  }
  if (whole < rows) parts.push(reshape(slice(matrix, whole), [1, rows - whole, columns]));
  const reduced = concat(parts.map((part) => tensors[reduction](part, 1))).dataSync<"float32">();
  out.fill(reduction === "sum" ? 0 : Number.NEGATIVE_INFINITY, 0, columns);
  for (let i = 0; i < reduced.length; i++) {
    const column = i % columns;
    out[column] = reduction === "sum" ? out[column] + reduced[i] : Math.max(out[column], reduced[i]);
  }
}
