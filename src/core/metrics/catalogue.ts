/**
 * Every metric, with all its facts. Result files, tables, pages, pictures, `list metrics`, comparisons, checks and the
 * library's types read this list, so a new metric is one function and one entry here. In the texts A is the load of an
 * expert, L its mean, T the tokens, K the experts per token, E the experts, R the ranks, S the affinities, Z the logits
 * and C the capacity.
 */
import { sum } from "d3-array";
import { derivedFrom } from "../registry.ts";
import { meanPairScore, unroutedFraction } from "./drops.ts";
import {
  balancedness,
  biasSpread,
  idleFraction,
  loadCv,
  loadEntropy,
  loadGini,
  loadPerRank,
  maxVio,
  minVio,
  quantileOf,
  stepTime,
} from "./load.ts";
import type { RunFacts, RunTiming } from "./run-summary.ts";
import type { JoinedFigures, StepFacts, StepRecord, StepReport } from "./step-record.ts";
import { routingEntropy, specialisation } from "./training.ts";

/** Which figures of training a run has: none, those of the batches it trains on, or those of held-back data too. */
export type TrainingFigures = "none" | "trained" | "evaluated";

/** Which way a metric is better; null if neither way is. */
export type Better = "lower" | "higher" | null;

/**
 * How a run's value is computed from those of its steps; steps without a value are left out, and a run without any has
 * none. Token means weight steps
 * by their tokens, because each token has K pairs; windows are the last `deadWindow` steps.
 */
export type Taken = "mean" | "token mean" | "window token mean" | "largest" | "last" | "sum";

/** Name and place of a metric's column. */
interface Column {
  readonly column: string;
  /** Name in tables and pictures. */
  readonly label: string;
  /** Name in the narrow columns of a terminal, in one or two lines; absent if a terminal does not show it. */
  readonly header?: string;
  /** Place in a terminal's table; a table that is too wide drops the last ones first. */
  readonly rank?: number;
}

/** A column of summary.csv. Either `taken` or `value` says how a run's value is computed. */
interface RunColumn extends Column {
  readonly taken?: Taken;
  readonly value?: (run: RunFacts) => number | null;
  /** The column whose standard error this is; tables show the two as one. */
  readonly errorOf?: string;
  /** The column after which it stands in the file, if that is not its place among the metrics. */
  readonly after?: string;
}

/** A column of timing.csv. */
interface TimingColumn extends Column {
  /** Null if the stream does not train. */
  readonly value: (timing: RunTiming) => number | null;
}

/** Sizes that the range of a metric depends on. */
export interface RangeSizes {
  readonly experts: number;
  readonly topK: number;
  readonly ranks: number;
  readonly steps: number;
}

/** One metric. */
export interface Metric {
  /** Also the name of its column in the file with one row per step. */
  readonly id: string;
  readonly label: string;
  /** Unit of all its columns; tables for people show a `fraction` in percent. */
  readonly unit: string;
  readonly better: Better;
  readonly range: string;
  /** The same range in numbers, including both ends. */
  readonly bounds: (sizes: RangeSizes) => readonly [least: number, most: number];
  readonly definition: string;
  readonly source: string;
  /** The training figures that it is one of; absent if it exists for every stream. */
  readonly training?: "trained" | "evaluated";
  /** Present if the metric exists only for scenarios that place experts. */
  readonly placed?: true;
  /** Present if the metric exists only for results of several layers. */
  readonly layered?: true;
  /**
   * The file with its value on each step. It is measured from the facts of the step, reported by the router or the
   * stream, or joined from optima and biases that another thread may find.
   */
  readonly step?:
    | {
        readonly file: StepFile;
        /** The file if the scenario places experts; default: the same. */
        readonly placedFile?: StepFile;
        readonly measure: (facts: StepFacts) => number | null;
      }
    | { readonly file: StepFile; readonly report: (report: StepReport) => number | null }
    | { readonly file: StepFile; readonly join: (joined: JoinedFigures) => number | null };
  /** Its values for a whole run. */
  readonly run?: readonly RunColumn[];
  readonly timing?: readonly TimingColumn[];
}

export type StepFile = "steps" | "diagnostics";

/** Whether a run with these training figures has the metric; `isPlaced` says whether its scenario places experts. */
export function isFigureOf(
  { training, placed }: Pick<Metric, "training" | "placed">,
  figures: TrainingFigures,
  isPlaced = false,
): boolean {
  return (
    (training === undefined || figures === "evaluated" || training === figures) && (placed === undefined || isPlaced)
  );
}

/** Returns a metric of a run's load; null if no expert could have a token. */
function ifAny(load: Float64Array, metric: (load: Float64Array) => number): number | null {
  return load.length === 0 ? null : metric(load);
}

const notNegative = () => [0, Number.POSITIVE_INFINITY] as const;
const unit = () => [0, 1] as const;
const anything = () => [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] as const;

/**
 * The metrics in the order of the files' columns, in which those of streams that train come last, and those of held-back data
 * after them. The columns of
 * steps.csv are a contract, so add a new metric to diagnostics.csv, and at the end of this list.
 */
const entries = [
  {
    id: "max_vio",
    label: "MaxVio",
    unit: "1",
    better: "lower",
    range: "[0, E − 1]",
    bounds: ({ experts }) => [0, experts - 1],
    definition: "max A / L − 1, per batch and on the loads summed over the run",
    source: "Wang et al. 2024, arXiv 2408.15664",
    step: { file: "steps", measure: ({ load }) => maxVio(load) },
    run: [
      {
        column: "max_vio_global",
        label: "MaxVio of the run",
        header: "MaxVio\nrun",
        rank: 5,
        value: ({ totalLoad }) => ifAny(totalLoad, maxVio),
      },
      {
        column: "max_vio_batch_mean",
        label: "MaxVio of a batch, mean",
        header: "MaxVio\nbatch",
        rank: 2,
        taken: "mean",
      },
      {
        column: "max_vio_batch_p95",
        label: "MaxVio of a batch, 95th percentile",
        header: "MaxVio\np95",
        rank: 13,
        value({ maxVios }) {
          const p95 = quantileOf(maxVios, 0.95);
          return Number.isNaN(p95) ? null : p95;
        },
      },
      { column: "max_vio_batch_max", label: "MaxVio of a batch, largest", taken: "largest" },
    ],
  },
  {
    id: "min_vio",
    label: "MinVio",
    unit: "1",
    better: "lower",
    range: "[0, 1]",
    bounds: unit,
    definition: "1 − min A / L",
    source: "counterpart of MaxVio",
    step: { file: "diagnostics", measure: ({ load }) => minVio(load) },
  },
  {
    id: "load_cv",
    label: "load CV",
    unit: "1",
    better: "lower",
    range: "[0, √(E − 1)]",
    bounds: ({ experts }) => [0, Math.sqrt(experts - 1)],
    definition: "population standard deviation of A / L",
    source: "Shazeer et al. 2017, arXiv 1701.06538",
    step: { file: "steps", measure: ({ load }) => loadCv(load) },
    run: [
      {
        column: "load_cv",
        label: "load CV",
        header: "load\nCV",
        rank: 17,
        value: ({ totalLoad }) => ifAny(totalLoad, loadCv),
      },
    ],
  },
  {
    id: "load_gini",
    label: "load Gini",
    unit: "1",
    better: "lower",
    range: "[0, 1 − 1/E]",
    bounds: ({ experts }) => [0, 1 - 1 / experts],
    definition: "Gini coefficient of A",
    source: "Gini 1912",
    step: { file: "diagnostics", measure: ({ load }) => loadGini(load) },
    run: [{ column: "load_gini", label: "load Gini", value: ({ totalLoad }) => ifAny(totalLoad, loadGini) }],
  },
  {
    id: "load_entropy",
    label: "load entropy",
    unit: "1",
    better: "higher",
    range: "[0, 1]",
    bounds: unit,
    definition: "−Σ q ln q / ln E, q = A / ΣA; 1 is balanced",
    source: "Shannon 1948, normalised",
    step: { file: "steps", measure: ({ load }) => loadEntropy(load) },
    run: [{ column: "load_entropy", label: "load entropy", value: ({ totalLoad }) => ifAny(totalLoad, loadEntropy) }],
  },
  {
    id: "idle_fraction",
    label: "idle fraction",
    unit: "fraction",
    better: "lower",
    range: "[0, 1]",
    bounds: unit,
    definition: "experts without a token in the batch / E",
    source: "common practice",
    step: { file: "steps", measure: ({ load }) => idleFraction(load) },
    run: [
      {
        column: "idle_fraction_mean",
        label: "idle experts, mean fraction",
        header: "idle\n%",
        rank: 6,
        taken: "mean",
      },
      { column: "idle_fraction_max", label: "idle experts, largest fraction", taken: "largest" },
    ],
  },
  {
    id: "idle_streak",
    label: "idle streak",
    unit: "steps",
    better: "lower",
    range: "[0, steps]",
    bounds: ({ steps }) => [0, steps],
    definition:
      "longest run of steps in which any one expert has no token, without steps that are empty or on which the expert is " +
      "disabled for every token",
    source: "common practice",
    run: [
      { column: "idle_streak_max", label: "longest idle streak, steps", value: ({ idle }) => idle.longestStreak() },
    ],
  },
  {
    id: "dead_experts",
    label: "dead experts",
    unit: "experts",
    better: "lower",
    range: "[0, E]",
    bounds: ({ experts }) => [0, experts],
    definition:
      "experts without a token in their last deadWindow steps, without those that are empty or on which the expert is " +
      "disabled for every token",
    source: "common practice",
    run: [
      {
        column: "dead_experts",
        label: "dead experts",
        header: "dead",
        rank: 9,
        value: ({ idle, deadWindow }) => idle.deadExperts(deadWindow),
      },
    ],
  },
  {
    id: "dropped_fraction",
    label: "dropped fraction",
    unit: "fraction",
    better: "lower",
    range: "[0, 1]; up to E / K for expert-threshold",
    bounds: ({ experts, topK }) => [0, experts / topK],
    definition: "pairs over the capacity C and pairs that were not routed, / (T·K), under every capacity policy",
    source: "Fedus et al. 2021, arXiv 2101.03961",
    step: { file: "steps", measure: ({ dropped, pairs }) => dropped / pairs },
    run: [
      {
        column: "dropped_fraction",
        label: "dropped pairs, fraction",
        header: "dropped\n%",
        rank: 8,
        taken: "token mean",
      },
    ],
  },
  {
    id: "score",
    label: "score",
    unit: "affinity per pair",
    better: "higher",
    range: "[0, 1]; up to E / K if tokens have more than K experts; any with scores: sqrt-softplus or logits",
    bounds: () => [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
    definition:
      "Σ S over the assigned pairs, without those that the capacity policy drops, / (T·K); S by the scenario's " +
      "measure.scores, the same for all routers",
    source: "objective of BASE, arXiv 2103.16716",
    step: {
      file: "steps",
      measure({ routed, pairs }) {
        if (routed === null) return null;
        const { remaining, pairScore, batch, assignment } = routed;
        return meanPairScore(remaining, pairScore, batch.tokens * assignment.slots, pairs);
      },
    },
    run: [{ column: "score", label: "score", header: "score", rank: 4, taken: "token mean" }],
  },
  {
    id: "regret",
    label: "assignment regret",
    unit: "affinity per pair",
    better: "lower",
    range: "≥ 0",
    bounds: notNegative,
    definition:
      "(OPT − F) / (T·K): OPT the best score of any assignment with at most K experts per token and C tokens per expert, F " +
      "the router's score when each expert over C keeps its C highest (and a token its K highest); S by the scenario's " +
      "measure.scores, whatever the router selects by. If regret.every is n > 1, one step drawn from each n is measured, " +
      "and regret_mean is an unbiased estimate of the mean over all steps",
    source: "objective of BASE, arXiv 2103.16716; this program",
    step: { file: "steps", join: ({ regret }) => regret?.regret ?? null },
    run: [
      {
        column: "regret_mean",
        label: "regret of a batch, mean",
        header: "regret\nmean",
        rank: 3,
        value: ({ regret }) => regret.regretMean,
      },
    ],
  },
  {
    id: "regret_se",
    label: "regret standard error",
    unit: "affinity per pair",
    better: null,
    range: "≥ 0",
    bounds: notNegative,
    definition:
      "standard error of regret_mean over the sampled steps, from the differences between neighbouring strata; on average " +
      "not too low; empty if every step is measured",
    source: "collapsed strata: Hansen, Hurwitz and Madow 1953; Cochran 1977, section 5A.12",
    run: [
      {
        column: "regret_se",
        label: "regret of a batch, standard error of the mean",
        errorOf: "regret_mean",
        after: "not_converged_steps",
        value: ({ regret }) => regret.regretSe,
      },
    ],
  },
  {
    id: "regret_cumulative",
    label: "cumulative regret",
    unit: "affinity per pair",
    better: "lower",
    range: "≥ 0",
    bounds: notNegative,
    definition:
      "Σ of the assignment regret over the measured steps only: about 1/n of the sum over all steps if regret.every is n",
    source: "objective of BASE, arXiv 2103.16716; this program",
    step: { file: "steps", join: ({ regret }) => regret?.regretCumulative ?? null },
    run: [
      {
        column: "regret_cumulative",
        label: "regret, cumulative",
        value: ({ regret }) => regret.regretCumulative,
      },
    ],
  },
  {
    id: "optimum_gap",
    label: "optimum gap",
    unit: "affinity per pair",
    better: "lower",
    range: "≥ 0",
    bounds: notNegative,
    definition: "proven upper bound of OPT minus the best assignment found, / (T·K); 0 if exact",
    source: "linear programming duality",
    step: { file: "steps", join: ({ regret }) => regret?.optimumGap ?? null },
    run: [{ column: "optimum_gap_max", label: "optimum gap, largest", value: ({ regret }) => regret.optimumGapMax }],
  },
  {
    id: "dual_regret_cumulative",
    label: "dual regret",
    unit: "affinity per pair",
    better: "lower",
    range: "any; < 0 if the moving bias beat every fixed one",
    bounds: anything,
    definition:
      "Σ_n f_n(b_n) − f_n(b*), f(b) = (Σ_t K largest of S_t + b) / T − (K/E)·Σ b, b* the best fixed bias in hindsight; S by " +
      "the router's own affinities, so compare only routers with the same `scores`",
    source: "Han and Zhong 2025, arXiv 2512.03915",
    step: { file: "steps", join: ({ dualRegretCumulative }) => dualRegretCumulative ?? null },
    run: [
      {
        column: "dual_regret_cumulative",
        label: "dual regret, cumulative, in the router's own affinity",
        header: "dual\nregret",
        rank: 10,
        taken: "last",
      },
    ],
  },
  {
    id: "router_z",
    label: "router z",
    unit: "1",
    // A z-loss penalises large logits, but small ones are not an aim in themselves.
    better: null,
    range: "≥ 0",
    bounds: notNegative,
    definition: "mean over tokens of logsumexp(Z)²",
    source: "Zoph et al. 2022, arXiv 2202.08906, eq. 5",
    step: { file: "diagnostics", measure: ({ routed }) => routed?.shared.routerZ ?? null },
  },
  {
    id: "churn",
    label: "churn",
    unit: "fraction",
    better: null,
    range: "[0, 1]",
    bounds: unit,
    definition:
      "fraction of pairs that differ from plain top-k's choice on the same batch; slots that both leave empty are no pairs",
    source: "common practice",
    step: { file: "steps", measure: ({ routed }) => routed?.churn() ?? null },
    run: [{ column: "churn", label: "churn", header: "churn\n%", rank: 16, taken: "token mean" }],
  },
  {
    id: "rank_max_vio",
    label: "rank MaxVio",
    unit: "1",
    better: "lower",
    range: "[0, R − 1]",
    bounds: ({ ranks }) => [0, ranks - 1],
    definition:
      "MaxVio of the loads summed over each of R ranks, after the capacity policy; if R does not divide E, the first ranks " +
      "hold one expert more than the others",
    source: "expert parallelism, arXiv 2412.19437",
    step: { file: "steps", measure: ({ rankLoad }) => maxVio(rankLoad) },
    run: [
      {
        column: "rank_max_vio",
        label: "MaxVio of ranks",
        value: ({ totalLoad, totalRankLoad }) => (totalLoad.length === 0 ? null : maxVio(totalRankLoad)),
      },
    ],
  },
  {
    id: "step_time",
    label: "step time",
    unit: "1",
    better: "lower",
    range: "≥ 1 if every pair is routed and none is dropped",
    bounds: notNegative,
    definition:
      "max over ranks of the rank's load, after the capacity policy, / (T·K / R): the slowdown relative to perfect balance; " +
      "with a placement, plus moveCost for each expert that moved",
    source: "expert parallelism, arXiv 2412.19437",
    step: {
      file: "steps",
      measure: ({ rankLoad, pairs, placed }) => stepTime(rankLoad, pairs) + (placed?.moveTime ?? 0),
    },
    run: [{ column: "step_time_mean", label: "step time, mean", header: "step\ntime", rank: 11, taken: "mean" }],
  },
  {
    id: "sinkhorn_steps",
    label: "Sinkhorn steps",
    unit: "steps",
    better: null,
    range: "[0, steps]",
    bounds: ({ steps }) => [0, steps],
    definition: "steps on which the router solved an entropic transport plan; empty for routers without one",
    source: "reported by the router",
    run: [
      {
        column: "sinkhorn_steps",
        label: "Sinkhorn steps",
        value: ({ plan, solverSteps }) => (plan === "entropic" ? solverSteps : null),
      },
    ],
  },
  {
    id: "solver_iterations",
    label: "solver iterations",
    unit: "iterations",
    better: null,
    range: "≥ 0",
    bounds: notNegative,
    definition: "iterations of the transport solver on a step; in the summary, the mean over the steps on which it ran",
    source: "reported by the router",
    step: { file: "steps", report: ({ solver }) => solver?.iterations ?? null },
    run: [{ column: "solver_iterations_mean", label: "solver iterations, mean", taken: "mean" }],
  },
  {
    id: "marginal_error",
    label: "marginal error",
    unit: "1",
    better: "lower",
    range: "[0, 2]",
    bounds: () => [0, 2],
    definition: "distance of the plan from its marginals",
    source: "reported by the router",
    step: { file: "steps", report: ({ solver }) => solver?.marginalError ?? null },
  },
  {
    id: "not_converged_steps",
    label: "steps not converged",
    unit: "steps",
    better: "lower",
    range: "[0, steps]",
    bounds: ({ steps }) => [0, steps],
    definition: "steps whose plan misses its marginals by more than its tolerance; empty for routers without a plan",
    source: "reported by the router",
    run: [
      {
        column: "not_converged_steps",
        label: "steps not converged",
        value: ({ plan, notConverged }) => (plan === undefined ? null : notConverged),
      },
    ],
  },
  {
    id: "duality_gap",
    label: "duality gap",
    unit: "the solver's own",
    better: "lower",
    range: "any",
    bounds: anything,
    definition: "primal − dual value of a sparsity-constrained plan",
    source: "Liu et al. 2022, arXiv 2209.15466",
    step: { file: "diagnostics", report: ({ solver }) => solver?.dualityGap ?? null },
  },
  {
    id: "max_column_cardinality",
    label: "column cardinality",
    unit: "tokens",
    better: null,
    range: "≥ 0",
    bounds: notNegative,
    definition: "maximum number of non-zeros in a column of a sparsity-constrained plan",
    source: "Liu et al. 2022, arXiv 2209.15466",
    step: { file: "diagnostics", report: ({ solver }) => solver?.maxColumnCardinality ?? null },
  },
  {
    id: "task_loss",
    label: "task loss",
    unit: "the task's own",
    better: "lower",
    range: "the task's own",
    bounds: anything,
    definition:
      "for streams that train: mean loss of the task over the batch's tokens, before learning from them; in the summary, " +
      "the mean over the last deadWindow steps, and over all steps",
    source: "this program",
    training: "trained",
    step: { file: "steps", report: ({ training }) => training?.taskLoss ?? null },
    run: [
      {
        column: "task_loss",
        label: "task loss, last steps",
        header: "task\nloss",
        rank: 1,
        taken: "window token mean",
      },
      { column: "task_loss_mean", label: "task loss, mean of the run", taken: "token mean" },
    ],
  },
  {
    id: "gate_gradient_norm",
    label: "gate gradient norm",
    unit: "1",
    better: null,
    range: "≥ 0",
    bounds: notNegative,
    definition:
      "Euclidean norm of ∂loss / ∂(gate's weights), including the router's own loss; in the summary, the mean",
    source: "common practice",
    training: "trained",
    step: { file: "steps", report: ({ training }) => training?.gateGradientNorm ?? null },
    run: [{ column: "gate_gradient_norm_mean", label: "gate gradient norm, mean", taken: "token mean" }],
  },
  {
    id: "routing_entropy",
    label: "routing entropy",
    unit: "1",
    better: null,
    range: "[0, 1]",
    bounds: unit,
    definition:
      "mean over tokens of −Σ p ln p / ln E, p = softmax(Z); 1 is undecided; in the summary, over the last deadWindow steps",
    source: "Shannon 1948, normalised",
    training: "trained",
    step: {
      file: "steps",
      measure: ({ routed }) => (routed?.trains ? routingEntropy(routed.batch, routed.shared.logSumExp) : null),
    },
    run: [{ column: "routing_entropy", label: "routing entropy, last steps", taken: "window token mean" }],
  },
  {
    id: "specialisation",
    label: "specialisation",
    unit: "nats",
    better: "higher",
    range: "[0, entropy of the clusters]",
    bounds: ({ experts }) => [0, Math.log(experts)],
    definition:
      "mutual information of a pair's expert and its token's true cluster, on a batch; 0 if experts ignore the cluster; few " +
      "pairs add a bias of about (clusters − 1)·(E − 1) / (2·T·K); in the summary, over the last deadWindow steps",
    source: "Shannon 1948; its bias: Miller 1955",
    training: "trained",
    step: {
      file: "steps",
      measure: ({ routed }) =>
        routed?.trains && routed.batch.cluster !== undefined
          ? specialisation(routed.assignment, routed.batch.cluster, routed.batch.tokens, routed.batch.experts)
          : null,
    },
    run: [
      {
        column: "specialisation",
        label: "specialisation, last steps, nats",
        header: "special-\nisation",
        rank: 12,
        taken: "window token mean",
      },
    ],
  },
  {
    id: "expert_similarity",
    label: "expert similarity",
    unit: "1",
    // Neither way is better: experts that never learned also differ from the others.
    better: null,
    range: "[−1, 1]",
    bounds: () => [-1, 1],
    definition:
      "mean over pairs of experts of the cosine between their outputs on the same tokens; in the summary, over the last " +
      "deadWindow steps",
    source: "common practice",
    training: "trained",
    step: { file: "steps", report: ({ training }) => training?.expertSimilarity ?? null },
    run: [{ column: "expert_similarity", label: "expert similarity, last steps", taken: "window token mean" }],
  },
  {
    id: "route_ms",
    label: "route time",
    unit: "ms",
    better: "lower",
    range: "> 0",
    bounds: notNegative,
    definition: "wall-clock time to route one batch, without metrics",
    source: "this program",
    timing: [
      { column: "route_ms_mean", label: "route time, mean", value: ({ routeMs }) => sum(routeMs) / routeMs.length },
      {
        column: "route_ms_median",
        label: "route time, median",
        header: "route\nms",
        rank: 7,
        value: ({ routeMs }) => quantileOf(routeMs, 0.5),
      },
      {
        column: "route_ms_p95",
        label: "route time, 95th percentile",
        value: ({ routeMs }) => quantileOf(routeMs, 0.95),
      },
    ],
  },
  {
    id: "tokens_per_second",
    label: "tokens per second",
    unit: "tokens/s",
    better: "higher",
    range: "> 0",
    bounds: notNegative,
    definition: "tokens of all batches / the time to route them, without metrics",
    source: "this program",
    timing: [
      {
        column: "tokens_per_second",
        label: "tokens per second",
        value: ({ tokens, routeMs }) => (1000 * tokens) / sum(routeMs),
      },
    ],
  },
  {
    id: "train_ms",
    label: "train time",
    unit: "ms",
    better: "lower",
    range: "> 0",
    bounds: notNegative,
    definition: "wall-clock time the stream takes to learn from one batch, including the router's own gradient",
    source: "this program",
    training: "trained",
    timing: [
      {
        column: "train_ms_mean",
        label: "train time, mean",
        value: ({ trainMs }) => (trainMs === null ? null : sum(trainMs) / trainMs.length),
      },
      {
        column: "train_ms_median",
        label: "train time, median",
        value: ({ trainMs }) => (trainMs === null ? null : quantileOf(trainMs, 0.5)),
      },
      {
        column: "train_ms_p95",
        label: "train time, 95th percentile",
        value: ({ trainMs }) => (trainMs === null ? null : quantileOf(trainMs, 0.95)),
      },
    ],
  },
  {
    id: "bias_spread",
    label: "bias spread",
    unit: "affinity",
    // A bias must spread as far as the affinities are uneven; neither way is better in itself.
    better: null,
    range: "≥ 0",
    bounds: notNegative,
    definition:
      "max b − min b after the batch, for routers with a bias b; in the summary, after the last batch, as a model would keep it",
    source: "bias of Wang et al. 2024, arXiv 2408.15664",
    step: { file: "diagnostics", measure: ({ routed }) => biasSpread(routed?.bias ?? null) },
    run: [{ column: "bias_spread", label: "bias spread, after the last batch", taken: "last" }],
  },
  {
    id: "eval_loss",
    label: "loss on held-back data",
    unit: "the task's own",
    better: "lower",
    range: "the task's own",
    bounds: anything,
    definition:
      "for streams with evaluate: mean loss of the task over held-back tokens, routed as at inference, after learning from the " +
      "step; in the summary, after the last step",
    source: "this program",
    training: "evaluated",
    step: { file: "steps", report: ({ evaluation }) => evaluation?.loss ?? null },
    run: [{ column: "eval_loss", label: "loss on held-back data", header: "eval\nloss", rank: 1.5, taken: "last" }],
  },
  {
    id: "eval_max_vio",
    label: "MaxVio on held-back data",
    unit: "1",
    better: "lower",
    range: "[0, E − 1]",
    bounds: ({ experts }) => [0, experts - 1],
    definition:
      "for streams with evaluate: max A / L − 1 of the held-back tokens, routed as at inference; in the summary, after the last " +
      "step",
    source: "Wang et al. 2024, arXiv 2408.15664",
    training: "evaluated",
    step: { file: "steps", report: ({ evaluation }) => (evaluation === undefined ? null : maxVio(evaluation.load)) },
    run: [
      {
        column: "eval_max_vio",
        label: "MaxVio on held-back data",
        header: "eval\nMaxVio",
        rank: 2.5,
        taken: "last",
      },
    ],
  },
  {
    id: "eval_idle_fraction",
    label: "idle fraction on held-back data",
    unit: "fraction",
    better: "lower",
    range: "[0, 1]",
    bounds: unit,
    definition:
      "for streams with evaluate: experts without a token among the held-back ones, routed as at inference, / E; in the " +
      "summary, after the last step",
    source: "common practice",
    training: "evaluated",
    step: {
      file: "steps",
      report: ({ evaluation }) => (evaluation === undefined ? null : idleFraction(evaluation.load)),
    },
    run: [
      {
        column: "eval_idle_fraction",
        label: "idle experts on held-back data, fraction",
        header: "eval\nidle %",
        rank: 6.5,
        taken: "last",
      },
    ],
  },
  {
    id: "unrouted_fraction",
    label: "unrouted fraction",
    unit: "fraction",
    better: "lower",
    range: "[0, 1]",
    bounds: unit,
    definition: "tokens to which the router gave no expert / T, before drops; empty for recorded choices",
    source: "Zhou et al. 2022, arXiv 2202.09368, section 4.5",
    step: {
      file: "diagnostics",
      measure: ({ routed }) =>
        routed && unroutedFraction(routed.assignment.expert, routed.assignment.slots, routed.batch.tokens),
    },
    run: [{ column: "unrouted_fraction", label: "unrouted tokens, fraction", taken: "token mean" }],
  },
  {
    id: "aux_loss",
    label: "auxiliary loss",
    unit: "1",
    better: "lower",
    range: "≥ 0",
    bounds: notNegative,
    definition:
      "E·Σ f·p̄ with f = A / (T·K) before drops and p̄ the mean over tokens of S / Σ S (softmax for scores: logits), S by the " +
      "scenario's measure.scores; in the scope of measure.auxLoss; 1 if balanced",
    source: "Fedus et al. 2021, arXiv 2101.03961, eq. 4; global scope: arXiv 2501.11873",
    step: { file: "diagnostics", measure: ({ routed }) => routed?.auxLoss ?? null },
    run: [{ column: "aux_loss", label: "auxiliary loss", taken: "token mean" }],
  },
  {
    id: "balancedness",
    label: "balancedness",
    unit: "1",
    better: "higher",
    range: "(0, 1]",
    bounds: unit,
    definition: "mean / largest load of a rank, after the capacity policy; empty on one rank",
    source: "vLLM and SGLang",
    step: {
      file: "diagnostics",
      placedFile: "steps",
      measure: ({ rankLoad }) => (rankLoad.length === 1 ? null : balancedness(rankLoad)),
    },
    run: [{ column: "balancedness", label: "balancedness, mean", taken: "mean" }],
  },
  {
    id: "ranks_per_token",
    label: "ranks per token",
    unit: "ranks",
    better: "lower",
    range: "[1, min(R, K)]; up to R if tokens have more than K experts",
    bounds: ({ ranks }) => [1, ranks],
    definition:
      "mean over tokens of the distinct ranks that their experts are on, after the capacity policy; empty on one rank. Pair i " +
      "of the batch takes replica i modulo their number",
    source: "all-to-all of expert parallelism, arXiv 2412.19437",
    step: { file: "diagnostics", placedFile: "steps", measure: ({ routed }) => routed?.spread()?.ranks ?? null },
    run: [{ column: "ranks_per_token", label: "ranks per token", taken: "token mean" }],
  },
  {
    id: "moves",
    label: "moved experts",
    unit: "experts",
    better: "lower",
    range: "≥ 0",
    bounds: notNegative,
    definition:
      "with a placement, how often a GPU got an expert that it did not have, before the step; in the summary, the sum",
    source: "this program",
    placed: true,
    step: { file: "steps", report: ({ moves }) => moves ?? null },
    run: [{ column: "moves", label: "moved experts", taken: "sum" }],
  },
  {
    id: "nodes_per_token",
    label: "nodes per token",
    unit: "nodes",
    better: "lower",
    range: "≥ 1",
    bounds: ({ ranks }) => [1, ranks],
    definition:
      "with a placement, mean over tokens of the distinct nodes that their experts are on, as ranks_per_token",
    source: "all-to-all of expert parallelism, arXiv 2412.19437",
    placed: true,
    step: { file: "steps", measure: ({ routed, placed }) => (placed && routed?.spread()?.nodes) ?? null },
    run: [{ column: "nodes_per_token", label: "nodes per token", taken: "token mean" }],
  },
  {
    id: "unplaced_step_time",
    label: "step time without placement",
    unit: "1",
    better: null,
    range: "≥ 1 if every pair is routed and none is dropped",
    bounds: notNegative,
    definition: "step time with the experts in order on the GPUs and without replicas",
    source: "this program",
    placed: true,
    step: {
      file: "steps",
      measure: ({ keptLoad, placed, rankLoad: { length }, pairs }) =>
        placed && stepTime(loadPerRank(keptLoad, length, new Float64Array(length)), pairs),
    },
    run: [{ column: "unplaced_step_time_mean", label: "step time without placement, mean", taken: "mean" }],
  },
  {
    id: "stale_step_time",
    label: "step time of the first placement",
    unit: "1",
    better: null,
    range: "≥ 1 if every pair is routed and none is dropped",
    bounds: notNegative,
    definition: "step time if the first placement that was fitted had stayed; before it, of the experts in order",
    source: "this program",
    placed: true,
    step: {
      file: "steps",
      measure: ({ keptLoad, placed, rankLoad, pairs }) =>
        placed && (placed.staleLoad(keptLoad) * rankLoad.length) / pairs,
    },
    run: [{ column: "stale_step_time_mean", label: "step time of the first placement, mean", taken: "mean" }],
  },
  {
    id: "step_time_bound",
    label: "bound of the step time",
    unit: "1",
    better: null,
    range: "≥ 1 if every pair is routed and none is dropped",
    bounds: notNegative,
    definition: "proven lower bound on the step time of any placement, even one fitted to the loads of the step itself",
    source: "this program",
    placed: true,
    step: {
      file: "steps",
      measure: ({ keptLoad, placed, rankLoad, pairs }) =>
        placed && (placed.leastLoad(keptLoad) * rankLoad.length) / pairs,
    },
    run: [{ column: "step_time_bound_mean", label: "bound of the step time, mean", taken: "mean" }],
  },
  {
    id: "max_vio_worst",
    label: "MaxVio of the worst layer",
    unit: "1",
    better: "lower",
    range: "[0, E − 1]",
    bounds: ({ experts }) => [0, experts - 1],
    definition:
      "with several layers, the largest MaxVio of the run of any layer, which max_vio_worst_layer names; the other metrics " +
      "are means over the layers",
    source: "this program",
    layered: true,
    run: [
      {
        column: "max_vio_worst",
        label: "MaxVio of the run, worst layer",
        header: "MaxVio\nworst",
        rank: 5.5,
        // One layer has no worst one; `meanOfLayers` knows it.
        value: (): number | null => null,
      },
    ],
  },
] as const satisfies readonly Metric[];

type Entry = (typeof entries)[number];
type RunColumnOf<E> = E extends { readonly run: readonly (infer C)[] } ? (C extends unknown ? [E, C] : never) : never;
type NamedRunColumn = RunColumnOf<Entry>;

/** The name of a metric's column in summary.csv. */
export type RunColumnName = NamedRunColumn[1]["column"];

type CamelCase<Name extends string> = Name extends `${infer First}_${infer Rest}`
  ? `${First}${Capitalize<CamelCase<Rest>>}`
  : Name;
type Returned<F> = F extends (...facts: never[]) => infer Value ? Value : never;
type StepValue<E> = E extends {
  readonly step: { readonly measure: infer F } | { readonly report: infer F } | { readonly join: infer F };
}
  ? Returned<F>
  : never;
/** Means, largest and last values are null if no step has a value. */
type RunValue<C> = C extends { readonly value: infer F } ? Returned<F> : number | null;
type Measured = Extract<Entry, { readonly step: { readonly measure: unknown } }>;
type Stepped = Extract<Entry, { readonly step: object }>;

/** What is measured on each step, keyed by column in camel case. Null if a metric does not apply, or the step is empty. */
export type StepMetrics = { readonly [E in Measured as CamelCase<E["id"]>]: StepValue<E> | null };

/** The metrics of steps.csv and diagnostics.csv, in camel case. Null if one does not apply. */
export type StepValues = { readonly [E in Stepped as CamelCase<E["id"]>]: StepValue<E> | null };

/** The metrics of summary.csv, in camel case. Null if one does not apply. */
export type RunValues = {
  readonly [P in NamedRunColumn as CamelCase<P[1]["column"]>]: RunValue<P[1]>;
};

const registered: Metric[] = [...entries];

/** Every metric, in the order of the files' columns: moesim's own, then those that plugins add to this thread. */
export const metrics: readonly Metric[] = registered;

/** Returns a column's name in camel case, as the library uses it. */
export function camelCase(column: string): string {
  return column.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

const measured = derivedFrom([metrics], () =>
  metrics.flatMap(({ id, step }) =>
    step !== undefined && "measure" in step ? [{ key: camelCase(id), measure: step.measure }] : [],
  ),
);

/** Measures everything that can be measured on a step; nothing can on one without pairs. */
export function measureStep(facts: StepFacts): StepMetrics {
  const values: Record<string, number | null> = {};
  for (const { key, measure } of measured()) values[key] = facts.pairs === 0 ? null : measure(facts);
  return values as StepMetrics;
}

/** A metric of each step, and how to read its value from a record of the step. */
export interface StepColumn {
  readonly name: string;
  readonly file: StepFile;
  /** As of its metric. */
  readonly training?: "trained" | "evaluated";
  readonly placed?: true;
  /** The file if the scenario places experts. */
  readonly placedFile: StepFile;
  readonly value: (record: StepRecord) => number | null;
  /** Present if the value is joined from what other threads may find. */
  readonly join?: (joined: JoinedFigures) => number | null;
}

function stepColumnsIn({ id, step, training, placed }: Metric): StepColumn[] {
  if (step === undefined) return [];
  const key = camelCase(id) as keyof StepMetrics;
  const { file } = step;
  const column = {
    name: id,
    file,
    placedFile: "measure" in step ? (step.placedFile ?? file) : file,
    ...(training !== undefined && { training }),
    ...(placed !== undefined && { placed }),
  };
  if ("join" in step) return [{ ...column, value: step.join, join: step.join }];
  return [{ ...column, value: "report" in step ? step.report : ({ metrics }: StepRecord) => metrics[key] }];
}

const registeredStepColumns = registered.flatMap(stepColumnsIn);

/** The metrics of each step. */
export const stepColumns: readonly StepColumn[] = registeredStepColumns;

/** A column of summary.csv, with the facts of its metric. */
export interface MetricColumn extends Omit<RunColumn, "column"> {
  readonly column: RunColumnName;
  readonly metric: Metric;
  readonly better: Better;
  /** Whether it is one of the few that comparisons and pages show first. */
  readonly isMain: boolean;
}

/** Last rank of the main columns. */
const lastMainRank = 12;

function runColumnsIn(metric: Metric): MetricColumn[] {
  return (metric.run ?? []).map((column) => ({
    ...column,
    column: column.column as RunColumnName,
    metric,
    better: metric.better,
    isMain: column.errorOf !== undefined || (column.rank ?? Number.POSITIVE_INFINITY) <= lastMainRank,
  }));
}

const registeredColumns = registered.flatMap(runColumnsIn);

/** Metrics that a summary.csv can have, in reading order: a standard error comes right after its value. */
export const metricColumns: readonly MetricColumn[] = registeredColumns;

const directions = derivedFrom(
  [metrics],
  (): ReadonlyMap<string, Better> =>
    new Map(
      metrics.flatMap(({ id, better, run = [] }) =>
        [id, ...run.map(({ column }) => column)].map((name) => [name, better] as const),
      ),
    ),
);

/** Which way the metric in a column of any result file is better; null if neither way is, or if it is not a metric. */
export function directionOf(column: string): Better {
  return directions().get(column) ?? null;
}

/**
 * Returns the tooltip for the header of a summary.csv column: label and definition, or nothing if it is not a metric.
 */
export function headerTitle(column: string): string {
  const found = metricColumns.find((each) => each.column === column);
  return found === undefined ? "" : `${found.label}: ${found.metric.definition}`;
}

/** One metric, as `list` and the documentation show it. */
export interface MetricDescription {
  readonly name: string;
  readonly unit: string;
  readonly range: string;
  readonly definition: string;
  /** Which way is better; null if neither is. */
  readonly better: Better;
  /** Where it is written: file and column. */
  readonly columns: readonly string[];
  readonly source: string;
}

/** Returns every metric, as `list metrics` shows it. */
export const describeMetrics = derivedFrom([metrics], (): readonly MetricDescription[] =>
  metrics.map(({ id, label, unit, range, definition, better, source, step, run = [], timing = [] }) => ({
    name: label,
    unit,
    range,
    definition,
    better,
    columns: [
      ...run.map(({ column }) => `summary ${column}`),
      ...(step === undefined ? [] : [`${step.file} ${id}`]),
      ...(step !== undefined && "placedFile" in step ? [`${step.placedFile} ${id}`] : []),
      ...timing.map(({ column }) => `timing ${column}`),
    ],
    source,
  })),
);

/** Adds a plugin's metric, whose id and columns must be new; its columns come last in every file. */
export function addMetric(metric: Metric): void {
  registered.push(metric);
  registeredStepColumns.push(...stepColumnsIn(metric));
  registeredColumns.push(...runColumnsIn(metric));
}
