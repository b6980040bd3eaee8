import { z } from "zod";
import { createEntropicSolver, entropicFields } from "../transport/entropic/entropic.ts";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createPlanSelection } from "./parts/plan-selection.ts";
import { createScoreGates, scoreGateFields } from "./parts/score-gates.ts";
import { emptyStateSchema } from "./parts/shared-options.ts";
import { defineRouterKind } from "./router.ts";

const sinkhornOptions = z.strictObject({
  ...entropicFields({ epsilon: 1, unit: "the logits", maxIterations: 100 }),
  ...scoreGateFields(true),
});

/**
 * Balanced routing by entropic optimal transport on every batch:
 *
 *     P        = argmax ⟨Z, P⟩ + ε·H(P) with rows 1 and columns T/E     (see `entropic.ts`)
 *     expert_t = the K largest of P_t
 *     gate_t   = S_t[expert_t], divided by its sum when `renormalize`, times `gateScale`
 */
export const sinkhornKind = defineRouterKind({
  kind: "sinkhorn",
  summary: "K largest of each row of the entropic transport plan, on every step",
  source: "Clark et al. 2022 (S-BASE), arXiv 2202.01169, section 3.1; Cuturi 2013, arXiv 1306.0895",
  options: sinkhornOptions,
  relativeCost: 8,
  plan: "entropic",
  create({ shape, scores, kernels }, options) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, gate, load } = assignment;
    const gates = createScoreGates(kernels, experts, scores, options);
    const transport = createEntropicSolver(kernels, shape.tokens, experts, options);
    const selection = createPlanSelection(kernels, shape, options.epsilon);
    return {
      route(batch) {
        const solution = transport.solve(batch);
        const { iterations, marginalError, converged } = solution;
        selection.select(batch, solution, expert, load, gate);
        gates.write(batch, assignment);
        return { assignment, solver: { iterations, marginalError, converged } };
      },
      /** Plain top-k of S, as S-BASE does at test time: the plan depends on the other tokens. */
      routeAtInference(batch) {
        kernels.selectTopK(batch.logits, scores, null, batch.tokens, experts, topK, expert, load);
        gates.write(batch, assignment);
        return assignment;
      },
      backward(batch, gateGradient, logitGradient) {
        gates.addGradient(batch, assignment, gateGradient, logitGradient);
      },
      writePlan: transport.writePlan,
      state: () => ({}),
      restore: (state) => {
        emptyStateSchema.parse(state);
      },
    };
  },
});
