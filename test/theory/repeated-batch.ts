import { affinities, largestIndices, type Matrix, toMatrix } from "../support/plain.ts";
import { createRouterUnderTest } from "../support/router-under-test.ts";

export interface RepeatedStep {
  /** The bias with which the batch was routed. */
  readonly bias: Float64Array;
  /** `[tokens × topK]`. */
  readonly expert: Int32Array;
  /** `[tokens × topK]`, S of the chosen pairs. */
  readonly pairScore: Float64Array;
  readonly load: number[];
}

/** The deterministic setting: `alf-lb` on one and the same batch, with sigmoid affinities `scores`. */
export interface RepeatedRun {
  readonly scores: Matrix;
  readonly steps: RepeatedStep[];
}

export function repeatBatch(logits: Float32Array, experts: number, topK: number, steps: number, options: object) {
  const tokens = logits.length / experts;
  const scores = affinities(toMatrix(logits, tokens, experts), "sigmoid");
  const { router, route } = createRouterUnderTest("alf-lb", { tokens, experts, topK, capacityFactor: 1 }, { options });
  const run: RepeatedRun = { scores, steps: [] };
  for (let step = 0; step < steps; step++) {
    const bias = Float64Array.from((router.state() as { bias: number[] }).bias);
    const { expert, load } = route(logits);
    run.steps.push({
      bias,
      expert: Int32Array.from(expert.flat()),
      pairScore: Float64Array.from(expert.flatMap((row, token) => row.map((e) => scores[token][e]))),
      load,
    });
  }
  return run;
}

/** T·f(b) from its definition: a full sort of every row, no load. */
export function dualTimesTokens(scores: Matrix, bias: Float64Array, topK: number): number {
  let value = 0;
  for (const row of scores) {
    const key = row.map((score, e) => score + bias[e]);
    for (const e of largestIndices(key, topK)) value += key[e];
  }
  return value - ((scores.length * topK) / bias.length) * bias.reduce((sum, b) => sum + b, 0);
}
