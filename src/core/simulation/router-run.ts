import type { Assignment } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import type { LoadFractionsState } from "../metrics/aux-loss.ts";
import type { DualFunction } from "../metrics/dual-function.ts";
import { createFeasibleScore, createRegretMeter, type Optimum, type RegretState } from "../metrics/regret.ts";
import { createRunSummary, type RunSummaryState } from "../metrics/run-summary.ts";
import { type BatchFacts, createStepMeter } from "../metrics/step-metrics.ts";
import type { StepRecord } from "../metrics/step-record.ts";
import { createStepSeries, firstSteps, type StepSeries, writeStep } from "../metrics/step-series.ts";
import { createRandom } from "../random.ts";
import { routerKindOf } from "../routers/index.ts";
import type { RoutedStep, Router, RouterState } from "../routers/router.ts";
import { type RouterChoice, randomOf, type Scenario } from "../scenario/scenario.ts";
import { drawWithEnds, type StratifiedSample } from "../stratified-sample.ts";
import type { Stream } from "../streams/stream.ts";
import type { TokenBatch } from "../token-batch.ts";
import type { Evaluation, TrainingStep } from "../training-step.ts";
import { hasDualRegret } from "./optima.ts";
import { createPlacementRun, type GpuLoads, type PlacementRunState } from "./placement-run.ts";
import { evaluatedTokens, trainingFigures, trains } from "./sharing.ts";

/** The feasible score F on each measured step, and the tokens of its batch. */
export interface FeasibleSeries {
  readonly score: Float64Array;
  readonly tokens: Float64Array;
}

/** What is kept of each step of a router, in flat arrays that are allocated once. Plain data. */
export interface RunSeries {
  readonly figures: StepSeries;
  /** `[steps]`, milliseconds that `route` took. */
  readonly routeMs: Float64Array;
  /** `[steps]`, milliseconds that the stream took to learn from the batch; null if it does not train. */
  readonly trainMs: Float64Array | null;
  /** `[sampled steps × experts]`, the loads on the steps of {@link loadSteps}. */
  readonly loads: Int32Array;
  /** `[measured steps]`; null if another thread finds the optima. */
  readonly regret: Float64Array | null;
  /** What regret will be computed from if another thread finds the optima, else null. */
  readonly feasible: FeasibleSeries | null;
  /** `[steps]`, f_n(b_n); null for routers without dual regret. */
  readonly duals: Float64Array | null;
}

/** What one router did. Plain data. */
export interface RoutedRun {
  /** Position in the scenario. */
  readonly position: number;
  readonly summary: RunSummaryState;
  /** Number of tokens in all batches. */
  readonly tokens: number;
  /** Null if the scenario does not place experts. */
  readonly gpuLoads: GpuLoads | null;
  readonly series: RunSeries;
}

/** Everything that a run remembers between batches. Plain data. */
export interface RouterRunState {
  readonly router: RouterState;
  readonly summary: RunSummaryState;
  readonly regret: RegretState;
  /** Loads that the auxiliary loss of the next steps depends on. */
  readonly loads: LoadFractionsState;
  readonly tokens: number;
  /** Null if the scenario does not place experts. */
  readonly placement: PlacementRunState | null;
  readonly series: RunSeries;
}

/** A router that is being run. For each batch call `route`, then `measure`. */
export interface RouterRun {
  readonly choice: RouterChoice;
  readonly router: Router;
  /** What `route` returned last. */
  readonly routed: RoutedStep;
  route(batch: TokenBatch): void;
  /** Returns the optimum of `batch`, the last one routed, as proven by a router that solves for it. */
  provenOptimum(batch: TokenBatch): Optimum;
  /**
   * Measures the last batch. A `stream` that trains learns from the assignment after the capacity policy, and may then
   * evaluate.
   *
   * @param affinities S `[tokens × experts]`, float64, by the measured affinities; null on steps without regret
   * @param optimum null on steps without regret, and if another thread finds it: the record then has no regret
   */
  measure(
    batch: TokenBatch,
    facts: BatchFacts,
    affinities: Float64Array | null,
    optimum: Optimum | null,
    stream: Stream,
  ): StepRecord;
  /** Write it down at once: parts of it change with every batch. */
  state(): RouterRunState;
  /** Needs at least one step. */
  result(): RoutedRun;
}

export interface RouterRunContext {
  readonly scenario: Scenario;
  /** Position of the router in the scenario. */
  readonly position: number;
  readonly kernels: Kernels;
  /** The steps with regret. */
  readonly sample: StratifiedSample;
  /** Whether the same simulation finds the optimum of each of these steps. */
  readonly hasOptima: boolean;
  /** For routers with dual regret, by their own affinities. */
  readonly dual: DualFunction | undefined;
}

/**
 * Creates a router of a scenario in its initial state; its random numbers depend only on the scenario's seed, its layer
 * and the router's kind.
 */
export function createRouter(scenario: Scenario, choice: RouterChoice, kernels: Kernels): Router {
  const { kind, scores, options } = choice;
  const random = randomOf(scenario).derive(`router/${kind}`);
  return routerKindOf(choice).create({ shape: scenario, scores, kernels, trained: trains(scenario), random }, options);
}

/** Returns the steps whose loads are kept, rising: first, last, and others drawn by the seed; at most `loadSamples`. */
export function loadSteps({ steps, loadSamples, seed }: Pick<Scenario, "steps" | "loadSamples" | "seed">): number[] {
  return drawWithEnds(steps, loadSamples, createRandom(seed).derive("loads"));
}

/** @param from the state of a run of the same router, to resume from */
export function createRouterRun(
  { scenario, position, kernels, sample, hasOptima, dual }: RouterRunContext,
  from?: RouterRunState,
): RouterRun {
  const { steps, experts, topK } = scenario;
  const choice = scenario.routers[position];
  const kind = routerKindOf(choice);
  const router = createRouter(scenario, choice, kernels);
  if (from !== undefined) router.restore(from.router);
  const maxSlots = kind.maxSlots?.(scenario) ?? topK;
  const meter = createStepMeter(kernels, scenario, maxSlots, from?.loads);
  const feasibleScore = createFeasibleScore(scenario, maxSlots);
  const regretMeter = createRegretMeter(topK, from?.regret);
  const summary = createRunSummary({ ...scenario, plan: kind.plan }, from?.summary);
  const placement = scenario.placement
    ? createPlacementRun(scenario.placement, experts, from?.placement ?? undefined)
    : null;
  const sampled = new Map(loadSteps(scenario).map((step, index) => [step, index]));
  const saved = from?.series;
  const series: RunSeries = {
    figures: createStepSeries(steps, trainingFigures(scenario), placement !== null, saved?.figures),
    routeMs: room(steps, saved?.routeMs),
    trainMs: trains(scenario) ? room(steps, saved?.trainMs) : null,
    loads: new Int32Array(sampled.size * experts),
    regret: hasOptima ? room(sample.strata, saved?.regret) : null,
    feasible: hasOptima
      ? null
      : {
          score: room(sample.strata, saved?.feasible?.score),
          tokens: room(sample.strata, saved?.feasible?.tokens),
        },
    duals: dual !== undefined && hasDualRegret(scenario, choice) ? room(steps, saved?.duals) : null,
  };
  if (saved !== undefined) series.loads.set(saved.loads);
  let tokens = from?.tokens ?? 0;
  let stepsDone = saved?.routeMs.length ?? 0;
  let stepsSampled = (saved?.loads.length ?? 0) / experts;
  let stepsMeasured = (saved?.regret ?? saved?.feasible?.score)?.length ?? 0;
  let routed: RoutedStep;
  /** Of batches without a token, which routers are not given. */
  const noAssignment: Assignment = {
    slots: topK,
    expert: kernels.allocateInt32(0),
    gate: kernels.allocateFloat32(0),
    load: new Int32Array(experts),
  };
  const heldBackTokens = evaluatedTokens(scenario);
  // A router of its own, so that evaluations leave no trace in the one that trains.
  const evaluated =
    heldBackTokens === null ? null : createRouter({ ...scenario, tokens: heldBackTokens }, choice, kernels);

  function evaluate(stream: Stream): Evaluation | null {
    if (evaluated === null || stream.evaluate === undefined) return null;
    return stream.evaluate((batch) => {
      evaluated.restore(router.state());
      return evaluated.routeAtInference?.(batch) ?? evaluated.route(batch).assignment;
    });
  }

  function learn(batch: TokenBatch, stream: Stream): TrainingStep | null {
    if (stream.learn === undefined || series.trainMs === null) return null;
    const start = performance.now();
    const assignment = { ...routed.assignment, expert: meter.remaining() };
    const step = stream.learn(assignment, (gateGradient, logitGradient) =>
      router.backward(batch, gateGradient, logitGradient),
    );
    series.trainMs[batch.step] = performance.now() - start;
    return step;
  }

  function measureRegret(
    batch: TokenBatch,
    { capacity, assignable }: BatchFacts,
    affinities: Float64Array,
    optimum: Optimum | null,
  ) {
    const { step } = batch;
    const tokens = assignable?.pairs === 0 ? 0 : batch.tokens;
    const score = feasibleScore(affinities, routed.assignment, batch.tokens, capacity);
    const measured = sample.stratumOf(step);
    stepsMeasured = measured + 1;
    if (series.feasible !== null) {
      series.feasible.score[measured] = score;
      series.feasible.tokens[measured] = tokens;
    }
    if (optimum === null || series.regret === null) return null;
    const regret = regretMeter.measure(optimum, score, tokens);
    series.regret[measured] = regret.regret;
    return tokens === 0 ? null : regret;
  }

  /** Covers the steps done so far; shares memory with `series`. */
  const doneSeries = (): RunSeries => ({
    figures: firstSteps(series.figures, stepsDone),
    routeMs: series.routeMs.subarray(0, stepsDone),
    trainMs: series.trainMs?.subarray(0, stepsDone) ?? null,
    loads: series.loads.subarray(0, stepsSampled * experts),
    regret: series.regret?.subarray(0, stepsMeasured) ?? null,
    feasible: series.feasible && {
      score: series.feasible.score.subarray(0, stepsMeasured),
      tokens: series.feasible.tokens.subarray(0, stepsMeasured),
    },
    duals: series.duals?.subarray(0, stepsDone) ?? null,
  });

  return {
    choice,
    router,
    get routed() {
      return routed;
    },
    route(batch) {
      if (series.duals !== null) series.duals[batch.step] = dual!.value(dual!.keep(batch), router.bias!);
      const start = performance.now();
      routed = batch.tokens === 0 ? { assignment: noAssignment } : router.route(batch);
      series.routeMs[batch.step] = performance.now() - start;
      tokens += batch.tokens;
      stepsDone = batch.step + 1;
    },
    provenOptimum(batch) {
      if (batch.tokens === 0) return { upperBound: 0, gap: 0 };
      const { value, upperBound } = routed.optimum!;
      return { upperBound, gap: (upperBound - value) / (batch.tokens * topK) };
    },
    measure(batch, facts, affinities, optimum, stream) {
      const { assignment, solver } = routed;
      const regret = affinities === null ? null : measureRegret(batch, facts, affinities, optimum);
      const moves = placement?.advance();
      const placed = placement?.placed ?? null;
      const metrics = meter.measure(batch, facts, assignment, router.bias, stream.learn !== undefined, placed);
      placement?.observe(assignment.load);
      const training = learn(batch, stream);
      const evaluation = evaluate(stream);
      const record: StepRecord = {
        step: batch.step,
        tokens: batch.tokens,
        load: assignment.load,
        ...(facts.assignable !== null && { enabled: facts.assignable.enabled }),
        rankLoad: meter.rankLoad,
        ...(moves !== undefined && { moves }),
        metrics,
        regret,
        ...(solver !== undefined && { solver }),
        ...(training !== null && { training }),
        ...(evaluation !== null && { evaluation }),
      };
      writeStep(series.figures, record);
      const row = sampled.get(batch.step);
      if (row !== undefined) {
        series.loads.set(assignment.load, row * experts);
        stepsSampled = row + 1;
      }
      summary.observe(record);
      return record;
    },
    state: () => ({
      router: router.state(),
      summary: summary.state,
      regret: regretMeter.state,
      loads: meter.state,
      placement: placement?.state ?? null,
      tokens,
      series: doneSeries(),
    }),
    result: () => ({
      position,
      summary: structuredClone(summary.state),
      tokens,
      gpuLoads: placement && structuredClone(placement.state.gpuLoads),
      series: doneSeries(),
    }),
  };
}

/** Returns zeros that begin with `saved`. */
function room(length: number, saved?: Float64Array | null): Float64Array {
  const array = new Float64Array(length);
  if (saved) array.set(saved);
  return array;
}
