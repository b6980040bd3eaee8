import type { ScoreKind } from "../../src/core/assignment.ts";
import { affinities, countLoad, largestIndices, type Matrix } from "./plain.ts";

export interface AlfLbTwinOptions {
  readonly updateRule: "sign" | "proportional";
  readonly updateRate: number;
  readonly schedule: "constant" | "inverse-sqrt" | "inverse";
  readonly center: boolean;
  readonly updateEvery: number;
}

/** The step sizes u_n of the three schedules. */
const stepSize = {
  constant: (rate: number) => rate,
  "inverse-sqrt": (rate: number, n: number) => rate / Math.sqrt(n),
  inverse: (rate: number, n: number) => rate / n,
};

/**
 * Auxiliary-loss-free balancing over whole batches, written from the formulas: the history of loads is kept and every
 * update reads the part of it that it is about. Returns the bias after each batch and each batch's choice, made by
 * `select`, plain top-k of S + b unless told otherwise.
 */
export function alfLbTwin(
  batches: Matrix[],
  scores: ScoreKind,
  topK: number,
  options: AlfLbTwinOptions,
  select: (key: number[]) => number[] = (key) => largestIndices(key, topK),
): { chosen: Matrix[]; bias: Matrix } {
  const experts = batches[0][0].length;
  const history: { load: number[]; tokens: number }[] = [];
  const chosen: Matrix[] = [];
  const biases: Matrix = [];
  let bias = new Array<number>(experts).fill(0);
  for (const batch of batches) {
    const before = bias;
    const choice = affinities(batch, scores).map((row) => select(row.map((affinity, e) => affinity + before[e])));
    chosen.push(choice);
    history.push({ load: countLoad(choice, experts), tokens: batch.length });
    if (history.length % options.updateEvery === 0) {
      const recent = history.slice(-options.updateEvery);
      const tokens = recent.reduce((sum, step) => sum + step.tokens, 0);
      const rate = stepSize[options.schedule](options.updateRate, history.length / options.updateEvery);
      bias = bias.map((value, e) => {
        const missing = (tokens * topK) / experts - recent.reduce((sum, step) => sum + step.load[e], 0);
        return value + rate * (options.updateRule === "sign" ? Math.sign(missing) : missing / tokens);
      });
      if (options.center) {
        const mean = bias.reduce((sum, value) => sum + value, 0) / experts;
        bias = bias.map((value) => value - mean);
      }
    }
    biases.push(bias);
  }
  return { chosen, bias: biases };
}
