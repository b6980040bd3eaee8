import { derivedFrom } from "../registry.ts";
import type { PlanKind } from "../solver-report.ts";
import { estimateMean } from "../stratified-sample.ts";
import { camelCase, metricColumns, type RunValues, stepColumns, type Taken } from "./catalogue.ts";
import { createIdleTracker, emptyIdleState, type IdleState, type IdleTracker } from "./idle.ts";
import { largest, loadPerRank } from "./load.ts";
import type { RegretSeries } from "./regret.ts";
import { isEmptyStep, type StepRecord } from "./step-record.ts";

/**
 * The metrics of one router over a whole run, keyed by column of summary.csv in camel case; null if one does not apply.
 * `moesim list metrics` defines them. Balance refers to the loads summed over all steps; fractions of pairs, to all
 * pairs.
 */
export interface RunSummary extends RunValues {
  /** `[steps]`, MaxVio of every batch; null if it is empty. */
  readonly maxVioBatches: readonly (number | null)[];
  /** Steps on which a transport solver ran; null for routers without a plan. */
  readonly solverSteps: number | null;
}

/** The regret of a run; null if none was measured. */
export interface RegretSummary {
  /** Mean per step: an estimate for the run if steps are sampled. */
  readonly regretMean: number | null;
  /** Standard error of `regretMean`, see `estimateMean`; null if every step was measured, or fewer than two were. */
  readonly regretSe: number | null;
  /** Σ of the regret of the measured steps only. */
  readonly regretCumulative: number | null;
  /** The largest of the steps' proven gaps. */
  readonly optimumGapMax: number | null;
}

/** Inputs of a run's metrics, besides what is taken from its steps. */
export interface RunFacts {
  /** Loads summed over all steps, of the experts that some token could have; empty if no step had a pair. */
  readonly totalLoad: Float64Array;
  /** `[ranks]`, what capacity policies left, summed over all steps. */
  readonly totalRankLoad: Float64Array;
  /** `[steps]`, MaxVio of every batch; NaN if it is empty. */
  readonly maxVios: ArrayLike<number>;
  readonly idle: IdleTracker;
  readonly deadWindow: number;
  readonly regret: RegretSummary;
  /** Absent for routers without a plan. */
  readonly plan?: PlanKind | undefined;
  /** Steps on which the solver of the plan ran, and those whose plan missed its tolerance. */
  readonly solverSteps: number;
  readonly notConverged: number;
}

/** Times of a run's steps. */
export interface RunTiming {
  /** `[steps]`, milliseconds that `route` took. */
  readonly routeMs: Float64Array;
  /** `[steps]`, milliseconds that the stream took to learn from each batch; null if it does not train. */
  readonly trainMs: Float64Array | null;
  /** Tokens of all steps together. */
  readonly tokens: number;
}

export interface RunSummaryShape {
  readonly experts: number;
  readonly ranks: number;
  /** Window of the last steps: an expert without a token in it is dead. */
  readonly deadWindow: number;
  /** The transport plan the router follows, if it has one. */
  readonly plan?: PlanKind | undefined;
}

/** State of a {@link RunSummaryBuilder}. Plain data. */
export interface RunSummaryState {
  steps: number;
  readonly totalLoad: Float64Array;
  readonly totalRankLoad: Float64Array;
  /** `[experts]`, 1 for experts that some token could have so far. */
  readonly enabled: Uint8Array;
  readonly idle: IdleState;
  /**
   * `[taken columns × 2]`: for means Σ value · weight and Σ weight, else the value and the number of steps that had
   * one.
   */
  readonly taken: Float64Array;
  /**
   * `[deadWindow × (windowed columns + 1)]`, the last steps: values, NaN for null, and tokens. Empty before the first
   * step with such a value.
   */
  window: Float64Array;
  solverSteps: number;
  notConverged: number;
}

interface TakenColumn {
  readonly key: string;
  readonly taken: Taken;
  readonly value: (record: StepRecord) => number | null;
}

/** Columns of summary.csv that are taken from the steps. */
function takenColumns(): TakenColumn[] {
  return metricColumns.flatMap(({ column, metric, taken }) => {
    if (taken === undefined) return [];
    const { value } = stepColumns.find(({ name }) => name === metric.id)!;
    return [{ key: camelCase(column), taken, value }];
  });
}

const columnsOfSummary = derivedFrom([metricColumns], () => {
  const all = takenColumns();
  const windowed = all.filter(({ taken }) => taken === "window token mean");
  return {
    windowed,
    others: all.filter(({ taken }) => taken !== "window token mean"),
    rowLength: windowed.length + 1,
    /** Columns with a value function of their own. */
    computed: metricColumns.flatMap(({ column, value }) =>
      value === undefined ? [] : [{ key: camelCase(column), value }],
    ),
  };
});

function emptyState({ experts, ranks }: Pick<RunSummaryShape, "experts" | "ranks">): RunSummaryState {
  return {
    steps: 0,
    totalLoad: new Float64Array(experts),
    totalRankLoad: new Float64Array(ranks),
    enabled: new Uint8Array(experts),
    idle: emptyIdleState(experts),
    taken: new Float64Array(2 * columnsOfSummary().others.length),
    window: new Float64Array(0),
    solverSteps: 0,
    notConverged: 0,
  };
}

/** Collects steps into a {@link RunSummary}, in memory that does not grow with them. */
export interface RunSummaryBuilder {
  /** Changes with every step. */
  readonly state: RunSummaryState;
  observe(record: StepRecord): void;
  /**
   * Needs at least one step.
   *
   * @param maxVios `[steps]`, MaxVio of every batch, for exact quantiles; NaN or null if it is empty
   */
  summary(maxVios: ArrayLike<number | null>, regret?: RegretSummary): RunSummary;
}

/** @param state of another builder of the same shape, to resume from */
export function createRunSummary(
  { experts, ranks, deadWindow, plan }: RunSummaryShape,
  state: RunSummaryState = emptyState({ experts, ranks }),
): RunSummaryBuilder {
  const { totalLoad, totalRankLoad, enabled, taken } = state;
  const { windowed, others, rowLength, computed } = columnsOfSummary();
  const rankLoadOf = new Float64Array(ranks);
  const idle = createIdleTracker(experts, state.idle);

  function take(record: StepRecord, tokens: number): void {
    for (let i = 0; i < others.length; i++) {
      const value = others[i].value(record);
      if (value === null) continue;
      const [at, count] = [2 * i, 2 * i + 1];
      switch (others[i].taken) {
        case "mean":
          taken[at] += value;
          taken[count] += 1;
          break;
        case "token mean":
          taken[at] += value * tokens;
          taken[count] += tokens;
          break;
        case "sum":
          taken[at] += value;
          taken[count] += 1;
          break;
        case "largest":
          taken[at] = taken[count] === 0 ? value : Math.max(taken[at], value);
          taken[count] += 1;
          break;
        default:
          taken[at] = value;
          taken[count] += 1;
      }
    }
  }

  function takeWindow(record: StepRecord, step: number, tokens: number): void {
    const row = (step % deadWindow) * rowLength;
    for (let i = 0; i < windowed.length; i++) {
      const value = windowed[i].value(record);
      // Runs without such metrics need no room.
      if (state.window.length === 0) {
        if (value === null) continue;
        state.window = new Float64Array(deadWindow * rowLength).fill(Number.NaN);
      }
      state.window[row + i] = value ?? Number.NaN;
    }
    if (state.window.length > 0) state.window[row + windowed.length] = tokens;
  }

  function takenValue(i: number): number | null {
    const { taken: how } = others[i];
    const [value, count] = [taken[2 * i], taken[2 * i + 1]];
    if (count === 0) return null;
    return how === "mean" || how === "token mean" ? value / count : value;
  }

  /** Sums from the oldest step onwards. */
  function windowMean(i: number): number | null {
    const { steps } = state;
    let [total, weights] = [0, 0];
    for (let step = Math.max(0, steps - deadWindow); step < steps && state.window.length > 0; step++) {
      const row = (step % deadWindow) * rowLength;
      const value = state.window[row + i];
      if (Number.isNaN(value)) continue;
      const weight = state.window[row + windowed.length];
      total += value * weight;
      weights += weight;
    }
    return weights === 0 ? null : total / weights;
  }

  return {
    state,
    observe(record) {
      const { tokens, load, rankLoad = loadPerRank(load, ranks, rankLoadOf), solver } = record;
      if (!isEmptyStep(record)) {
        for (let expert = 0; expert < experts; expert++) {
          totalLoad[expert] += load[expert];
          if (record.enabled === undefined || record.enabled[expert] === 1) enabled[expert] = 1;
        }
        for (let rank = 0; rank < ranks; rank++) totalRankLoad[rank] += rankLoad[rank];
        idle.observe(load, record.enabled);
      }
      // Every token has topK pairs, so weighting steps by tokens is weighting them by pairs.
      take(record, tokens ?? 1);
      takeWindow(record, state.steps, tokens ?? 1);
      state.steps += 1;
      if (solver !== undefined) {
        state.solverSteps += 1;
        if (!solver.converged) state.notConverged += 1;
      }
    },
    summary(maxVios, regret = noRegret) {
      const { solverSteps, notConverged } = state;
      // Steps without a token are not observed, so there may be fewer.
      const facts = {
        totalLoad: totalLoad.filter((_, expert) => enabled[expert] === 1),
        totalRankLoad,
        maxVios: Float64Array.from(maxVios, (value) => value ?? Number.NaN),
        idle,
        deadWindow: Math.min(deadWindow, state.steps),
        regret,
        plan,
        solverSteps,
        notConverged,
      };
      const values = {
        ...Object.fromEntries(others.map(({ key }, i) => [key, takenValue(i)])),
        ...Object.fromEntries(windowed.map(({ key }, i) => [key, windowMean(i)])),
        ...Object.fromEntries(computed.map(({ key, value }) => [key, value(facts)])),
      };
      return {
        ...(values as unknown as RunValues),
        maxVioBatches: Array.from(facts.maxVios, (value) => (Number.isNaN(value) ? null : value)),
        solverSteps: plan === undefined ? null : solverSteps,
      };
    },
  };
}

/** Returns the summary of a run without measured regret. */
const noRegret: RegretSummary = {
  regretMean: null,
  regretSe: null,
  regretCumulative: null,
  optimumGapMax: null,
};

/** Returns the regret of a run of `steps` from that of one step per `every`; null if there is none. */
export function summarizeRegret(
  { regret, regretCumulative, optimumGap }: RegretSeries,
  steps: number,
  every: number,
): RegretSummary {
  // Empty steps have no regret.
  const known = Array.from(regret).filter((value) => !Number.isNaN(value));
  const estimate = estimateMean(known, steps, every);
  return {
    regretMean: estimate?.mean ?? null,
    regretSe: estimate?.standardError ?? null,
    regretCumulative: estimate && regretCumulative[regretCumulative.length - 1],
    optimumGapMax: estimate && largest(optimumGap),
  };
}
