import { z } from "zod";
import type { RoutingShape, ScoreKind } from "../assignment.ts";
import type { Kernels, PriceExcess } from "../kernels/kernels.ts";
import { assignableOf, excludeDisabled, type TokenBatch } from "../token-batch.ts";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { expertBiasFields, expertBiasProblems, expertBiasVectors, setInitialBias } from "./parts/expert-bias.ts";
import { createScoreGates, scoreGateFields } from "./parts/score-gates.ts";
import { defineRouterKind } from "./router.ts";

/** Far more updates than the prices need to converge. */
const mostIterations = 10_000;
/** Bounds the memory: there is a histogram per expert. */
const mostBins = 65_536;

const quantileOptions = z.strictObject({
  ema: z.number().min(0).lt(1).default(0).describe("Share of the old prices that an update keeps."),
  apply: z
    .enum(["next", "same"])
    .default("next")
    .describe(
      "Which batch is routed by the prices that a batch leads to: the next one, or the same after `iterations` updates.",
    ),
  iterations: z
    .number()
    .int()
    .positive()
    .max(mostIterations)
    .default(4)
    .describe("Updates on each batch with apply: same."),
  histogramBins: z
    .number()
    .int()
    .nonnegative()
    .max(mostBins)
    .default(0)
    .describe(
      "Take the experts' quantiles from a histogram of this many bins, as ranks that share no tokens can; 0 for the exact ones.",
    ),
  updateEvery: z
    .number()
    .int()
    .positive()
    .default(1)
    .describe("Update by the mean of the prices that this many batches lead to."),
  initialBias: expertBiasFields.initialBias,
  ...scoreGateFields(true),
});

const quantileState = z.strictObject({
  price: z.array(z.number()),
  pending: z.array(z.number()),
  pendingCount: z.array(z.number().int().nonnegative()),
  pendingBatches: z.number().int().nonnegative(),
});

/** A list has room for this many times an expert's share of the pairs: many tokens may hardly prefer others to it. */
const listedShares = 16;

/** Keys S + b that differ by less than this times the sizes of S and b are equal but for rounding. */
const tieWidth = 2 ** -40;

/** Corrects the selection by prices where only rounding decided it. */
interface TieSettler {
  /**
   * Takes `expert` `[tokens × topK]`, `load` `[experts]` and the excess as `selectByPrice` left them, and replaces the
   * experts of each token in which keys tie.
   */
  settle(batch: TokenBatch, expert: Int32Array, load: Int32Array): void;
}

function createTieSettler(
  kernels: Kernels,
  scores: ScoreKind,
  { experts, topK }: Pick<RoutingShape, "experts" | "topK">,
  bias: Float64Array,
  excess: PriceExcess,
): TieSettler {
  const key = kernels.allocateFloat64(experts);
  const none = Number.NEGATIVE_INFINITY;
  let largestBias = 0;
  let width = 0;

  /** Writes the keys of a token, −∞ of disabled experts, and sets the width of its ties. */
  function writeKeys({ logits }: TokenBatch, token: number): void {
    const row = logits.subarray(token * experts, (token + 1) * experts);
    kernels.affinities(row, scores, 1, experts, key);
    let largest = 0;
    for (let e = 0; e < experts; e++) {
      if (row[e] === none) {
        key[e] = none;
        continue;
      }
      largest = Math.max(largest, Math.abs(key[e]));
      key[e] += bias[e];
    }
    width = tieWidth * (largest + largestBias);
  }

  function hasTie(token: number, expert: Int32Array): boolean {
    const last = excess.next[token];
    let before = last < 0 ? none : key[last];
    for (let slot = (token + 1) * topK - 1; slot >= token * topK; slot--) {
      if (expert[slot] < 0) continue;
      const own = key[expert[slot]];
      if (own - before <= width) return true;
      before = own;
    }
    return false;
  }

  /** The token's K experts by their keys; those that tie with their neighbours by index. */
  function orderOf({ logits }: TokenBatch, token: number, expert: Int32Array): number[] {
    const row = token * experts;
    const last = expert[(token + 1) * topK - 1];
    // No tie reaches further down than as many widths as there are experts.
    const floor = last < 0 ? none : key[last] - experts * width;
    const order: number[] = [];
    for (let e = 0; e < experts; e++) if (key[e] > none && key[e] >= floor) order.push(e);
    order.sort((a, b) => key[b] - key[a] || logits[row + b] - logits[row + a] || a - b);
    for (let first = 0; first < order.length; ) {
      let end = first + 1;
      while (end < order.length && key[order[end - 1]] - key[order[end]] <= width) end += 1;
      const tied = order.slice(first, end);
      // With equal prices the affinities alone decide, which no price has rounded.
      if (tied.some((e) => bias[e] !== bias[tied[0]])) order.splice(first, tied.length, ...tied.sort((a, b) => a - b));
      first = end;
    }
    return order;
  }

  return {
    settle(batch, expert, load) {
      if (bias.every((own) => own === bias[0])) return;
      largestBias = 0;
      for (let e = 0; e < experts; e++) largestBias = Math.max(largestBias, Math.abs(bias[e]));
      for (let token = 0; token < batch.tokens; token++) {
        if (excess.gap[token] > 2 * excess.error[token] + tieWidth * largestBias) continue;
        writeKeys(batch, token);
        if (!hasTie(token, expert)) continue;
        const order = orderOf(batch, token, expert);
        const count = Math.min(topK, order.length);
        for (let slot = 0; slot < count; slot++) {
          load[expert[token * topK + slot]] -= 1;
          load[order[slot]] += 1;
          expert[token * topK + slot] = order[slot];
        }
      }
    },
  };
}

/** Buffers for batches of up to `tokens` tokens. */
export function createPriceExcess(kernels: Kernels, tokens: number, experts: number, topK: number): PriceExcess {
  // Together no longer than the excesses themselves.
  const room = Math.max(1, Math.min(tokens >> 1, Math.ceil((listedShares * tokens * topK) / experts)));
  return {
    value: kernels.allocateFloat32(tokens * experts),
    error: kernels.allocateFloat64(tokens),
    gap: kernels.allocateFloat32(tokens),
    next: kernels.allocateInt32(tokens),
    room,
    count: kernels.allocateInt32(experts),
    key: kernels.allocateInt32(experts * room),
    token: kernels.allocateInt32(experts * room),
    reach: kernels.allocateFloat64(1),
  };
}

/**
 * Quantile balancing: a price β_e per expert, initially −`initialBias`, at which the expert attracts its share of the tokens.
 *
 *     expert_t = the K largest of S_t − β
 *     gate_t   = S_t[expert_t], without β, divided by its sum when `renormalize`, times `gateScale`
 *
 * and after each batch of T tokens
 *
 *     α_t = the (K + 1)-th largest of S_t − β
 *     β̂_e = the (⌊T·K/E⌋ + 1)-th largest over the tokens of S_te − α_t
 *     β   = ema·β + (1 − ema)·β̂, minus its mean
 *
 * The expert that is a token's (K + 1)-th has S_te − α_t = β_e, as it stands: about T/E tokens tie there for each expert, and the
 * roundings of a difference would tell them apart.
 *
 * Prices taken from a batch make ties in it: in a batch of identical tokens, all experts have the same S − β. So experts whose
 * S − β differ by no more than rounding are tied, and the lower index precedes.
 *
 * One update is a step of coordinate descent on the dual of the balanced assignment (BIP, arXiv 2502.15451), whose prices α
 * and β are. With `apply: next` a batch is routed with the prices of the batches before; with `apply: same` with those that
 * `iterations` updates on the batch itself lead to, from the last batch's. With K = E there is nothing to balance and no
 * update.
 *
 * With `histogramBins` β̂_e is the middle of the bin of α_t − S_te that contains the quantile. The bins divide [min b − 1,
 * max b + 1] equally, with b = −β; values outside count in the first or last bin.
 *
 * A pair of a token and an expert that is disabled for it counts neither for α nor for β̂. A token with at most K enabled
 * experts gets them at any price. T·K/E is then the mean load of the experts that are enabled for some token. A price that
 * the batch does not determine stays as it is.
 *
 * `updateEvery` with `apply: same` is refused.
 */
export const quantileKind = defineRouterKind({
  kind: "quantile",
  summary: "K largest of affinity minus a price per expert, the quantile at which it has its share of the tokens",
  source: "Kimi K3, arXiv 2607.24653, section 2.3.3; BIP, arXiv 2502.15451",
  options: quantileOptions,
  hasBias: true,
  vectors: expertBiasVectors,
  relativeCost: 4,
  check({ apply, updateEvery, initialBias }, { experts }) {
    const problems = expertBiasProblems({ initialBias }, { experts });
    if (apply === "same" && updateEvery > 1) {
      problems.push({ path: ["updateEvery"], message: "must be 1 with apply: same, which updates on every batch" });
    }
    return problems;
  },
  create({ shape, scores, kernels }, options) {
    const { experts, topK } = shape;
    const { ema, apply, iterations, histogramBins, updateEvery } = options;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, load } = assignment;
    const gates = createScoreGates(kernels, experts, scores, options);
    const bias = kernels.allocateFloat64(experts);
    const price = kernels.allocateFloat64(experts);
    setInitialBias(bias, options);
    // Not −0 where there is no initial bias.
    for (let e = 0; e < experts; e++) price[e] = 0 - bias[e];
    // A histogram needs all affinities; the exact quantiles only those near them.
    const affinity = kernels.allocateFloat64(histogramBins > 0 ? shape.tokens * experts : 0);
    const excess = createPriceExcess(kernels, shape.tokens, experts, topK);
    const ties = createTieSettler(kernels, scores, shape, bias, excess);
    const threshold = kernels.allocateFloat64(shape.tokens);
    const mass = kernels.allocateFloat64(experts);
    const quantile = kernels.allocateFloat64(experts);
    const enabled = new Uint8Array(experts);
    const histogram = new Int32Array(experts * histogramBins);
    const pending = new Float64Array(experts);
    const pendingCount = new Int32Array(experts);
    let pendingBatches = 0;

    /** ⌊T·K/E⌋ + 1, of the experts and pairs that can be assigned; notes which experts these are. */
    function rankOf(batch: TokenBatch): number {
      enabled.fill(1);
      const assignable = assignableOf(batch, topK);
      if (assignable === null) return Math.floor((batch.tokens * topK) / experts) + 1;
      enabled.set(assignable.enabled);
      return Math.floor(assignable.pairs / Math.max(1, assignable.experts)) + 1;
    }

    /** The quantiles of α_t − S_te, from a histogram. */
    function estimateByHistogram(tokens: number, rank: number): void {
      let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
      for (let e = 0; e < experts; e++) {
        low = Math.min(low, bias[e] - 1);
        high = Math.max(high, bias[e] + 1);
      }
      const width = (high - low) / histogramBins;
      histogram.fill(0);
      for (let t = 0; t < tokens; t++) {
        for (let e = 0; e < experts; e++) {
          const own = affinity[t * experts + e];
          const bin =
            own === Number.NEGATIVE_INFINITY ? histogramBins - 1 : Math.floor((threshold[t] - own - low) / width);
          histogram[e * histogramBins + Math.min(histogramBins - 1, Math.max(0, bin))] += 1;
        }
      }
      for (let e = 0; e < experts; e++) {
        let bin = 0;
        for (let count = histogram[e * histogramBins]; count < rank; bin++)
          count += histogram[e * histogramBins + bin + 1];
        quantile[e] = -(low + (bin + 0.5) * width);
      }
    }

    /** Selects at the current prices. */
    function select({ logits, tokens }: TokenBatch): void {
      kernels.selectByPrice(logits, scores, bias, tokens, experts, topK, expert, load, excess);
    }

    /** Writes the batch's β̂ at the current prices, at which it was just selected, to `quantile`, NaN for none. */
    function estimate(batch: TokenBatch, rank: number): void {
      const { logits, tokens } = batch;
      const isDetermined = rank <= tokens;
      if (histogramBins > 0) {
        threshold.fill(Number.NaN);
        const none = Number.NEGATIVE_INFINITY;
        kernels.relaxedTopK(affinity, price, 0, none, tokens, experts, topK + 1, threshold, mass, null);
        if (isDetermined) estimateByHistogram(tokens, rank);
      } else if (isDetermined) {
        kernels.priceQuantiles(logits, scores, bias, excess, tokens, experts, topK, rank, quantile);
      }
      for (let e = 0; e < experts; e++) {
        if (!isDetermined || enabled[e] === 0 || !Number.isFinite(quantile[e])) quantile[e] = Number.NaN;
      }
    }

    /** Moves the prices towards `target` `[experts]`; NaN leaves a price as it is. */
    function move(target: Float64Array): void {
      let sum = 0;
      let count = 0;
      for (let e = 0; e < experts; e++) {
        if (Number.isNaN(target[e])) continue;
        price[e] = ema * price[e] + (1 - ema) * target[e];
        sum += price[e];
        count += 1;
      }
      for (let e = 0; e < experts; e++) if (!Number.isNaN(target[e])) price[e] -= sum / count;
      for (let e = 0; e < experts; e++) bias[e] = -price[e];
    }

    /** {@link rankOf}, and the affinities if a histogram needs them. */
    function prepare(batch: TokenBatch): number {
      if (histogramBins > 0) {
        kernels.affinities(batch.logits, scores, batch.tokens, experts, affinity);
        excludeDisabled(batch, affinity);
      }
      return rankOf(batch);
    }

    function routeBySame(batch: TokenBatch): void {
      const rank = prepare(batch);
      for (let iteration = 0; iteration < iterations; iteration++) {
        select(batch);
        estimate(batch, rank);
        move(quantile);
      }
      select(batch);
      ties.settle(batch, expert, load);
    }

    function routeByNext(batch: TokenBatch): void {
      select(batch);
      ties.settle(batch, expert, load);
      estimate(batch, prepare(batch));
      for (let e = 0; e < experts; e++) {
        if (Number.isNaN(quantile[e])) continue;
        pending[e] += quantile[e];
        pendingCount[e] += 1;
      }
      pendingBatches += 1;
      if (pendingBatches < updateEvery) return;
      for (let e = 0; e < experts; e++) quantile[e] = pendingCount[e] > 0 ? pending[e] / pendingCount[e] : Number.NaN;
      move(quantile);
      pending.fill(0);
      pendingCount.fill(0);
      pendingBatches = 0;
    }

    return {
      route(batch) {
        if (topK === experts) {
          kernels.selectTopK(batch.logits, scores, bias, batch.tokens, experts, topK, expert, load);
        } else if (apply === "same") routeBySame(batch);
        else routeByNext(batch);
        gates.write(batch, assignment);
        return { assignment };
      },
      /** With the prices of the last batch in training, whatever `apply` says. */
      routeAtInference(batch) {
        if (topK === experts) {
          kernels.selectTopK(batch.logits, scores, bias, batch.tokens, experts, topK, expert, load);
        } else {
          select(batch);
          ties.settle(batch, expert, load);
        }
        gates.write(batch, assignment);
        return assignment;
      },
      backward(batch, gateGradient, logitGradient) {
        gates.addGradient(batch, assignment, gateGradient, logitGradient);
      },
      bias,
      state: () => ({
        price: Array.from(price),
        pending: Array.from(pending),
        pendingCount: Array.from(pendingCount),
        pendingBatches,
      }),
      restore(state) {
        const saved = quantileState.parse(state);
        if ([saved.price, saved.pending, saved.pendingCount].some(({ length }) => length !== experts)) {
          throw new RangeError(`The saved prices are of ${saved.price.length} experts, this router has ${experts}.`);
        }
        price.set(saved.price);
        for (let e = 0; e < experts; e++) bias[e] = -price[e];
        pending.set(saved.pending);
        pendingCount.set(saved.pendingCount);
        pendingBatches = saved.pendingBatches;
      },
    };
  },
});
