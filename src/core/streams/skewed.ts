import { shuffler } from "d3-array";
import { z } from "zod";
import type { RandomSource } from "../random.ts";
import { apportion, createLoadFitter } from "./parts/exact-loads.ts";
import { createNoiseSource, repeatRow } from "./parts/normal-source.ts";
import { createSyntheticStream, type WriteLogits } from "./parts/synthetic-stream.ts";
import { type LoadTarget, solveShares, targetProblem } from "./parts/target-shares.ts";
import { type ImbalancePreset, imbalancePresets, poolOf, presetOf, presetProblem } from "./parts/token-imbalance.ts";
import { createUniformSource } from "./parts/uniform-source.ts";
import { defineStreamKind, layersOption, type StreamContext, type StreamShape } from "./stream.ts";

const presetNames = [...Object.keys(imbalancePresets), ...Object.values(imbalancePresets)];

/** Options of hot sets, with which only a correlated stream differs. */
const defaultTurns = { hotSets: 4, period: 10 } as const;
const turnOptions = ["hotSets", "period"] as const;

const skewedOptions = z.strictObject({
  target: z
    .strictObject({
      maxVio: z.number().min(0).optional().describe("MaxVio of the loads summed over the run, max / mean − 1."),
      balancedness: z
        .number()
        .gt(0)
        .max(1)
        .optional()
        .describe("Mean / max of the loads summed over the run, of the experts or of `ranks`."),
      cv: z.number().min(0).optional().describe("Standard deviation / mean of the loads summed over the run."),
      ranks: z
        .int()
        .min(1)
        .optional()
        .describe("With balancedness: ranks with contiguous experts; the hottest experts then share a rank."),
    })
    .optional()
    .describe("How uneven plain top-k's loads are over the run: one of maxVio, balancedness and cv, met within 2 %."),
  preset: z
    .enum(presetNames)
    .optional()
    .describe("Workload of Megatron-LM's token-imbalance benchmark, in place of a target."),
  correlated: z
    .boolean()
    .default(false)
    .describe(
      "Hot sets that take turns, of experts that are chosen together; the run's loads stay those of the target.",
    ),
  hotSets: z.int().min(2).max(1024).default(defaultTurns.hotSets).describe("If correlated: sets that take turns."),
  period: z.int().min(1).max(1e9).default(defaultTurns.period).describe("If correlated: steps for which a set is hot."),
  temperature: z
    .number()
    .min(0.001)
    .max(1000)
    .default(1)
    .describe("Standard deviation of the noise on each logit; everything else scales with it."),
  layers: layersOption,
});

type SkewedOptions = z.output<typeof skewedOptions>;

/** How much more of its pairs an expert gets while its set is hot, before other constraints. */
const hotFactor = 4;
/** Correlation of the logits of a token's experts in one set. */
const setCorrelation = 0.5;
/** By how much the experts of a preset's pool exceed the others, in standard deviations of the noise. */
const poolLift = 3;
/** Shares beyond these get the logits of these; exchanges do the rest. */
const leastShare = 1e-6;

/**
 * A stream whose plain top-k has loads that were asked for. With a `target`, expert e is chosen by the fraction π_e of all tokens:
 * the shares of a capped Zipf law (see `solveShares`) in a random order. Each batch is
 *
 *     Z_te = temperature · (Φ⁻¹(π_e) + ξ_te),   ξ_te ~ N(0, 1)
 *
 * whose top-k has about these loads; then some pairs of each row exchange their logits until every batch has them exactly (see
 * `createLoadFitter`), in whole pairs that are carried over from step to step. So the loads of the run are within one pair of
 * T · steps · π_e, and each batch is as uneven as the run. A bias of −Φ⁻¹(π_e) would balance the stream.
 *
 * With `correlated`, experts belong to `hotSets` random sets, each hot for `period` steps in turn. Shares then depend on the set s
 * that is hot, and ξ is correlated within sets, so that their experts are chosen together:
 *
 *     q_se ∝ hotFactor if e is in s, else 1, scaled to Σ_e q_se = topK and Σ over steps of q_se = steps · π_e, q ≤ 1
 *     ξ_te = √½ · ξ'_te + √½ · η_t,set(e)
 *
 * The run's loads are those of the target again, those of a batch are more uneven.
 *
 * With a `preset`, each token's experts are drawn as Megatron-LM's benchmark does (see `poolOf`); the experts of its pool get 3
 * temperatures more than the others, and where noise still puts another one above, the two exchange their logits. The generator of
 * random numbers is another one, gates follow from the logits instead of being drawn, and all ranks together route one batch, where
 * the benchmark gives every rank the same rows.
 */
export const skewedKind = defineStreamKind({
  kind: "skewed",
  summary: "plain top-k has a given MaxVio, balancedness or CV, or is a benchmark's workload",
  source:
    "presets W0 to W7: NVIDIA/Megatron-LM pull request 7488, benchmarks/moe/token_imbalance, whose loads agree in expectation, " +
    "not draw by draw; targets: capped Zipf shares in a probit model",
  options: skewedOptions,
  check(options, shape) {
    const { target, preset, correlated } = options;
    const unused = correlated ? undefined : turnOptions.find((name) => options[name] !== defaultTurns[name]);
    if (unused !== undefined) return [{ path: [unused], message: "goes with correlated: true" }];
    const topK = topKOf(shape);
    if (topK > shape.experts) return [];
    if ((target === undefined) === (preset === undefined)) {
      return [{ path: [], message: "give either target or preset" }];
    }
    if (preset !== undefined) {
      const problem = presetProblem(presetOf(preset), shape.experts, topK);
      if (correlated) return [{ path: ["correlated"], message: "goes with a target, not with a preset" }];
      return problem === null ? [] : [{ path: ["preset"], message: problem }];
    }
    return targetProblems(target!, shape, topK);
  },
  async create(context, options) {
    const { preset } = options;
    const write =
      preset === undefined ? writeTarget(context, options) : writePreset(context, options, presetOf(preset));
    return createSyntheticStream(context, write);
  },
});

/** A stream that is opened by itself, without routers, is of top-1. */
function topKOf({ topK = 1 }: StreamShape): number {
  return topK;
}

function targetProblems(
  target: LoadTarget,
  { steps, tokens, experts }: StreamShape,
  topK: number,
): { path: readonly string[]; message: string }[] {
  const named = (["maxVio", "balancedness", "cv"] as const).filter((name) => target[name] !== undefined);
  if (named.length !== 1) {
    return [{ path: ["target"], message: "give exactly one of maxVio, balancedness and cv" }];
  }
  if (target.ranks !== undefined && named[0] !== "balancedness") {
    return [{ path: ["target", "ranks"], message: "goes with balancedness only" }];
  }
  if (target.ranks !== undefined && target.ranks > experts) {
    return [{ path: ["target", "ranks"], message: `${target.ranks} is more than the ${experts} experts` }];
  }
  const problem = targetProblem(target, { experts, topK, tokens: steps * tokens });
  return problem === null ? [] : [{ path: ["target", named[0]], message: problem }];
}

function writeTarget({ shape, kernels, random }: StreamContext, options: SkewedOptions): WriteLogits {
  const { steps, tokens, experts } = shape;
  const { correlated, hotSets, period, temperature } = options;
  const topK = topKOf(shape);
  const target = options.target!;
  const byPopularity = solveShares(target, { experts, topK });
  const order = drawOrder(experts, target.ranks, random.derive("popularity"));
  const shares = new Float64Array(experts);
  order.forEach((expert, rank) => {
    shares[expert] = byPopularity[rank];
  });
  // Dealt by popularity, so that the sets are about equally busy.
  const setOf = new Int32Array(experts);
  order.forEach((expert, rank) => {
    setOf[expert] = rank % hotSets;
  });
  const setAt = (step: number) => (correlated ? Math.floor(step / period) % hotSets : 0);
  const sharesOfSet = correlated ? turns(shares, topK, setOf, hotSets, steps, period) : [shares];
  const offsets = sharesOfSet.map((each) => Float32Array.from(each, (share) => temperature * normalQuantile(share)));

  const addNoise = createNoiseSource(kernels, random.derive("noise"));
  const addSetNoise = createNoiseSource(kernels, random.derive("sets"));
  const setNoise = kernels.allocateFloat32(correlated ? tokens * hotSets : 0);
  const fitter = createLoadFitter(kernels, { tokens, experts, topK }, createUniformSource(random.derive("exchanges")));
  const counts = new Int32Array(experts);
  /** Pairs that the run so far should have had, minus those that it had. */
  const owed = new Float64Array(experts);

  return (logits, step) => {
    const set = setAt(step);
    repeatRow(offsets[set], logits, tokens);
    if (correlated) {
      setNoise.fill(0);
      addSetNoise(setNoise, temperature * Math.sqrt(setCorrelation), tokens * hotSets);
      for (let token = 0, entry = 0; token < tokens; token++) {
        for (let e = 0; e < experts; e++, entry++) logits[entry] += setNoise[token * hotSets + setOf[e]];
      }
    }
    addNoise(logits, temperature * Math.sqrt(correlated ? 1 - setCorrelation : 1), tokens * experts);
    for (let e = 0; e < experts; e++) owed[e] += tokens * sharesOfSet[set][e];
    apportion(owed, tokens * topK, tokens, counts);
    fitter.fit(logits, counts);
    for (let e = 0; e < experts; e++) owed[e] -= counts[e];
  };
}

/** Returns the experts `[experts]` by popularity, in random order; with `ranks`, one rank after the other, the larger ones first. */
function drawOrder(experts: number, ranks: number | undefined, random: RandomSource): Int32Array {
  const shuffle = shuffler(random.uniform);
  const all = Int32Array.from({ length: experts }, (_, e) => e);
  if (ranks === undefined) return shuffle(all);
  const least = Math.floor(experts / ranks);
  const larger = experts % ranks;
  const firstOf = (rank: number) => rank * least + Math.min(rank, larger);
  const rankOrder = [
    ...shuffle(Array.from({ length: larger }, (_, rank) => rank)),
    ...shuffle(Array.from({ length: ranks - larger }, (_, i) => larger + i)),
  ];
  return Int32Array.from(rankOrder.flatMap((rank) => Array.from(shuffle(all.slice(firstOf(rank), firstOf(rank + 1))))));
}

/**
 * Returns the shares `[experts]` while each set is hot. Scales rows to `topK` and columns to the run's shares in turn, with entries
 * of at most 1, as Sinkhorn's algorithm does, and ends with the columns, on which the run's loads depend.
 */
function turns(
  shares: Float64Array,
  topK: number,
  setOf: Int32Array,
  hotSets: number,
  steps: number,
  period: number,
): Float64Array[] {
  const stepsOf = new Float64Array(hotSets);
  const whole = Math.floor(steps / (period * hotSets));
  for (let set = 0; set < hotSets; set++) {
    const rest = steps - whole * period * hotSets - set * period;
    stepsOf[set] = whole * period + Math.min(period, Math.max(0, rest));
  }
  const experts = shares.length;
  const entries = Array.from({ length: hotSets }, (_, set) =>
    Float64Array.from(shares, (share, e) => share * (setOf[e] === set ? hotFactor : 1)),
  );
  for (let round = 0, error = 1; round < 1000 && error > 1e-9; round++) {
    error = 0;
    for (const row of entries) {
      const scale = topK / row.reduce((sum, entry) => sum + entry, 0);
      error = Math.max(error, Math.abs(scale - 1));
      for (let e = 0; e < experts; e++) row[e] = Math.min(1, row[e] * scale);
    }
    for (let e = 0; e < experts; e++) {
      let sum = 0;
      for (let set = 0; set < hotSets; set++) sum += stepsOf[set] * entries[set][e];
      const scale = sum === 0 ? 1 : (steps * shares[e]) / sum;
      for (const row of entries) row[e] = Math.min(1, row[e] * scale);
    }
  }
  return entries;
}

/** Φ⁻¹ within 5e-4, at which the exchanges have little left to do. Abramowitz and Stegun 1964, 26.2.23. */
function normalQuantile(share: number): number {
  const p = Math.min(1 - leastShare, Math.max(leastShare, share));
  const t = Math.sqrt(-2 * Math.log(Math.min(p, 1 - p)));
  const size = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
  return p < 0.5 ? -size : size;
}

function writePreset(
  { shape, kernels, random }: StreamContext,
  { temperature }: SkewedOptions,
  preset: ImbalancePreset,
): WriteLogits {
  const { tokens, experts } = shape;
  const topK = topKOf(shape);
  const addNoise = createNoiseSource(kernels, random.derive("noise"));
  const uniform = createUniformSource(random.derive("experts"));
  const pool = new Int32Array(experts);
  const isChosen = new Uint8Array(experts);

  /** Moves `topK` random experts of the first `count` of `pool` to its beginning. */
  function choose(count: number): void {
    isChosen.fill(0);
    for (let i = 0; i < topK; i++) {
      const drawn = i + Math.floor(uniform() * (count - i));
      const expert = pool[drawn];
      pool[drawn] = pool[i];
      pool[i] = expert;
      isChosen[expert] = 1;
    }
  }

  /** Exchanges logits until those of the first `topK` of `pool` are the largest of the row. */
  function raiseChosen(logits: Float32Array, first: number): void {
    for (;;) {
      let [least, most] = [pool[0], -1];
      for (let i = 1; i < topK; i++) if (logits[first + pool[i]] < logits[first + least]) least = pool[i];
      for (let e = 0; e < experts; e++) {
        if (isChosen[e] === 0 && (most < 0 || logits[first + e] > logits[first + most])) most = e;
      }
      if (most < 0 || logits[first + most] < logits[first + least]) return;
      // Equal logits, as rare as they are, would go to the lower index.
      const lower = logits[first + least];
      logits[first + least] = logits[first + most];
      logits[first + most] = lower === logits[first + least] ? lower - temperature * 2 ** -10 : lower;
    }
  }

  return (logits, step) => {
    logits.fill(0, 0, tokens * experts);
    addNoise(logits, temperature, tokens * experts);
    for (let token = 0; token < tokens; token++) {
      const first = token * experts;
      const { start, stride, count } = poolOf(preset, { experts, topK }, step, token);
      for (let i = 0; i < count; i++) {
        pool[i] = (start + i * stride) % experts;
        logits[first + pool[i]] += count < experts ? poolLift * temperature : 0;
      }
      choose(count);
      raiseChosen(logits, first);
    }
  };
}
