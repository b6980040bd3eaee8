import { z } from "zod";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createScoreGates, scoreGateFields } from "./parts/score-gates.ts";
import { createScoreGradient } from "./parts/score-gradient.ts";
import { defineRouterKind } from "./router.ts";

const auxLossOptions = z.strictObject({
  coefficient: z.number().nonnegative().default(0.01).describe("Weight α of the load-balancing loss."),
  learningRate: z
    .number()
    .nonnegative()
    .default(10)
    .describe("Step size of the offsets, in logits per unit of gradient; without effect where a gate is trained."),
  ...scoreGateFields(true),
});

const auxLossState = z.strictObject({ offset: z.array(z.number()) });

/**
 * Top-k balanced by the Switch auxiliary loss. A simulator has no weights to train, so the loss moves what its gradient
 * can reach here: one additive logit offset o_e per expert, zero at first.
 *
 *     Z'_t     = Z_t + o
 *     expert_t = the K largest of Z'_t
 *     gate_t   = affinities of Z'_t at expert_t, divided by their sum when `renormalize`, times `gateScale`
 *     o        = o − learningRate · ∂(coefficient · E · Σ_e f_e·p_e)/∂o, after the batch was routed
 *
 * f_e = A_e / Σ A is the share of the batch's pairs on expert e, held constant (top-k has no gradient; Switch, eq. 5), and
 * p_e the mean over the tokens of the softmax of Z', so that
 *
 *     ∂loss/∂o_j = coefficient · E/T · Σ_t p_tj · (f_j − Σ_e f_e · p_te)
 *
 * Where a gate is trained the loss acts on what it was made for: the offsets stay as they are, and `backward` adds
 * ∂loss/∂Z_tj, the summand of the same sum, to the gradient of the gates. Elsewhere `backward` adds the gates' alone.
 */
export const auxLossKind = defineRouterKind({
  kind: "aux-loss",
  summary: "top-k with logit offsets that descend the Switch load-balancing loss",
  source: "Fedus et al. 2021, arXiv 2101.03961, eq. 4-6",
  options: auxLossOptions,
  create({ shape, scores, kernels, trained }, { coefficient, learningRate, ...gateOptions }) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, load } = assignment;
    const gates = createScoreGates(kernels, experts, scores, gateOptions);
    const { ofScores: ofProbabilities, addRow: addProbabilityGradient } = createScoreGradient(experts, "softmax");
    const offset = kernels.allocateFloat64(experts);
    const gradient = kernels.allocateFloat64(experts);
    const corrected = kernels.allocateFloat32(shape.tokens * experts);

    /** Of the Switch loss, whose ∂loss/∂p_te = coefficient · E/T · f_e. */
    function addLossGradient(tokens: number, logitGradient: Float32Array): void {
      const weight = (coefficient * experts) / (tokens * tokens * topK);
      for (let row = 0; row < tokens * experts; row += experts) {
        for (let e = 0; e < experts; e++) ofProbabilities[e] = weight * load[e];
        addProbabilityGradient(corrected, row, logitGradient);
      }
    }

    return {
      route(batch) {
        const { logits, tokens } = batch;
        kernels.addOffsets(logits, offset, tokens, experts, corrected);
        // The offset as a bias, and not the corrected logits: those were rounded to float32, which can make ties.
        kernels.selectTopK(logits, "logits", offset, tokens, experts, topK, expert, load);
        gates.write({ ...batch, logits: corrected }, assignment);

        if (trained) return { assignment };
        kernels.loadGradient(corrected, load, tokens, experts, gradient);
        const rate = (learningRate * coefficient * experts) / (tokens * tokens * topK);
        for (let e = 0; e < experts; e++) offset[e] -= rate * gradient[e];
        return { assignment };
      },
      backward(batch, gateGradient, logitGradient) {
        gates.addGradient({ ...batch, logits: corrected }, assignment, gateGradient, logitGradient);
        if (trained) addLossGradient(batch.tokens, logitGradient);
      },
      state: () => ({ offset: Array.from(offset) }),
      restore(state) {
        const saved = auxLossState.parse(state);
        if (saved.offset.length !== experts) {
          throw new RangeError(`The saved offsets have ${saved.offset.length} experts, this router has ${experts}.`);
        }
        offset.set(saved.offset);
      },
    };
  },
});
