import type { ScoreKind } from "../../src/core/assignment.ts";

/** Rows of numbers: the plain float64 form in which the tests' own references compute. */
export type Matrix = number[][];

/** `flat` `[rows × columns]` as rows; entries after them are ignored. */
export function toMatrix(flat: ArrayLike<number>, rows: number, columns: number): Matrix {
  return Array.from({ length: rows }, (_, row) =>
    Array.from({ length: columns }, (_, column) => flat[row * columns + column]),
  );
}

export function softmax(row: readonly number[]): number[] {
  const largest = Math.max(...row);
  const weights = row.map((value) => Math.exp(value - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

export function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}

/** √log(1 + e^z); where e^z underflows the logarithm is e^z itself. */
export function sqrtSoftplus(value: number): number {
  return value < -40 ? Math.exp(value / 2) : Math.sqrt(Math.max(value, 0) + Math.log1p(Math.exp(-Math.abs(value))));
}

/** S of one row. */
export function affinitiesOfRow(row: readonly number[], scores: ScoreKind): number[] {
  if (scores === "softmax") return Math.max(...row) === -Infinity ? row.map(() => 0) : softmax(row);
  if (scores === "logits") return [...row];
  return row.map(scores === "sigmoid" ? sigmoid : sqrtSoftplus);
}

/** S of each row of `logits`. */
export function affinities(logits: Matrix, scores: ScoreKind): Matrix {
  return logits.map((row) => affinitiesOfRow(row, scores));
}

/** The order of a full sort: descending value, then ascending index. */
export function byValue(values: readonly number[]): (left: number, right: number) => number {
  return (left, right) => (values[left] === values[right] ? left - right : values[right] > values[left] ? 1 : -1);
}

/** The indices of the `count` largest values, ties to the lower index. */
export function largestIndices(values: readonly number[], count: number): number[] {
  return values
    .map((_, index) => index)
    .sort(byValue(values))
    .slice(0, count);
}

/**
 * The `count` enabled experts of a row with the largest S + bias, by a full sort, ties to the lower index. The experts among
 * them that have equal biases too share their places by their logits.
 */
export function bestExperts(
  row: readonly number[],
  scores: ScoreKind,
  bias: readonly number[],
  count: number,
  isCandidate: (expert: number) => boolean = () => true,
): number[] {
  const keys = affinitiesOfRow(row, scores).map((affinity, e) => affinity + bias[e]);
  const order = [...row.keys()].filter((e) => row[e] !== -Infinity && isCandidate(e)).sort(byValue(keys));
  const classes = new Map<string, number[]>();
  order.forEach((e, place) => {
    const name = `${keys[e] + 0} ${bias[e] + 0}`;
    classes.set(name, [...(classes.get(name) ?? []), place]);
  });
  const best = [...order];
  for (const places of classes.values()) {
    const members = places.map((place) => order[place]).sort(byValue(row));
    places.forEach((place, i) => {
      best[place] = members[i];
    });
  }
  return best.slice(0, count);
}

/** How often each expert occurs in `chosen`; −1 is no expert. */
export function countLoad(chosen: Matrix, experts: number): number[] {
  const load = new Array<number>(experts).fill(0);
  for (const expert of chosen.flat()) if (expert >= 0) load[expert] += 1;
  return load;
}

/** `values` divided by their sum. */
export function normalised(values: readonly number[]): number[] {
  const total = values.reduce((sum, value) => sum + value, 0);
  return values.map((value) => value / total);
}

/** The largest absolute difference between two matrices of one shape. */
export function largestDifference(left: Matrix, right: Matrix): number {
  let largest = 0;
  left.forEach((row, r) => {
    row.forEach((value, c) => {
      largest = Math.max(largest, Math.abs(value - right[r][c]));
    });
  });
  return largest;
}

/**
 * Sinkhorn's algorithm as textbooks write it: the dense kernel exp(Z/ε), `sweeps` alternations of column and row
 * scaling, begun and ended with rows. Only for logits whose exponentials float64 can hold.
 */
export function plainSinkhorn(logits: Matrix, epsilon: number, sweeps: number): Matrix {
  const experts = logits[0].length;
  let plan = logits.map((row) => normalised(row.map((logit) => Math.exp(logit / epsilon))));
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const columnSum = Array.from({ length: experts }, (_, e) => plan.reduce((sum, row) => sum + row[e], 0));
    plan = plan.map((row) => normalised(row.map((mass, e) => (mass * logits.length) / experts / columnSum[e])));
  }
  return plan;
}

/** ‖Pᵀ1 − T/E‖₁ / T. */
export function columnError(plan: Matrix): number {
  const experts = plan[0].length;
  let error = 0;
  for (let e = 0; e < experts; e++) {
    error += Math.abs(plan.reduce((sum, row) => sum + row[e], 0) - plan.length / experts);
  }
  return error / plan.length;
}
