import type { Kernels } from "../kernels/kernels.ts";
import type { DualFunction, KeptScores } from "../metrics/dual-function.ts";
import {
  createFeasibleScore,
  createOptimumSeries,
  createRegretMeter,
  type Optimum,
  type OptimumSeries,
  type RegretState,
} from "../metrics/regret.ts";
import { createRunSummary, type RunSummary, type RunSummaryState } from "../metrics/run-summary.ts";
import { type BatchFacts, createStepMeter } from "../metrics/step-metrics.ts";
import type { StepRecord } from "../metrics/step-record.ts";
import { findRouterKind } from "../routers/index.ts";
import type { RoutedStep, RouterState } from "../routers/router.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import type { StratifiedSample } from "../stratified-sample.ts";
import type { Stream } from "../streams/stream.ts";
import type { TokenBatch } from "../token-batch.ts";
import type { TrainingStep } from "../training-step.ts";
import { createRouter } from "./open-scenario.ts";
import { hasDualRegret, optimumRouter } from "./regret.ts";

/** How long a router's steps took, in milliseconds. */
export interface Timing {
  /** `[steps]`, of `route`. */
  readonly routeMs: readonly number[];
  /** `[steps]`, of what the stream learns from each batch; null where it does not train. */
  readonly trainMs: readonly number[] | null;
  readonly tokens: number;
}

/** F on each measured step, and the tokens of its batch, flat. */
export interface FeasibleSeries {
  readonly score: Float64Array;
  readonly tokens: Float64Array;
}

/** What one router did on a pass, before it is known how well it could have done. Plain data. */
export interface RoutedRun {
  /** In the scenario. */
  readonly position: number;
  /** Without regret. */
  readonly summary: RunSummary;
  readonly timing: Timing;
  readonly feasible: FeasibleSeries;
  /** On each measured step, of the router that proves the measured optimum itself; null for the others. */
  readonly optima: OptimumSeries | null;
  /** `[steps]`, f_n(b_n); null for routers without dual regret. */
  readonly duals: Float64Array | null;
  /** Steps with regret on which the router's transport solver ran. */
  readonly solvedWithRegret: number;
}

/** All that a run remembers between batches. Plain data. */
export interface RouterRunState {
  readonly router: RouterState;
  readonly summary: RunSummaryState;
  readonly regret: RegretState;
  readonly routeMs: number[];
  readonly trainMs: number[];
  readonly tokens: number;
  readonly feasible: FeasibleSeries;
  readonly optima: OptimumSeries | null;
  readonly duals: Float64Array | null;
  readonly solvedWithRegret: number;
}

/** What routers share of a batch. */
export interface BatchScores {
  /** S `[tokens × experts]`, float64, by the measured affinities; null on steps without regret. */
  readonly scores: Float64Array | null;
  /** What dual regret rests on, by the router's own affinities; null if no router of the kind has it. */
  readonly kept: { readonly dual: DualFunction; readonly scores: KeptScores } | null;
}

/** A router that is being run. For each batch `route` comes first and then `measure`. */
export interface RouterRun {
  readonly choice: RouterChoice;
  route(batch: TokenBatch, shared: BatchScores): void;
  /** The measured optimum that the router proved of the batch, on steps with regret, if it is one that does. */
  optimum(): Optimum | null;
  /**
   * Where `optimum` is null, as the batch has none or it is found elsewhere, the record has no regret. A `stream` that
   * trains learns from what the capacity policy leaves of the assignment.
   */
  measure(
    batch: TokenBatch,
    facts: BatchFacts,
    shared: BatchScores,
    optimum: Optimum | null,
    stream: Stream,
  ): StepRecord;
  /** `[experts]`, of the last batch. */
  load(): Int32Array;
  /** To be written down at once: parts of it change with every batch. */
  state(): RouterRunState;
  result(): RoutedRun;
}

/**
 * @param sample the steps with regret
 * @param from of a run of the same router, to resume from; changes with every batch
 */
export function createRouterRun(
  scenario: Scenario,
  position: number,
  sample: StratifiedSample,
  kernels: Kernels,
  from?: RouterRunState,
): RouterRun {
  const choice = scenario.routers[position];
  const kind = findRouterKind(choice.kind)!;
  const router = createRouter(scenario, choice, kernels);
  if (from !== undefined) router.restore(from.router);
  const maxSlots = kind.maxSlots?.(scenario) ?? scenario.topK;
  const meter = createStepMeter(
    kernels,
    scenario,
    scenario.measure.scores,
    scenario.capacity,
    scenario.ranks,
    maxSlots,
  );
  const feasibleScore = createFeasibleScore(scenario, maxSlots);
  const regretMeter = createRegretMeter(scenario.topK, from?.regret);
  const summary = createRunSummary({ ...scenario, plan: kind.plan }, from?.summary);
  const routeMs = from?.routeMs ?? [];
  const trainMs = from?.trainMs ?? [];
  const feasible = from?.feasible ?? {
    score: new Float64Array(sample.strata),
    tokens: new Float64Array(sample.strata),
  };
  const isProver = optimumRouter(scenario, [choice]) !== undefined;
  const optima = from?.optima ?? (isProver ? createOptimumSeries(sample.strata) : null);
  const duals = from?.duals ?? (hasDualRegret(scenario, choice) ? new Float64Array(scenario.steps) : null);
  let tokens = from?.tokens ?? 0;
  let solvedWithRegret = from?.solvedWithRegret ?? 0;
  let routed: RoutedStep;
  let trained: TrainingStep | undefined;
  let optimum: Optimum | null = null;

  function learn(batch: TokenBatch, stream: Stream): void {
    if (stream.learn === undefined) return;
    const start = performance.now();
    const assignment = { ...routed.assignment, expert: meter.remaining() };
    trained = stream.learn(assignment, (gateGradient, logitGradient) =>
      router.backward(batch, gateGradient, logitGradient),
    );
    trainMs.push(performance.now() - start);
  }

  return {
    choice,
    route(batch, { scores, kept }) {
      if (duals !== null && kept !== null) duals[batch.step] = kept.dual.value(kept.scores, router.bias!);
      const start = performance.now();
      routed = router.route(batch);
      routeMs.push(performance.now() - start);
      tokens += batch.tokens;
      optimum = null;
      if (scores === null || optima === null) return;
      const { value, upperBound } = routed.optimum!;
      optimum = { upperBound, gap: (upperBound - value) / (batch.tokens * scenario.topK) };
      const measured = sample.stratumOf(batch.step);
      optima.upperBound[measured] = optimum.upperBound;
      optima.gap[measured] = optimum.gap;
    },
    optimum: () => optimum,
    measure(batch, facts, { scores }, best, stream) {
      const { assignment, solver } = routed;
      let regret = null;
      if (scores !== null) {
        const score = feasibleScore(scores, assignment, batch.tokens);
        const measured = sample.stratumOf(batch.step);
        feasible.score[measured] = score;
        feasible.tokens[measured] = batch.tokens;
        if (solver !== undefined) solvedWithRegret += 1;
        if (best !== null) regret = regretMeter.measure(best, score, batch.tokens);
      }
      const metrics = meter.measure(batch, facts, assignment, router.bias, stream.learn !== undefined);
      learn(batch, stream);
      const record: StepRecord = {
        step: batch.step,
        tokens: batch.tokens,
        load: assignment.load,
        metrics,
        regret,
        ...(solver !== undefined && { solver }),
        ...(trained !== undefined && { training: trained }),
      };
      summary.observe({ ...record, regret: null });
      return record;
    },
    load: () => routed.assignment.load,
    state: () => ({
      router: router.state(),
      summary: summary.state,
      regret: regretMeter.state,
      routeMs,
      trainMs,
      tokens,
      feasible,
      optima,
      duals,
      solvedWithRegret,
    }),
    result: () => ({
      position,
      summary: summary.summary(),
      timing: { routeMs, trainMs: trained === undefined ? null : trainMs, tokens },
      feasible,
      optima,
      duals,
      solvedWithRegret,
    }),
  };
}
