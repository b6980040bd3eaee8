import { sum } from "d3-array";
import { InputError } from "../input-error.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { createDualFunction } from "../metrics/dual-function.ts";
import { createDualRegretMeter, type DualRegretState } from "../metrics/dual-regret.ts";
import { createBatchFacts } from "../metrics/step-metrics.ts";
import type { StepRecord } from "../metrics/step-record.ts";
import { hasLayers, randomOf, type Scenario } from "../scenario/scenario.ts";
import { streamKindOf } from "../streams/index.ts";
import type { Stream, StreamState } from "../streams/stream.ts";
import type { TokenBatch } from "../token-batch.ts";
import { counted } from "../words.ts";
import {
  createOptima,
  dualKinds,
  type FoundOptima,
  keepOptimum,
  measuredSteps,
  optimumRouter,
  roomForOptima,
  wholeOf,
} from "./optima.ts";
import type { HindsightResult, PartResult } from "./result.ts";
import { createRouterRun, type RouterRun, type RouterRunState } from "./router-run.ts";
import { neededSteps, type SimulationPart, wholeParts } from "./sharing.ts";

/**
 * Routers on one token stream, batch by batch: one layer of a model. All of them see the same batches; no router depends
 * on the others or on their order. Several layers are as many simulations, see `scenariosOfLayers`. It has no clock: whoever steps it decides when to pause, save, draw or stop.
 *
 *     const simulation = await createSimulation(scenario, { kernels });
 *     while (await simulation.step()) …;
 *     const results = routerResults(scenario, [simulation.result()]);
 *     await simulation.close();
 */
export interface Simulation {
  /** Steps done. */
  readonly steps: number;
  /** Batch of the last step, overwritten by the next; null if there is none or it was not needed. */
  readonly batch: TokenBatch | null;
  /** In the order of the part's routers. */
  readonly runs: readonly RouterRun[];
  /**
   * Routes the next batch, measures it and returns a record per router, in the order of `runs`. Returns null after the
   * last step. After a resume, the first calls only advance the stream to where it was, and return no records. Throws
   * `InputError` if recorded data is bad or logits are not finite.
   */
  step(): Promise<readonly StepRecord[] | null>;
  /**
   * State that a later simulation can resume from. Copy it or write it down at once: parts of it change with every
   * step.
   */
  state(): SimulationState;
  /**
   * Returns what the steps found, at least one. Throws `InputError` if that needs more memory than the kernels have.
   */
  result(): Promise<PartResult>;
  /** Closes the file that the stream reads. */
  close(): Promise<void>;
}

/** Everything that a simulation remembers between steps. Plain data. */
export interface SimulationState {
  /** Steps done. */
  readonly steps: number;
  /** Null if the batches follow from the seed or a file, so that the stream can be replayed. */
  readonly stream: StreamState | null;
  /** In the order of the part's `routers`. */
  readonly runs: readonly RouterRunState[];
  readonly optima: readonly FoundOptima[];
  /** Where the search for the next optimum starts; null if there is none. */
  readonly price: Float64Array | null;
  /** In the order of the part's `hindsight`. */
  readonly hindsight: readonly DualRegretState[];
}

export interface SimulationOptions {
  readonly kernels: Kernels;
  /** Default: the whole scenario, which must then not have one stream per router, unless it has only one router. */
  readonly part?: SimulationPart | undefined;
  /** If false, routers only route: there are no records and no result. Default true. */
  readonly isMeasured?: boolean | undefined;
  /** State of an earlier simulation of the same part; this one resumes from it and changes it. */
  readonly from?: SimulationState | undefined;
}

/**
 * Creates the simulation of a scenario of one layer. Throws `InputError` if recorded data is bad or the sizes need more
 * memory than the kernels can have.
 */
export async function createSimulation(
  scenario: Scenario,
  { kernels, part = onlyPart(scenario), isMeasured = true, from }: SimulationOptions,
): Promise<Simulation> {
  if (hasLayers(scenario)) throw new Error("This scenario has several layers: simulate each by itself.");
  const sample = measuredSteps(scenario);
  const needed = neededSteps(scenario, part, sample);
  const routers = part.routers.map((position) => scenario.routers[position]);
  const proving = optimumRouter(scenario, routers);
  const found = from?.optima ?? roomForOptima(proving === undefined ? part.optima : [wholeOf(sample)]);
  const hasOptima = sum(found, ({ first, end }) => end - first) === sample.strata;
  const { facts, optima, duals, hindsight, runs, stream } = await withMemoryFor(scenario, async () => {
    const kinds = isMeasured ? new Set([...dualKinds(scenario, routers), ...part.hindsight]) : [];
    const duals = new Map(Array.from(kinds, (kind) => [kind, createDualFunction(kernels, scenario, kind)]));
    const hasRouters = isMeasured && routers.length > 0;
    return {
      facts: hasRouters ? createBatchFacts(kernels, scenario) : null,
      optima:
        hasRouters || part.optima.length > 0 ? createOptima(kernels, scenario, sample, part.optima, from?.price) : null,
      duals,
      hindsight: part.hindsight.map((kind, index) =>
        createDualRegretMeter(kernels, scenario, kind, duals.get(kind), from?.hindsight[index]),
      ),
      runs: part.routers.map((position, index) => {
        const dual = duals.get(scenario.routers[position].scores);
        return createRouterRun({ scenario, position, kernels, sample, hasOptima, dual }, from?.runs[index]);
      }),
      stream: await openStream(scenario, kernels),
    };
  });
  const prover = runs.find(({ choice }) => choice === proving);
  let steps = from?.steps ?? 0;
  /** Batches taken from the stream: fewer than `steps` while it is replayed after a resume. */
  let taken = from?.stream ? steps : 0;
  let batch: TokenBatch | null = null;
  if (from?.stream) stream.restore!(from.stream);

  async function step(): Promise<readonly StepRecord[] | null> {
    batch = null;
    if (steps === needed.end) return null;
    const isPassed = taken < steps;
    let next: TokenBatch | null = null;
    if (stream.skip !== undefined && (isPassed || !needed.has(taken))) stream.skip();
    else next = await stream.next();
    taken += 1;
    if (isPassed) return [];
    batch = next;
    const records = batch === null ? [] : simulate(batch);
    steps += 1;
    return records;
  }

  function simulate(batch: TokenBatch): StepRecord[] {
    checkFinite(batch);
    optima?.find(batch);
    for (const meter of hindsight) meter.observe(batch);
    for (const run of runs) run.route(batch);
    const measured = sample.stratumOf(batch.step);
    const proven = measured < 0 ? null : prover?.provenOptimum(batch);
    const optimum = optima?.optimum() ?? proven ?? null;
    if (optimum !== null) keepOptimum(found, measured, optimum);
    if (facts === null) return [];
    const affinities = optima?.scores() ?? null;
    return runs.map((run) => {
      const record = run.measure(batch, facts, affinities, optimum, stream);
      stream.observe?.(run.routed.assignment.load);
      return record;
    });
  }

  // Facts take in every logit; without them it is enough to look at the tokens that are used.
  function checkFinite(batch: TokenBatch): void {
    const tokens = optima === null && hindsight.length > 0 ? duals.get(part.hindsight[0])!.keptTokens(batch) : null;
    if (Number.isFinite(facts?.observe(batch) ?? sumOf(batch, tokens))) return;
    throw new InputError(`stream: step ${batch.step} has logits that are not finite; reduce the stream's parameters`);
  }

  return {
    get steps() {
      return steps;
    },
    get batch() {
      return batch;
    },
    runs,
    step,
    state: () => ({
      steps,
      stream: stream.state?.() ?? null,
      runs: runs.map((run) => run.state()),
      optima: found,
      price: optima?.price() ?? null,
      hindsight: hindsight.map((meter) => meter.state()),
    }),
    result: () =>
      withMemoryFor(scenario, async () => ({
        part,
        steps,
        prover: prover === undefined ? null : part.routers[runs.indexOf(prover)],
        runs: runs.map((run) => run.result()),
        optima: found,
        hindsight: hindsight.map((meter): HindsightResult => {
          const { least, gap, keptFraction } = meter.hindsight();
          return { least, gap, keptFraction };
        }),
      })),
    close: () => stream.close(),
  };
}

/** Returns the whole scenario as one part. */
function onlyPart(scenario: Scenario): SimulationPart {
  const [part, ...others] = wholeParts(scenario);
  if (others.length === 0) return part;
  throw new Error("Each router of this scenario has a stream of its own: simulate its parts one by one.");
}

/** Returns a finite number if all logits of the `chosen` tokens are finite; null means all tokens. */
function sumOf({ logits, tokens, experts, hasDisabled }: TokenBatch, chosen: readonly number[] | null): number {
  const count = chosen?.length ?? tokens;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const token = chosen?.[i] ?? i;
    for (let entry = token * experts; entry < (token + 1) * experts; entry++) {
      if (!(hasDisabled && logits[entry] === Number.NEGATIVE_INFINITY)) sum += logits[entry];
    }
  }
  return sum;
}

/** Opens the scenario's stream at its first batch. */
export function openStream(scenario: Scenario, kernels: Kernels): Promise<Stream> {
  const { stream, folder, layers: [layer] = [], ...shape } = scenario;
  const random = randomOf(scenario).derive(`stream/${stream.kind}`);
  return streamKindOf(stream).create({ shape, layer, kernels, random, folder }, stream.options);
}

/** Runs `allocate`. Throws `InputError` if the scenario needs more memory than the kernels can have. */
export async function withMemoryFor<Result>(scenario: Scenario, allocate: () => Promise<Result>): Promise<Result> {
  try {
    return await allocate();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const { tokens, experts, routers, regret } = scenario;
    const wayOut = regret.every > 0 ? " Regret takes part of the memory; set regret.every to 0 to turn it off." : "";
    throw new InputError(
      `${tokens} tokens × ${experts} experts for ${counted(routers.length, "router")}: ${error.message}${wayOut}`,
    );
  }
}
