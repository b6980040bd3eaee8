import { setImmediate } from "node:timers/promises";
import type { ScoreKind } from "../core/assignment.ts";
import { InputError } from "../core/input-error.ts";
import { createRandom } from "../core/random.ts";
import type { TokenBatch } from "../core/token-batch.ts";
import type { Kernels } from "../kernels/kernels.ts";
import type { DualRegretMeter } from "../metrics/dual-regret.ts";
import { createRegretMeter, type Optimum } from "../metrics/regret.ts";
import { createRunSummary, type RunSummary } from "../metrics/run-summary.ts";
import { type BatchFacts, createBatchFacts, createStepMeter } from "../metrics/step-metrics.ts";
import type { StepRecord } from "../metrics/step-record.ts";
import { findRouterKind } from "../routers/index.ts";
import type { RoutedStep, Router } from "../routers/router.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import { findStreamKind } from "../streams/index.ts";
import type { Stream } from "../streams/stream.ts";
import { createDuals, createOptima, type DualRegret, dualRegretOf, hasDualRegret } from "./regret.ts";

/** How long a router's `route` took, in milliseconds. */
export interface Timing {
  /** `[steps]`. */
  readonly routeMs: readonly number[];
  readonly tokens: number;
}

/** What one router of a scenario came to. */
export interface RouterResult {
  readonly router: RouterChoice;
  readonly summary: RunSummary;
  readonly timing: Timing;
  /** Null for routers without a bias, or where the scenario asks for no regret. */
  readonly dualRegret: DualRegret | null;
}

export interface SimulationOptions {
  readonly kernels: Kernels;
  /** Called for each router on each step, in the order of the steps. */
  readonly onStep?: (router: RouterChoice, record: StepRecord) => void;
}

/**
 * Routes a scenario's stream through `routers`, some or all of the scenario's: for every batch each router routes it and
 * the metrics are taken. The routers see the same batches, except on a stream that sees the router's load, where each
 * has a stream of its own. What a router does depends on neither the others nor their order. Throws `InputError` where
 * recorded data is bad or the sizes need more memory than the kernels can have.
 */
export async function simulate(
  scenario: Scenario,
  routers: readonly RouterChoice[],
  options: SimulationOptions,
): Promise<RouterResult[]> {
  if (!findStreamKind(scenario.stream.kind)!.seesLoad) return simulateTogether(scenario, routers, options);
  const results: RouterResult[] = [];
  for (const router of routers) results.push(...(await simulateTogether(scenario, [router], options)));
  return results;
}

async function simulateTogether(
  scenario: Scenario,
  routers: readonly RouterChoice[],
  { kernels, onStep }: SimulationOptions,
): Promise<RouterResult[]> {
  const { stream, facts, optima, duals, runs } = await withMemoryFor(scenario, async () => ({
    facts: createBatchFacts(kernels, scenario),
    optima: createOptima(kernels, scenario, routers),
    duals: createDuals(kernels, scenario, routers),
    runs: routers.map((router) => createRouterRun(scenario, router, kernels)),
    stream: await openStream(scenario, kernels),
  }));
  try {
    for (let batch = await stream.next(); batch !== null; batch = await stream.next()) {
      const routerZ = facts.observe(batch);
      if (!Number.isFinite(routerZ)) {
        throw new InputError(`stream: step ${batch.step} has logits that are not finite; its parameters are too large`);
      }
      optima.find(batch);
      for (const dual of duals.values()) dual.observe(batch);
      for (const run of runs) {
        const record = run.step(batch, facts, optima.of(run.router.scores));
        onStep?.(run.router, record);
        stream.observe?.(run.load());
      }
      // Synthetic streams never wait, so without this neither a signal nor a progress bar would get its turn.
      await setImmediate();
    }
  } finally {
    await stream.close();
  }
  return withMemoryFor(scenario, async () => runs.map((run) => run.result(duals)));
}

function createRouterRun(scenario: Scenario, choice: RouterChoice, kernels: Kernels) {
  const kind = findRouterKind(choice.kind)!;
  const router = createRouter(scenario, choice, kernels);
  const maxSlots = kind.maxSlots?.(scenario) ?? scenario.topK;
  const meter = createStepMeter(kernels, scenario, choice.scores, scenario.capacity, scenario.ranks, maxSlots);
  const regret = createRegretMeter(scenario, maxSlots);
  const summary = createRunSummary({ ...scenario, plan: kind.plan });
  const routeMs: number[] = [];
  const biases = hasDualRegret(scenario, choice) ? new Float64Array(scenario.steps * scenario.experts) : null;
  let tokens = 0;
  let load: Int32Array;

  return {
    router: choice,
    load: () => load,
    step(batch: TokenBatch, facts: BatchFacts, optimum: Optimum | null): StepRecord {
      biases?.set(router.bias!, batch.step * batch.experts);
      const start = performance.now();
      const { assignment, solver }: RoutedStep = router.route(batch);
      routeMs.push(performance.now() - start);
      tokens += batch.tokens;
      load = assignment.load;
      const record: StepRecord = {
        step: batch.step,
        tokens: batch.tokens,
        load,
        metrics: meter.measure(batch, facts, assignment),
        regret: optimum === null ? null : regret.measure(optimum, assignment, batch),
        ...(solver !== undefined && { solver }),
      };
      summary.observe(record);
      return record;
    },
    result: (duals: ReadonlyMap<ScoreKind, DualRegretMeter>): RouterResult => ({
      router: choice,
      summary: summary.summary(),
      timing: { routeMs, tokens },
      dualRegret: biases === null ? null : dualRegretOf(duals.get(choice.scores)!, biases),
    }),
  };
}

/** A router of a scenario in its first state; its random numbers depend on the scenario's seed and its kind alone. */
export function createRouter(scenario: Scenario, { kind, scores, options }: RouterChoice, kernels: Kernels): Router {
  const random = createRandom(scenario.seed).derive(`router/${kind}`);
  return findRouterKind(kind)!.create({ shape: scenario, scores, kernels, random }, options);
}

/** The scenario's stream at its first batch. */
export function openStream({ seed, stream, folder, ...shape }: Scenario, kernels: Kernels): Promise<Stream> {
  const random = createRandom(seed).derive(`stream/${stream.kind}`);
  return findStreamKind(stream.kind)!.create({ shape, kernels, random, folder }, stream.options);
}

/** Runs `allocate`; a scenario that needs more memory than kernels can have is the user's to mend: `InputError`. */
export async function withMemoryFor<Result>(scenario: Scenario, allocate: () => Promise<Result>): Promise<Result> {
  try {
    return await allocate();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const wayOut = scenario.regret.every > 0 ? "; regret takes part of it, and regret.every: 0 turns it off" : "";
    throw new InputError(
      `${scenario.tokens} tokens × ${scenario.experts} experts for ${scenario.routers.length} routers: ${error.message}${wayOut}`,
    );
  }
}
