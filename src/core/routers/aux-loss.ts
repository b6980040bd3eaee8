import { z } from "zod";
import { logScoreSlope } from "../kernels/reference/affinity.ts";
import { countLoad, createLoadFractions, sequenceLength } from "../metrics/aux-loss.ts";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createScoreGates, scoreGateFields } from "./parts/score-gates.ts";
import { createScoreGradient } from "./parts/score-gradient.ts";
import { auxLossFields } from "./parts/shared-options.ts";
import { defineRouterKind } from "./router.ts";

const auxLossOptions = z.strictObject({
  coefficient: z.number().nonnegative().default(0.01).describe("Weight α of the load-balancing loss."),
  learningRate: z
    .number()
    .nonnegative()
    .default(10)
    .describe("Step size of the offsets, in logits per unit of gradient; without effect where a gate is trained."),
  ...auxLossFields,
  ...scoreGateFields(true),
});

const counts = z.array(z.number().int().nonnegative());
const auxLossState = z.strictObject({
  offset: z.array(z.number()),
  loads: counts,
  pairs: counts,
  total: counts,
  totalPairs: z.number().int().nonnegative(),
  batches: z.number().int().nonnegative(),
});

/**
 * Top-k balanced by the Switch auxiliary loss. Without a gate to train, the gradient of the loss moves one additive logit
 * offset o_e per expert, initially zero.
 *
 *     Z'_t     = Z_t + o
 *     expert_t = the K largest of Z'_t
 *     gate_t   = affinities of Z'_t at expert_t, divided by their sum when `renormalize`, times `gateScale`
 *     o        = o − learningRate · ∂(coefficient · E · Σ_e f_e·p_e)/∂o, after the batch was routed
 *
 * f_e = A_e / (T·K) is the share of the batch's pairs on expert e, held constant (top-k has no gradient; Switch, eq. 5), and
 * p_e the mean over the tokens of p_te = S'_te / Σ_j S'_tj, with S' the affinities of Z' (their softmax for `scores:
 * logits`, which can be negative), so that
 *
 *     ∂loss/∂o_j = coefficient · E/T · Σ_t p_tj · (∂log S'_tj/∂Z'_tj) · (f_j − Σ_e f_e · p_te)
 *
 * The slope ∂log S'/∂Z' is 1 for a softmax. With `scope: sequence` the loss is the mean of the sequences' losses, each with
 * its own f, p and T. With `scope: global` f is measured over the last `globalBatches` batches (arXiv 2501.11873).
 *
 * If a gate is trained, the loss acts on the gate, as published: the offsets stay zero, and `backward` adds ∂loss/∂Z_tj
 * to the gradient that reaches Z through the gates. Otherwise `backward` adds only the latter.
 */
export const auxLossKind = defineRouterKind({
  kind: "aux-loss",
  summary: "top-k with logit offsets that descend the Switch load-balancing loss",
  source: "Fedus et al. 2021, arXiv 2101.03961, eq. 4-6",
  options: auxLossOptions,
  create({ shape, scores, kernels, trained }, { coefficient, learningRate, renormalize, gateScale, ...rule }) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, load } = assignment;
    const gates = createScoreGates(kernels, experts, scores, { renormalize, gateScale });
    const kind = scores === "logits" ? "softmax" : scores;
    const { ofScores: ofProbabilities, addRow: addProbabilityGradient } = createScoreGradient(experts, "softmax");
    const offset = kernels.allocateFloat64(experts);
    const gradient = kernels.allocateFloat64(experts);
    const corrected = kernels.allocateFloat32(shape.tokens * experts);
    const affinity = kernels.allocateFloat64(experts);
    const share = new Float64Array(experts);
    const sequenceLoad = kernels.allocateInt32(experts);
    const fractions = createLoadFractions(shape, rule);

    /**
     * Calls `take` with the tokens `first` … `end` − 1 of each sequence, its loads, and sequences · T · pairs. The loss's
     * gradient is coefficient · E times that of Σ_te A_e·p_te, divided by this.
     */
    function eachSequence(
      tokens: number,
      take: (first: number, end: number, load: Int32Array, divisor: number) => void,
    ): void {
      const length = sequenceLength(rule, tokens);
      const sequences = Math.ceil(tokens / length);
      for (let first = 0; first < tokens; first += length) {
        const end = Math.min(first + length, tokens);
        let pairs = (end - first) * topK;
        let own = load;
        if (rule.scope === "sequence") {
          own = sequenceLoad;
          countLoad(assignment, first, end, own);
        } else if (rule.scope === "global") {
          own = sequenceLoad;
          own.set(fractions.state.total);
          pairs = fractions.state.totalPairs;
        }
        take(first, end, own, sequences * (end - first) * pairs);
      }
    }

    /** Adds ∂loss/∂Z' of the token at `row` to its logits' gradient, for affinities other than a softmax. */
    function addRowGradient(row: number, own: Int32Array, weight: number, logitGradient: Float32Array): void {
      kernels.affinities(corrected.subarray(row, row + experts), scores, 1, experts, affinity);
      let sum = 0;
      for (let e = 0; e < experts; e++) sum += affinity[e];
      if (sum === 0) return;
      let mean = 0;
      for (let e = 0; e < experts; e++) {
        share[e] = affinity[e] / sum;
        mean += own[e] * share[e];
      }
      for (let e = 0; e < experts; e++) {
        if (share[e] === 0) continue;
        logitGradient[row + e] += weight * share[e] * logScoreSlope(corrected[row + e], scores) * (own[e] - mean);
      }
    }

    /** Adds ∂loss/∂Z of every token. */
    function addLossGradient(tokens: number, logitGradient: Float32Array): void {
      eachSequence(tokens, (first, end, own, divisor) => {
        const weight = (coefficient * experts) / divisor;
        for (let row = first * experts; row < end * experts; row += experts) {
          if (kind !== "softmax") {
            addRowGradient(row, own, weight, logitGradient);
            continue;
          }
          for (let e = 0; e < experts; e++) ofProbabilities[e] = weight * own[e];
          addProbabilityGradient(corrected, row, logitGradient);
        }
      });
    }

    /** Moves the offsets by the loss's gradient. */
    function descend(tokens: number): void {
      eachSequence(tokens, (first, end, own, divisor) => {
        const rate = (learningRate * coefficient * experts) / divisor;
        const rows = corrected.subarray(first * experts, end * experts);
        kernels.loadGradient(rows, kind, own, end - first, experts, gradient);
        for (let e = 0; e < experts; e++) offset[e] -= rate * gradient[e];
      });
    }

    return {
      route(batch) {
        const { logits, tokens } = batch;
        kernels.addOffsets(logits, offset, tokens, experts, corrected);
        // The offset as a bias, and not the corrected logits: those were rounded to float32, which can make ties.
        kernels.selectTopK(logits, "logits", offset, tokens, experts, topK, expert, load);
        gates.write({ ...batch, logits: corrected }, assignment);
        if (rule.scope === "global") fractions.observe(assignment, tokens, Float64Array.of(tokens * topK));
        if (!trained) descend(tokens);
        return { assignment };
      },
      backward(batch, gateGradient, logitGradient) {
        gates.addGradient({ ...batch, logits: corrected }, assignment, gateGradient, logitGradient);
        if (trained) addLossGradient(batch.tokens, logitGradient);
      },
      state: () => ({
        offset: Array.from(offset),
        loads: Array.from(fractions.state.loads),
        pairs: Array.from(fractions.state.pairs),
        total: Array.from(fractions.state.total),
        totalPairs: fractions.state.totalPairs,
        batches: fractions.state.batches,
      }),
      restore(state) {
        const saved = auxLossState.parse(state);
        const { loads, pairs, total } = fractions.state;
        if (saved.offset.length !== experts) {
          throw new RangeError(`The saved offsets have ${saved.offset.length} experts, this router has ${experts}.`);
        }
        if (saved.loads.length !== loads.length || saved.pairs.length !== pairs.length) {
          throw new RangeError(
            `The saved loads are of ${saved.pairs.length} batches, this router has ${pairs.length}.`,
          );
        }
        offset.set(saved.offset);
        loads.set(saved.loads);
        pairs.set(saved.pairs);
        total.set(saved.total);
        fractions.state.totalPairs = saved.totalPairs;
        fractions.state.batches = saved.batches;
      },
    };
  },
});
