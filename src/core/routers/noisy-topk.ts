import { z } from "zod";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createScoreGates } from "./parts/score-gates.ts";
import { defineRouterKind } from "./router.ts";

const noisyTopkOptions = z.strictObject({
  noiseScale: z
    .number()
    .default(1)
    .describe("The noise on each logit has standard deviation softplus(noiseScale) = log(1 + exp(noiseScale))."),
});

const noiseWords = 16;
const noisyTopkState = z.strictObject({ noise: z.array(z.number().int().nonnegative()).length(noiseWords) });

/** log(1 + exp(x)), finite for every finite x. */
function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

/**
 * Noisy top-k gating. The paper learns one noise level per token and expert; here it is one constant.
 *
 *     H_t      = Z_t + softplus(noiseScale) · ξ_t,   ξ_te ~ N(0, 1)       (eq. 4)
 *     expert_t = the K largest of H_t                                    (eq. 5)
 *     gate_t   = softmax of H_t over the selected                        (eq. 3)
 *
 * H is computed in float32, like the logits. `scores` has no effect.
 */
export const noisyTopkKind = defineRouterKind({
  kind: "noisy-topk",
  summary: "K largest logits after adding Gaussian noise",
  source: "Shazeer et al. 2017, arXiv 1701.06538, eq. 3-5",
  options: noisyTopkOptions,
  create({ shape, kernels, random }, { noiseScale }) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, load } = assignment;
    const gates = createScoreGates(kernels, experts, "softmax", { renormalize: true, gateScale: 1 });
    const noisy = kernels.allocateFloat32(shape.tokens * experts);
    const generator = kernels.allocateUint32(noiseWords);
    for (let word = 0; word < noiseWords; word++) generator[word] = random.uint32();
    const deviation = softplus(noiseScale);
    return {
      route(batch) {
        const { logits, tokens } = batch;
        kernels.addNormal(generator, logits, deviation, tokens * experts, noisy);
        kernels.selectTopK(noisy, "logits", null, tokens, experts, topK, expert, load);
        gates.write({ ...batch, logits: noisy }, assignment);
        return { assignment };
      },
      /** Top-k without noise. */
      routeAtInference(batch) {
        kernels.selectTopK(batch.logits, "logits", null, batch.tokens, experts, topK, expert, load);
        gates.write(batch, assignment);
        return assignment;
      },
      backward(batch, gateGradient, logitGradient) {
        gates.addGradient({ ...batch, logits: noisy }, assignment, gateGradient, logitGradient);
      },
      state: () => ({ noise: Array.from(generator) }),
      restore: (state) => generator.set(noisyTopkState.parse(state).noise),
    };
  },
});
