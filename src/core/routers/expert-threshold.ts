import { z } from "zod";
import { excludeDisabled } from "../token-batch.ts";
import { createScoreGates, scoreGateFields } from "./parts/score-gates.ts";
import { defineRouterKind } from "./router.ts";

const expertThresholdOptions = z.strictObject({
  decay: z.number().min(0).lt(1).default(0.9).describe("Weight of the old threshold in an update."),
  ...scoreGateFields(false),
});

/** `threshold` is null for an expert that takes every token. */
const expertThresholdState = z.strictObject({
  threshold: z.array(z.number().nullable()),
  batches: z.number().int().nonnegative(),
});

/**
 * Expert threshold routing: an expert takes each token whose affinity is above its threshold θ_e, a running mean of the
 * thresholds that would have given it T·K/E tokens of each earlier batch:
 *
 *     q_e    = the (⌊T·K/E⌋ + 1)-th largest S_te of a batch of T tokens
 *     expert = all e with S_te > θ_e
 *     gate_te = S_te, divided by the token's sum when `renormalize`, times `gateScale`
 *     θ_e    = decay·θ_e + (1 − decay)·q_e, after the batch was routed
 *
 * A token's experts do not depend on the other tokens of its batch, and it may get any number of them, K on average. The
 * first batch is routed by its own quantiles, which are the initial θ. With K = E an expert takes every token.
 *
 * An expert never takes a token that it is disabled for. If a batch has at most T·K/E tokens that an expert is enabled for,
 * it does not change the expert's threshold; an expert without a threshold takes all of these tokens.
 *
 * A token's slots hold its experts in ascending order, then −1. A batch has as many slots as the largest number of experts
 * of one of its tokens.
 */
export const expertThresholdKind = defineRouterKind({
  kind: "expert-threshold",
  summary: "each expert takes the tokens above a running threshold of its affinity",
  source: "Expert Threshold routing, arXiv 2603.11535",
  options: expertThresholdOptions,
  maxSlots: ({ experts }) => experts,
  create({ shape, scores, kernels }, options) {
    const { experts, topK } = shape;
    const { decay } = options;
    const expert = kernels.allocateInt32(shape.tokens * experts);
    const gate = kernels.allocateFloat32(shape.tokens * experts);
    const load = kernels.allocateInt32(experts);
    const gates = createScoreGates(kernels, experts, scores, options);
    const affinity = kernels.allocateFloat64(shape.tokens * experts);
    const noShift = kernels.allocateFloat64(shape.tokens);
    const quantile = kernels.allocateFloat64(experts);
    const threshold = new Float64Array(experts).fill(Number.NEGATIVE_INFINITY);
    let batches = 0;
    /** Of the batch routed last. */
    let slots = 0;

    function select(tokens: number): void {
      slots = 0;
      for (let row = 0; row < tokens * experts; row += experts) {
        let own = 0;
        for (let e = 0; e < experts; e++) if (affinity[row + e] > threshold[e]) own += 1;
        slots = Math.max(slots, own);
      }
      load.fill(0);
      for (let token = 0; token < tokens; token++) {
        let slot = token * slots;
        for (let e = 0; e < experts; e++) {
          if (!(affinity[token * experts + e] > threshold[e])) continue;
          expert[slot++] = e;
          load[e] += 1;
        }
        expert.fill(-1, slot, (token + 1) * slots);
      }
    }

    function learn(): void {
      for (let e = 0; e < experts; e++) {
        if (quantile[e] === Number.NEGATIVE_INFINITY) continue;
        const isFirst = threshold[e] === Number.NEGATIVE_INFINITY;
        // In this form a quantile that stays the same leaves the threshold alone, and tokens at it are not above it.
        threshold[e] = isFirst ? quantile[e] : threshold[e] + (1 - decay) * (quantile[e] - threshold[e]);
      }
    }

    return {
      route(batch) {
        const { logits, tokens } = batch;
        kernels.affinities(logits, scores, tokens, experts, affinity);
        excludeDisabled(batch, affinity);
        const rank = Math.floor((tokens * topK) / experts) + 1;
        if (rank <= tokens) kernels.columnQuantiles(affinity, noShift, tokens, experts, rank, quantile);
        else quantile.fill(Number.NEGATIVE_INFINITY);
        if (batches === 0) learn();
        select(tokens);
        if (batches > 0) learn();
        batches += 1;
        const assignment = { slots, expert, gate, load };
        gates.write(batch, assignment);
        return { assignment };
      },
      backward(batch, gateGradient, logitGradient) {
        gates.addGradient(batch, { slots, expert, gate }, gateGradient, logitGradient);
      },
      state: () => ({
        threshold: Array.from(threshold, (value) => (value === Number.NEGATIVE_INFINITY ? null : value)),
        batches,
      }),
      restore(state) {
        const saved = expertThresholdState.parse(state);
        if (saved.threshold.length !== experts) {
          throw new RangeError(
            `The saved thresholds are of ${saved.threshold.length} experts, this router has ${experts}.`,
          );
        }
        threshold.set(saved.threshold.map((value) => value ?? Number.NEGATIVE_INFINITY));
        batches = saved.batches;
      },
    };
  },
});
