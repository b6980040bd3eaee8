import { affinities, countLoad, largestIndices, type Matrix, toMatrix } from "../support/plain.ts";
import { createRouterUnderTest } from "../support/router-under-test.ts";

/** The affinities of every step of a stream. */
export type Steps = Matrix[];

export function sigmoidSteps(batches: Float32Array[], experts: number): Steps {
  return batches.map((logits) => affinities(toMatrix(logits, logits.length / experts, experts), "sigmoid"));
}

/** f(b) of one batch and its gradient (A − L)/T, from the definition. */
export function dualOf(scores: Matrix, bias: readonly number[], topK: number): { value: number; gradient: number[] } {
  const chosen = scores.map((row) =>
    largestIndices(
      row.map((score, e) => score + bias[e]),
      topK,
    ),
  );
  const share = topK / bias.length;
  const total = chosen.reduce(
    (sum, experts, t) => sum + experts.reduce((best, e) => best + scores[t][e] + bias[e], 0),
    0,
  );
  return {
    value: total / scores.length - share * bias.reduce((sum, b) => sum + b, 0),
    gradient: countLoad(chosen, bias.length).map((pairs) => pairs / scores.length - share),
  };
}

/** A minimiser of Σ f_n by gradient steps, halved where the gradient grows, until its norm is below 1e-3. */
export function bestFixedBias(steps: Steps, topK: number): number[] {
  const all = steps.flat();
  const norm = (vector: number[]) => Math.hypot(...vector);
  let bias = new Array<number>(all[0].length).fill(0);
  let { gradient } = dualOf(all, bias, topK);
  for (let rate = 0.5; norm(gradient) > 1e-3 && rate > 1e-4; ) {
    const nextBias = bias.map((value, e) => value - rate * gradient[e]);
    const next = dualOf(all, nextBias, topK).gradient;
    if (norm(next) < norm(gradient)) [bias, gradient] = [nextBias, next];
    else rate /= 2;
  }
  return bias;
}

export interface OnlineRun {
  /** `[steps]`, Σ f_i(b_i) − f_i(b*) up to each step. */
  readonly regret: number[];
  /** `[steps]`, |g_n|² of each step. */
  readonly squares: number[];
  /** `[steps]`, the bias with which each step was routed. */
  readonly biases: number[][];
}

/** Routes the batches by `alf-lb`, proportional, and compares with the fixed bias `best`. */
export function runOnline(
  batches: Float32Array[],
  steps: Steps,
  best: number[],
  topK: number,
  options: object,
): OnlineRun {
  const experts = best.length;
  const shape = { tokens: steps[0].length, experts, topK, capacityFactor: 1 };
  const { router, route } = createRouterUnderTest("alf-lb", shape, {
    options: { updateRule: "proportional", ...options },
  });
  let total = 0;
  const squares: number[] = [];
  const biases: number[][] = [];
  const regret = batches.map((logits, step) => {
    const { bias } = router.state() as { bias: number[] };
    biases.push(bias);
    route(logits);
    const { value, gradient } = dualOf(steps[step], bias, topK);
    squares.push(gradient.reduce((sum, entry) => sum + entry ** 2, 0));
    total += value - dualOf(steps[step], best, topK).value;
    return total;
  });
  return { regret, squares, biases };
}
