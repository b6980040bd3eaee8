import { z } from "zod";
import { batchCapacity, excludeDisabled } from "../token-batch.ts";
import { createAssignmentSolver, mostAssignmentExperts } from "../transport/assignment/exact-assignment.ts";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createScoreGates, scoreGateFields } from "./parts/score-gates.ts";
import { defineRouterKind } from "./router.ts";

const baseOptions = z.strictObject({
  gap: z
    .number()
    .nonnegative()
    .default(0)
    .describe("Stop when the score is proven to be this near to the best, per pair; 0 for the best itself."),
  ...scoreGateFields(false),
});

const baseState = z.strictObject({ price: z.array(z.number().nonnegative()) });

/**
 * Balanced assignment of experts, with K experts for each token:
 *
 *     x      = argmax Σ S·x over x ∈ {0, 1} with Σ_e x_te ≤ K and Σ_t x_te ≤ C      (see `exact-assignment.ts`)
 *     gate_t = S_t[expert_t], divided by its sum when `renormalize`, times `gateScale`
 *
 * A token's experts are in descending order of S, ties to the lower index. A slot stays empty (−1) only if filling it
 * would cost other tokens more than it gains: if the token already has every expert with room, another token would have to
 * move. Disabled experts and negative affinities, which only `scores: logits` has, are never assigned. The state is the
 * prices, from which the search for the next batch starts.
 */
export const baseKind = defineRouterKind({
  kind: "base",
  summary: "the assignment with the highest total affinity among those with every load within the capacity",
  source: "Lewis et al. 2021 (BASE), arXiv 2103.16716, section 3.1",
  options: baseOptions,
  optimumGap: ({ gap }) => gap,
  relativeCost: 150,
  check: (_, { experts }) =>
    experts <= mostAssignmentExperts
      ? []
      : [{ path: ["kind"], message: `"base" takes at most ${mostAssignmentExperts} experts, not ${experts}.` }],
  create({ shape, scores: scoreKind, kernels }, options) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, load } = assignment;
    const gates = createScoreGates(kernels, experts, scoreKind, options);
    const scores = kernels.allocateFloat64(shape.tokens * experts);
    const solver = createAssignmentSolver(kernels, shape.tokens, experts, topK, options);
    return {
      route(batch) {
        const { logits, tokens } = batch;
        kernels.affinities(logits, scoreKind, tokens, experts, scores);
        excludeDisabled(batch, scores);
        const solution = solver.solve({ scores, tokens, capacity: batchCapacity(batch, shape) });
        load.set(solution.load);
        for (let token = 0; token < tokens; token++) {
          const row = token * experts;
          for (let slot = token * topK; slot < (token + 1) * topK; slot++) {
            const e = solution.expert[slot];
            let place = slot;
            for (; place > token * topK && precedes(scores, row, e, expert[place - 1]); place--) {
              expert[place] = expert[place - 1];
            }
            expert[place] = e;
          }
        }
        gates.write(batch, assignment);
        return { assignment, optimum: { value: solution.value, upperBound: solution.upperBound } };
      },
      /** Plain top-k of S, as BASE does at test time: the optimum depends on the other tokens. */
      routeAtInference(batch) {
        kernels.selectTopK(batch.logits, scoreKind, null, batch.tokens, experts, topK, expert, load);
        gates.write(batch, assignment);
        return assignment;
      },
      backward(batch, gateGradient, logitGradient) {
        gates.addGradient(batch, assignment, gateGradient, logitGradient);
      },
      state: () => ({ price: Array.from(solver.price) }),
      restore(state) {
        const { price } = baseState.parse(state);
        if (price.length !== experts) {
          throw new RangeError(`The saved prices are of ${price.length} experts, this router has ${experts}.`);
        }
        solver.price.set(price);
      },
    };
  },
});

/** Whether expert a comes before b in a token's slots; −1, no expert, comes last. */
function precedes(scores: Float64Array, row: number, a: number, b: number): boolean {
  if (a < 0 || b < 0) return b < 0 && a >= 0;
  return scores[row + a] > scores[row + b] || (scores[row + a] === scores[row + b] && a < b);
}
