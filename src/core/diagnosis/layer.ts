import type { ScoreKind } from "../assignment.ts";
import { expertCapacity, pairsOverCapacity } from "../assignment.ts";
import { cutRecording } from "../formats/cut-recording.ts";
import { logitBatchesByLayer } from "../formats/logit-batches.ts";
import { choicesByLayer } from "../formats/recorded-choices.ts";
import type { Recording } from "../formats/recording.ts";
import { createKernels } from "../kernels/index.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { idleFraction, largest, loadPerRank, meanLoad } from "../metrics/load.ts";
import { createFeasibleScore } from "../metrics/regret.ts";
import { createBalancedPlacer } from "../placement/balanced.ts";
import { lowerBound } from "../placement/lower-bound.ts";
import { type PlacementShape, placedLoad, replicaCounts } from "../placement/placement.ts";
import { createRandom } from "../random.ts";
import type { Interval } from "../results/interval.ts";
import { createStratifiedSample, drawEvenly, type StratifiedSample } from "../stratified-sample.ts";
import { excludeDisabled, type TokenBatch } from "../token-batch.ts";
import { createAssignmentSolver, mostAssignmentExperts } from "../transport/assignment/exact-assignment.ts";
import { findHindsightBias, mostHindsightExperts } from "../transport/hindsight/hindsight-bias.ts";
import { type BlockMeans, createBlockMeans } from "./block-means.ts";
import { createChanceImbalance } from "./chance.ts";
import type { Remedy } from "./verdict.ts";

/** How a layer is diagnosed; all values are checked. */
export interface LayerOptions {
  readonly experts: number;
  /** Experts per token; null for loads. */
  readonly topK: number | null;
  /** Affinities that a bias is added to, and of the scores. */
  readonly scores: ScoreKind;
  /** Tokens per batch, if the recording has no steps. */
  readonly batchTokens?: number | undefined;
  /** Most tokens of a batch: longer steps are cut. */
  readonly mostTokens?: number | undefined;
  readonly paddingMask?: string | undefined;
  /** Null without GPUs. */
  readonly shape: PlacementShape | null;
  /** Of the certified optimum. */
  readonly capacityFactor: number;
  /** Share of the pairs in part A, in (0, 1). */
  readonly split: number;
}

/** Capacity factors at which drops are counted. */
export const dropFactors = [1, 1.25, 1.5, 2] as const;

/** What routing does to the batches of a part. Loads are before drops. */
export interface RoutingFigures {
  /** On the loads summed over all batches, and mean over the batches. */
  readonly maxVioRun: number;
  readonly maxVioBatch: Interval;
  /** Mean over the batches of the largest load of a GPU / the mean; without GPUs, of an expert. At least 1. */
  readonly slowdown: Interval;
  /** Mean share of the pairs above the capacity at capacity factor 1, 1.25, 1.5 and 2. */
  readonly dropped: readonly number[];
  /** Mean affinity of the pairs; null without logits. */
  readonly score: number | null;
}

/** What a placement that was fitted to part A does to the batches of a part. */
export interface PlacedFigures {
  readonly slowdown: Interval;
  /** The same of nodes; null with one node. */
  readonly nodeSlowdown: Interval | null;
  /** No placement with as many slots has a smaller slowdown on the loads summed over the part. */
  readonly bound: number;
}

/** Part A, to which everything is fitted, or part B, on which it is judged. */
export interface PartFigures {
  readonly batches: number;
  readonly tokens: number | null;
  readonly pairs: number;
  readonly plain: RoutingFigures;
  /** Slowdown above chance; null if chance is unknown. */
  readonly excess: Interval | null;
  /** Null if no bias was fitted. */
  readonly biased: RoutingFigures | null;
  /** Without a placement, of nodes; null with one node. */
  readonly nodeSlowdown: Interval | null;
  /** Null without GPUs. */
  readonly moves: PlacedFigures | null;
  readonly replicas: PlacedFigures | null;
}

/** Scores on some batches of part B, per pair, beside the best score within the capacity. */
export interface OptimumFigures {
  readonly capacityFactor: number;
  /** Batches that were solved. */
  readonly batches: number;
  /** Of plain top-k and of the bias, wherever the pairs are. */
  readonly plain: number;
  readonly biased: number | null;
  /** The same if each expert keeps only its best pairs within the capacity. */
  readonly plainKept: number;
  readonly biasedKept: number | null;
  /** Best assignment found within the capacity, and a proven bound on all of them. */
  readonly best: number;
  readonly upperBound: number;
  /** Whether both are equal except for rounding. */
  readonly exact: boolean;
}

/** The bias of the exact dual of part A. */
export interface FittedBias {
  /** b `[experts]`, in the unit of the affinities, mean 0; 0 for experts that no token of A can have. */
  readonly values: Float64Array;
  /** The dual's value is at most this above its minimum, per token. */
  readonly gap: number;
  /** Tokens of A that it was fitted to. */
  readonly tokens: number;
}

/** An expert, and its load in the run / the mean load. */
export interface HotExpert {
  readonly expert: number;
  readonly ratio: number;
}

/** Everything measured on one layer. */
export interface LayerFigures {
  /** The model's number of the layer. */
  readonly layer: number;
  /** Experts that some token can have: all but disabled ones. */
  readonly experts: number;
  readonly topK: number | null;
  /** Null if only loads were recorded. */
  readonly tokens: number | null;
  readonly pairs: number;
  /** Batches with a pair, and without one. */
  readonly batches: number;
  readonly emptyBatches: number;
  /** `[all experts]`, summed over the run; −1 for a disabled expert. */
  readonly load: Float64Array;
  /** Experts without a pair in the run, rising. */
  readonly idleExperts: readonly number[];
  /** Mean share of the experts without a pair in a batch. */
  readonly idleFraction: Interval;
  /** The fullest first. */
  readonly hottest: readonly HotExpert[];
  readonly maxVioRun: number;
  readonly maxVioBatch: Interval;
  /** What balanced routing shows of both by chance; null for shares. */
  readonly chanceRun: number | null;
  readonly chanceBatch: number | null;
  readonly gpus: number | null;
  /** Mean slowdown of a batch − 1: on GPUs, or MaxVio of a batch without. */
  readonly slowdownExcess: Interval;
  /** The same above chance; null for shares. */
  readonly excess: Interval | null;
  /** Null if there is a single batch. */
  readonly a: PartFigures | null;
  readonly b: PartFigures | null;
  /** Share of the pairs dropped at capacity factor 1, 1.25, 1.5 and 2, mean over all batches. */
  readonly dropped: readonly number[];
  readonly bias: FittedBias | null;
  /** Why there is no bias; null if there is one. */
  readonly biasProblem: string | null;
  /** How much of the slowdown each remedy saves on B, by batch; null if it was not tried. */
  readonly gains: Readonly<Record<Remedy, Interval | null>>;
  /** How much less slowdown than with a placement the bias has on B; null if one of both was not tried. */
  readonly biasLead: Readonly<Record<"moves" | "replicas", Interval | null>>;
  readonly optimum: OptimumFigures | null;
  /** `[slots]`, the expert of each slot, GPU by GPU; null without GPUs. */
  readonly placement: { readonly moves: Int32Array; readonly replicas: Int32Array } | null;
}

/** Affinities that a bias is fitted to, at most: 32 MiB. */
const mostFittedScores = 2 ** 23;
/** Logits of batches whose optimum is found, about at most. */
const mostOptimumLogits = 2 ** 21;
/** At which the dual of A, per token, and the optima, per pair, are good enough: no figure shows as many digits. */
const biasTolerance = 1e-6;
const optimumGap = 1e-5;
/** At which the search for a placement stops: what is closer fits chance, see `docs/placement.md`. */
const placementGap = 0.01;
const mostHottest = 3;

/** One batch of a layer. */
interface Batch {
  readonly tokens: number | null;
  /** `[experts]`, overwritten by the next. */
  readonly load: ArrayLike<number>;
  /** Its logits, and `[tokens × topK]` the choice of plain top-k; null if no logits were recorded. */
  readonly logits: TokenBatch | null;
}

interface OpenLayer {
  next(): Promise<Batch | null>;
  close(): Promise<void>;
}

/** What the first walk through a layer finds. */
interface Survey {
  readonly load: Float64Array;
  readonly isEnabled: Uint8Array;
  pairs: number;
  tokens: number | null;
  batches: number;
  emptyBatches: number;
}

/**
 * Returns a function that diagnoses a layer of `recording`; null for one without any pair. It walks through the layer three
 * times: to count, to fit to part A, and to judge on both parts. Memory holds a batch, the affinities that the bias is fitted
 * to, and sums; buffers are allocated once for all layers.
 *
 * Part A is the first batches with about `split` of the pairs. To it are fitted
 *
 *     bias       the minimum of the dual of assigning A's tokens with equal loads, exact within 1e-6 (see `hindsight-bias.ts`)
 *     moves      a placement of A's summed loads with as many slots as needed (see `balanced.ts`)
 *     replicas   the same with one more slot per GPU
 *
 * Throws `InputError` if the data is bad.
 *
 * @param kernels what holds the batches
 */
export function createLayerDiagnoser(
  recording: Recording,
  options: LayerOptions,
  kernels: Kernels = createKernels(),
): (layer: number) => Promise<LayerFigures | null> {
  const { experts, topK, scores: scoreKind, shape, capacityFactor, split } = options;
  const batched =
    options.batchTokens === undefined
      ? recording
      : { ...recording, layer: (id: number) => recording.layer(id, options.batchTokens) };
  const cut = options.mostTokens === undefined ? batched : cutRecording(batched, options.mostTokens);
  const hasLogits = recording.holds === "logits";
  const gpus = shape?.gpus ?? null;
  const rankLoad = new Float64Array(gpus ?? 0);
  const nodeLoad = new Float64Array(shape?.nodes ?? 1);
  const replicated = shape === null ? null : { ...shape, slots: shape.slots + shape.gpus };
  const placers = shape === null ? null : [shape, replicated!].map((one) => createBalancedPlacer(one, placementGap));
  const openLoads = hasLogits
    ? null
    : choicesByLayer(cut, { experts, topK: topK ?? undefined, paddingMask: options.paddingMask });
  const openLogits = hasLogits ? logitBatchesByLayer(cut, kernels, options.paddingMask) : null;
  const mostTokens = hasLogits ? Math.max(0, ...cut.layers.map((id) => cut.layer(id).tokens ?? 0)) : 0;
  const slots = topK ?? 0;
  const own = kernels.allocateInt32(mostTokens * slots);
  const load = kernels.allocateInt32(experts);
  const biasedOwn = kernels.allocateInt32(mostTokens * slots);
  const biasedLoad = kernels.allocateInt32(experts);
  const bias = kernels.allocateFloat64(experts);
  const affinities = kernels.allocateFloat64(hasLogits ? mostTokens * experts : 0);
  const routing = { tokens: Math.max(1, mostTokens), experts, topK: Math.max(1, slots), capacityFactor };
  const isSolvable = hasLogits && experts <= mostAssignmentExperts && slots < experts;
  const solver = isSolvable
    ? createAssignmentSolver(kernels, routing.tokens, experts, slots, { gap: optimumGap })
    : null;
  const feasibleScore = createFeasibleScore(routing, routing.topK);

  function open(layer: number): OpenLayer {
    if (openLogits === null) {
      const choices = openLoads!(layer);
      return {
        async next() {
          const step = await choices.next();
          return step === null ? null : { tokens: step.tokens, load: step.load, logits: null };
        },
        // The recording stays open for other layers.
        close: async () => undefined,
      };
    }
    const batches = openLogits(layer);
    return {
      async next() {
        const logits = await batches.next();
        if (logits === null) return null;
        kernels.selectTopK(logits.logits, "logits", null, logits.tokens, experts, slots, own, load);
        return { tokens: logits.tokens, load, logits };
      },
      close: batches.close,
    };
  }

  async function eachBatch(layer: number, visit: (batch: Batch, pairs: number) => void): Promise<void> {
    const opened = open(layer);
    try {
      for (let batch = await opened.next(); batch !== null; batch = await opened.next()) {
        visit(batch, totalOf(batch.load));
      }
    } finally {
      await opened.close();
    }
  }

  async function survey(layer: number): Promise<Survey> {
    const found: Survey = {
      load: new Float64Array(experts),
      isEnabled: new Uint8Array(experts).fill(hasLogits ? 0 : 1),
      pairs: 0,
      tokens: null,
      batches: 0,
      emptyBatches: 0,
    };
    await eachBatch(layer, ({ tokens, load: counts, logits }, pairs) => {
      if (pairs === 0) {
        found.emptyBatches += 1;
        return;
      }
      if (logits !== null) markEnabled(logits, found.isEnabled);
      for (let e = 0; e < experts; e++) found.load[e] += counts[e];
      found.pairs += pairs;
      if (tokens !== null) found.tokens = (found.tokens ?? 0) + tokens;
      found.batches += 1;
    });
    return found;
  }

  /** Returns a function that says of each batch with a pair, in order, whether it is in part A. */
  function splitter({ pairs: total, batches }: Survey): (pairs: number) => boolean {
    let [index, before] = [0, 0];
    return (pairs) => {
      const isInA = index === 0 || (index < batches - 1 && before + pairs / 2 <= split * total);
      index += 1;
      before += pairs;
      return isInA;
    };
  }

  /** What is fitted to part A, and how many batches of B follow. */
  async function fitToA(layer: number, found: Survey) {
    const loadOfA = new Float64Array(experts);
    const isInA = splitter(found);
    const most = Math.max(1, Math.floor(mostFittedScores / experts));
    const expected = Math.min(found.tokens ?? 0, Math.ceil(split * (found.tokens ?? 0)) + mostTokens);
    const draws = hasLogits ? drawEvenly(expected, Math.min(most, expected), createRandom(layer).derive("fit")) : [];
    const kept = new Float32Array(draws.length * experts);
    let [keptTokens, seen, draw, batchesOfB] = [0, 0, 0, 0];
    await eachBatch(layer, ({ load: counts, logits }, pairs) => {
      if (pairs === 0) return;
      if (!isInA(pairs)) {
        batchesOfB += 1;
        return;
      }
      for (let e = 0; e < experts; e++) loadOfA[e] += counts[e];
      if (logits === null) return;
      scoresOf(logits);
      for (; draw < draws.length && draws[draw] < seen + logits.tokens; draw++) {
        const row = (draws[draw] - seen) * experts;
        kept.set(affinities.subarray(row, row + experts), keptTokens * experts);
        keptTokens += 1;
      }
      seen += logits.tokens;
    });
    const problem = !hasLogits
      ? `there are no logits to fit a bias to, only ${recording.holds}`
      : experts > mostHindsightExperts
        ? `a bias is fitted to at most ${mostHindsightExperts} experts`
        : null;
    const fitted = problem === null ? fitBias(kept.subarray(0, keptTokens * experts)) : null;
    return {
      bias: fitted,
      biasProblem: problem ?? (fitted === null ? "every token of part A has a disabled expert of its own" : null),
      placement: placers && { moves: placers[0](loadOfA).expertOfSlot, replicas: placers[1](loadOfA).expertOfSlot },
      batchesOfB,
    };
  }

  /**
   * Minimises the dual of the tokens with affinities `kept` `[tokens × experts]`. Experts that no token can have are left out,
   * and then tokens that lack an expert; null if none is left.
   */
  function fitBias(kept: Float32Array): FittedBias | null {
    const columns: number[] = [];
    for (let e = 0; e < experts; e++) {
      let isFound = false;
      for (let entry = e; entry < kept.length && !isFound; entry += experts) isFound = kept[entry] > -Infinity;
      if (isFound) columns.push(e);
    }
    let tokens = 0;
    const { length: width } = columns;
    for (let row = 0; row < kept.length; row += experts) {
      if (columns.some((e) => kept[row + e] === -Infinity)) continue;
      // Never ahead of what is still to be read.
      for (let i = 0; i < width; i++) kept[tokens * width + i] = kept[row + columns[i]];
      tokens += 1;
    }
    if (tokens === 0) return null;
    const values = new Float64Array(experts);
    if (slots >= width) return { values, gap: 0, tokens };
    // Their memory goes with the instance.
    const found = findHindsightBias(createKernels(), [kept.subarray(0, tokens * width)], width, slots, biasTolerance);
    for (let i = 0; i < width; i++) values[columns[i]] = found.bias[i];
    return { values, gap: found.gap, tokens };
  }

  /** Computes the affinities of a batch, −∞ for disabled experts. */
  function scoresOf(batch: TokenBatch): void {
    kernels.affinities(batch.logits, scoreKind, batch.tokens, experts, affinities);
    excludeDisabled(batch, affinities);
  }

  /** The mean affinity of the pairs `[tokens × slots]`, per pair. */
  function scoreOf(expert: Int32Array, tokens: number, pairs: number): number {
    let sum = 0;
    for (let pair = 0; pair < tokens * slots; pair++) {
      if (expert[pair] >= 0) sum += affinities[Math.floor(pair / slots) * experts + expert[pair]];
    }
    return sum / pairs;
  }

  function slowdownOf(counts: ArrayLike<number>, enabled: number, pairs: number): number {
    if (gpus === null) return (largest(counts) * enabled) / pairs;
    return slowdown(loadPerRank(counts, gpus, rankLoad));
  }

  function nodeSlowdown(): number {
    const perNode = rankLoad.length / nodeLoad.length;
    nodeLoad.fill(0);
    for (let gpu = 0; gpu < rankLoad.length; gpu++) nodeLoad[Math.floor(gpu / perNode)] += rankLoad[gpu];
    return slowdown(nodeLoad);
  }

  return async (layer) => {
    const found = await survey(layer);
    if (found.pairs === 0) return null;
    const { isEnabled } = found;
    const enabled = totalOf(isEnabled);
    const hasParts = found.batches > 1;
    const fitted = hasParts ? await fitToA(layer, found) : null;
    if (fitted?.bias) bias.set(fitted.bias.values);
    const biasOrNull = fitted?.bias ?? null;
    const placement = fitted?.placement ?? null;
    const counts =
      placement &&
      ([placement.moves, placement.replicas].map((one) => replicaCounts(one, experts)) as [Int32Array, Int32Array]);
    const chanceTopK = topK ?? 1;
    const chanceOf = (unitSizes: readonly number[]) =>
      recording.hasShares ? null : createChanceImbalance({ experts: enabled, unitSizes, topK: chanceTopK });
    const expertChance = chanceOf(new Array<number>(enabled).fill(1));
    const unitChance = gpus === null ? expertChance : chanceOf(Array.from(loadPerRank(isEnabled, gpus, rankLoad)));
    const whole = createSeries();
    const parts = hasParts ? { a: createPart(), b: createPart() } : null;
    const gains = { bias: createBlockMeans(), moves: createBlockMeans(), replicas: createBlockMeans() };
    const leads = { moves: createBlockMeans(), replicas: createBlockMeans() };
    const optimum = { batches: 0, pairs: 0, plain: 0, biased: 0, plainKept: 0, biasedKept: 0, best: 0, upper: 0 };
    let isExact = true;
    const sample = sampleOf(fitted?.batchesOfB ?? 0, found, layer);
    const isInA = splitter(found);
    let indexInB = 0;
    if (solver !== null) solver.price.fill(0);

    await eachBatch(layer, (batch, pairs) => {
      if (pairs === 0) return;
      const { load: plain, logits } = batch;
      const draws = pairs / chanceTopK;
      const chance = expertChance?.(draws) ?? Number.NaN;
      const unit = unitChance?.(draws) ?? Number.NaN;
      const plainSlowdown = slowdownOf(plain, enabled, pairs);
      whole.add(plain, enabled, pairs, plainSlowdown, chance, unit);
      if (parts === null) return;
      const inA = isInA(pairs);
      const part = inA ? parts.a : parts.b;
      part.pairs += pairs;
      if (batch.tokens !== null) part.tokens = (part.tokens ?? 0) + batch.tokens;
      part.plain.add(plain, enabled, pairs, plainSlowdown, chance, unit);
      if (gpus !== null && nodeLoad.length > 1) part.node.add(nodeSlowdown());
      let biasedSlowdown = Number.NaN;
      if (logits !== null) {
        scoresOf(logits);
        part.plain.score += pairs * scoreOf(own, logits.tokens, pairs);
        if (biasOrNull !== null) {
          kernels.selectTopK(logits.logits, scoreKind, bias, logits.tokens, experts, slots, biasedOwn, biasedLoad);
          biasedSlowdown = slowdownOf(biasedLoad, enabled, pairs);
          part.biased.add(biasedLoad, enabled, pairs, biasedSlowdown, chance, unit);
          part.biased.score += pairs * scoreOf(biasedOwn, logits.tokens, pairs);
        }
      }
      const placedSlowdown = { moves: Number.NaN, replicas: Number.NaN };
      if (placement !== null) {
        for (const [i, remedy] of (["moves", "replicas"] as const).entries()) {
          placedSlowdown[remedy] = slowdown(placedLoad(plain, placement[remedy], counts![i], rankLoad));
          part[remedy].add(placedSlowdown[remedy]);
          if (nodeLoad.length > 1) part[`${remedy}Node`].add(nodeSlowdown());
        }
      }
      if (inA) return;
      gains.bias.add(plainSlowdown - biasedSlowdown);
      for (const remedy of ["moves", "replicas"] as const) {
        gains[remedy].add(plainSlowdown - placedSlowdown[remedy]);
        leads[remedy].add(placedSlowdown[remedy] - biasedSlowdown);
      }
      if (logits !== null && solver !== null && sample.stratumOf(indexInB) >= 0) solve(logits, pairs);
      indexInB += 1;
    });

    function solve({ tokens }: TokenBatch, pairs: number): void {
      const capacity = expertCapacity(pairs, { ...routing, experts: enabled, topK: 1 });
      const { value, upperBound, exact } = solver!.solve({ scores: affinities, tokens, capacity });
      const keptOf = (expert: Int32Array, of: Int32Array) =>
        feasibleScore(affinities, { slots, expert, gate: new Float32Array(0), load: of }, tokens, capacity);
      optimum.batches += 1;
      optimum.pairs += pairs;
      optimum.plain += pairs * scoreOf(own, tokens, pairs);
      optimum.plainKept += keptOf(own, load);
      if (biasOrNull !== null) {
        optimum.biased += pairs * scoreOf(biasedOwn, tokens, pairs);
        optimum.biasedKept += keptOf(biasedOwn, biasedLoad);
      }
      optimum.best += value;
      optimum.upper += upperBound;
      isExact &&= exact;
    }

    const figuresOf = (part: Part): PartFigures => {
      const placed = (
        means: BlockMeans,
        node: BlockMeans,
        placedShape: PlacementShape | null,
      ): PlacedFigures | null => {
        const mean = means.interval();
        if (mean === null || placedShape === null) return null;
        const { gpus: ranks, slots: room } = placedShape;
        const bound = (lowerBound(part.plain.load, ranks, room) * ranks) / part.pairs;
        // Rounding must not take the bound above what was reached.
        return { slowdown: mean, nodeSlowdown: node.interval(), bound: Math.min(bound, mean.mean) };
      };
      return {
        batches: part.plain.batches,
        tokens: part.tokens,
        pairs: part.pairs,
        plain: part.plain.figures(enabled, part.pairs, hasLogits),
        excess: part.plain.excess.interval(),
        biased: biasOrNull === null ? null : part.biased.figures(enabled, part.pairs, true),
        nodeSlowdown: part.node.interval(),
        moves: placed(part.moves, part.movesNode, shape),
        replicas: placed(part.replicas, part.replicasNode, replicated),
      };
    };
    const perPair = (sum: number) => sum / optimum.pairs;
    const run = whole.figures(enabled, found.pairs, false);
    return {
      layer,
      experts: enabled,
      topK,
      tokens: found.tokens,
      pairs: found.pairs,
      batches: found.batches,
      emptyBatches: found.emptyBatches,
      load: found.load.map((count, e) => (isEnabled[e] === 1 ? count : -1)),
      idleExperts: Array.from(found.load.keys()).filter((e) => isEnabled[e] === 1 && found.load[e] === 0),
      idleFraction: whole.idle.interval()!,
      hottest: hottestOf(found.load, found.pairs / enabled),
      maxVioRun: run.maxVioRun,
      maxVioBatch: run.maxVioBatch,
      chanceRun: expertChance === null ? null : expertChance(found.pairs / chanceTopK),
      chanceBatch: whole.chance.interval()?.mean ?? null,
      gpus,
      slowdownExcess: { ...run.slowdown, mean: run.slowdown.mean - 1 },
      excess: whole.excess.interval(),
      a: parts && figuresOf(parts.a),
      b: parts && figuresOf(parts.b),
      dropped: run.dropped,
      bias: biasOrNull,
      biasProblem: hasParts ? fitted!.biasProblem : "there is a single batch",
      gains: { bias: gains.bias.interval(), moves: gains.moves.interval(), replicas: gains.replicas.interval() },
      biasLead: { moves: leads.moves.interval(), replicas: leads.replicas.interval() },
      optimum:
        optimum.batches === 0
          ? null
          : {
              capacityFactor,
              batches: optimum.batches,
              plain: perPair(optimum.plain),
              biased: biasOrNull === null ? null : perPair(optimum.biased),
              plainKept: perPair(optimum.plainKept),
              biasedKept: biasOrNull === null ? null : perPair(optimum.biasedKept),
              best: perPair(optimum.best),
              upperBound: perPair(optimum.upper),
              exact: isExact,
            },
      placement,
    };
  };

  /** Draws the batches of B whose optimum is found: all, or one of each stratum. */
  function sampleOf(batches: number, { tokens }: Survey, layer: number): StratifiedSample {
    const logitsOfB = (1 - split) * (tokens ?? 0) * experts;
    const size = Math.max(1, Math.ceil(logitsOfB / mostOptimumLogits));
    return createStratifiedSample(batches, Math.min(size, Math.max(1, batches)), createRandom(layer).derive("optimum"));
  }

  /** What is summed up of one way of routing the batches of a part. */
  function createSeries() {
    const sums = new Float64Array(experts);
    const [maxVio, slow, excess, chances, idle] = Array.from({ length: 5 }, createBlockMeans);
    const drops = dropFactors.map(() => 0);
    return {
      load: sums,
      batches: 0,
      /** Σ of the affinities of the pairs. */
      score: 0,
      idle,
      excess,
      chance: chances,
      add(
        counts: ArrayLike<number>,
        enabled: number,
        pairs: number,
        ownSlowdown: number,
        chance: number,
        unit: number,
      ): void {
        this.batches += 1;
        for (let e = 0; e < experts; e++) sums[e] += counts[e];
        maxVio.add((largest(counts) * enabled) / pairs - 1);
        slow.add(ownSlowdown);
        chances.add(chance);
        excess.add(ownSlowdown - 1 - unit);
        idle.add((idleFraction(counts) * experts - (experts - enabled)) / enabled);
        if (recording.hasShares) return;
        for (const [i, factor] of dropFactors.entries()) {
          const capacity = expertCapacity(pairs, { tokens: pairs, experts: enabled, topK: 1, capacityFactor: factor });
          drops[i] += pairsOverCapacity(counts, capacity) / pairs;
        }
      },
      figures(enabled: number, pairs: number, hasScore: boolean): RoutingFigures {
        const { batches } = this;
        return {
          maxVioRun: (largest(sums) * enabled) / pairs - 1,
          maxVioBatch: maxVio.interval()!,
          slowdown: slow.interval()!,
          dropped: recording.hasShares ? [] : drops.map((sum) => sum / batches),
          score: hasScore ? this.score / pairs : null,
        };
      },
    };
  }

  function createPart() {
    const [node, moves, replicas, movesNode, replicasNode] = Array.from({ length: 5 }, createBlockMeans);
    return {
      pairs: 0,
      tokens: null as number | null,
      plain: createSeries(),
      biased: createSeries(),
      node,
      moves,
      replicas,
      movesNode,
      replicasNode,
    };
  }
  type Part = ReturnType<typeof createPart>;
}

/** Largest / mean load. */
function slowdown(rankLoad: Float64Array): number {
  return largest(rankLoad) / meanLoad(rankLoad);
}

function totalOf(load: ArrayLike<number>): number {
  let total = 0;
  for (let e = 0; e < load.length; e++) total += load[e];
  return total;
}

/** Marks the experts that some token of a batch can have. */
function markEnabled({ logits, tokens, experts, hasDisabled }: TokenBatch, isEnabled: Uint8Array): void {
  if (!hasDisabled) {
    isEnabled.fill(1);
    return;
  }
  for (let entry = 0; entry < tokens * experts; entry++) {
    if (logits[entry] > Number.NEGATIVE_INFINITY) isEnabled[entry % experts] = 1;
  }
}

function hottestOf(load: Float64Array, mean: number): HotExpert[] {
  return Array.from(load, (count, expert) => ({ expert, ratio: count / mean }))
    .sort((a, b) => b.ratio - a.ratio || a.expert - b.expert)
    .slice(0, mostHottest);
}
