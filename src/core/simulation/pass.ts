import { setImmediate } from "node:timers/promises";
import { InputError } from "../input-error.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { createDualFunction } from "../metrics/dual-function.ts";
import { createDualRegretMeter, type DualRegretState } from "../metrics/dual-regret.ts";
import { createOptimumSeries, type Optimum, type OptimumSeries } from "../metrics/regret.ts";
import { type BatchFacts, createBatchFacts } from "../metrics/step-metrics.ts";
import type { StepRecord } from "../metrics/step-record.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import type { StratifiedSample } from "../stratified-sample.ts";
import type { Stream, StreamState } from "../streams/stream.ts";
import type { TokenBatch } from "../token-batch.ts";
import { openStream, withMemoryFor } from "./open-scenario.ts";
import type { PassPlan } from "./pass-plan.ts";
import { createOptima, dualKinds, measuredSteps, type OptimumPart, optimumRouter } from "./regret.ts";
import { createRouterRun, type RoutedRun, type RouterRunState } from "./router-run.ts";

/** What dual regret is reckoned from, of the best fixed bias in hindsight. */
export interface HindsightResult {
  /** `[steps]`, f_n(b*). */
  readonly least: Float64Array;
  /** The sum over the run is proven to be at most this from the truth, on the tokens that were kept. */
  readonly gap: number;
  /** Tokens it rests on, of all tokens; below 1 where the run is larger than what is kept of it. */
  readonly keptFraction: number;
}

/** What came of a pass. Plain data. */
export interface PassResult {
  readonly plan: PassPlan;
  /** As `plan.routers`. */
  readonly runs: readonly RoutedRun[];
  /** As `plan.optima`: those of each part, in the order of their steps. */
  readonly optima: readonly OptimumSeries[];
  /** As `plan.hindsight`. */
  readonly hindsight: readonly HindsightResult[];
}

/** All that a pass remembers between steps. Plain data. */
export interface PassState {
  /** Steps that are done. */
  readonly steps: number;
  /** Null where the batches depend on nothing but the seed, so that the stream can be gone through anew. */
  readonly stream: StreamState | null;
  /** As `plan.routers`. */
  readonly runs: readonly RouterRunState[];
  /** As `plan.optima`: those found so far. */
  readonly optima: readonly OptimumSeries[];
  /** Of the search for them; null if there is none. */
  readonly price: Float64Array | null;
  /** As `plan.hindsight`. */
  readonly hindsight: readonly DualRegretState[];
}

/** When and where a pass puts down its state. */
export interface StateKeeper {
  /** After so many steps each. */
  readonly every: number;
  /** To be written down at once: parts of it change with every step. */
  keep(state: PassState): void;
}

export interface PassOptions {
  readonly kernels: Kernels;
  /** Called for each router on each step, in the order of the steps. */
  readonly onStep?: ((router: RouterChoice, record: StepRecord) => void) | undefined;
  readonly keeper?: StateKeeper | null | undefined;
  /** Of an earlier pass by the same plan, which this one goes on from. */
  readonly from?: PassState | undefined;
}

/**
 * Goes over a scenario's stream once and does what `plan` says. All its routers see the same batches, and what one of them
 * does depends on neither the others nor their order. A record has its regret where the optimum is found on the same pass.
 * Throws `InputError` where recorded data is bad or the sizes need more memory than the kernels can have.
 */
export async function runPass(
  scenario: Scenario,
  plan: PassPlan,
  { kernels, onStep, keeper, from }: PassOptions,
): Promise<PassResult> {
  const routers = plan.routers.map((position) => scenario.routers[position]);
  const sample = measuredSteps(scenario);
  const { facts, optima, duals, hindsight, runs, stream } = await withMemoryFor(scenario, async () => {
    const dual = new Set([...dualKinds(scenario, routers), ...plan.hindsight]);
    const duals = new Map(Array.from(dual, (kind) => [kind, createDualFunction(kernels, scenario, kind)] as const));
    const isMeasured = routers.length > 0 || plan.optima.length > 0;
    return {
      facts: routers.length === 0 ? null : createBatchFacts(kernels, scenario),
      optima: isMeasured ? createOptima(kernels, scenario, sample, plan.optima, from?.price) : null,
      duals,
      hindsight: plan.hindsight.map((kind, index) =>
        createDualRegretMeter(kernels, scenario, kind, duals.get(kind), from?.hindsight[index]),
      ),
      runs: plan.routers.map((position, index) =>
        createRouterRun(scenario, position, sample, kernels, from?.runs[index]),
      ),
      stream: await openStream(scenario, kernels),
    };
  });
  const found = from?.optima ?? plan.optima.map(({ first, end }) => createOptimumSeries(end - first));
  const proving = optimumRouter(scenario, routers);
  const prover = runs.find(({ choice }) => choice === proving);

  function observe(batch: TokenBatch): void {
    if (!Number.isFinite(facts?.observe(batch) ?? sumOf(batch, lookedAt(batch)))) {
      throw new InputError(`stream: step ${batch.step} has logits that are not finite; its parameters are too large`);
    }
    optima?.find(batch);
    const optimum = optima?.optimum() ?? null;
    if (optimum !== null) keepOptimum(optimum, sample.stratumOf(batch.step));
    for (const meter of hindsight) meter.observe(batch);
    if (facts !== null) measure(batch, facts);
  }

  function keepOptimum({ upperBound, gap }: Optimum, measured: number): void {
    const index = plan.optima.findIndex((part) => isIn(part, measured));
    const at = measured - plan.optima[index].first;
    found[index].upperBound[at] = upperBound;
    found[index].gap[at] = gap;
  }

  /** Which tokens are looked at without routers; null for all. */
  function lookedAt(batch: TokenBatch): readonly number[] | null {
    // All kinds of affinities keep the same tokens.
    return plan.optima.length > 0 ? null : duals.get(plan.hindsight[0])!.keptTokens(batch);
  }

  function measure(batch: TokenBatch, facts: BatchFacts): void {
    const scores = optima?.scores() ?? null;
    const shared = runs.map(({ choice }) => {
      const dual = duals.get(choice.scores);
      return { scores, kept: dual === undefined ? null : { dual, scores: dual.keep(batch) } };
    });
    for (const [index, run] of runs.entries()) run.route(batch, shared[index]);
    const best = optima?.optimum() ?? prover?.optimum() ?? null;
    for (const [index, run] of runs.entries()) {
      const record = run.measure(batch, facts, shared[index], best, stream);
      onStep?.(run.choice, record);
      stream.observe?.(run.load());
    }
  }

  const stateAfter = (steps: number): PassState => ({
    steps,
    stream: stream.state?.() ?? null,
    runs: runs.map((run) => run.state()),
    optima: found,
    price: optima?.price() ?? null,
    hindsight: hindsight.map((meter) => meter.state()),
  });

  try {
    if (from !== undefined) await goTo(stream, from);
    const end = stepsOf(scenario, plan, sample);
    for (let step = from?.steps ?? 0; step < end; step++) {
      if (stream.skip !== undefined && !isWanted(plan, sample.stratumOf(step))) {
        stream.skip();
      } else {
        const batch = await stream.next();
        if (batch === null) break;
        observe(batch);
      }
      const steps = step + 1;
      if (keeper && steps % keeper.every === 0 && steps < end) keeper.keep(stateAfter(steps));
      // Synthetic streams never wait, so without this neither a signal nor a progress bar would get its turn.
      await setImmediate();
    }
  } finally {
    await stream.close();
  }
  return withMemoryFor(scenario, async () => ({
    plan,
    runs: runs.map((run) => run.result()),
    optima: found,
    hindsight: hindsight.map((meter): HindsightResult => {
      const { least, gap, keptFraction } = meter.hindsight();
      return { least, gap, keptFraction };
    }),
  }));
}

/** Takes a stream, at its first batch, to where it was when `steps` were done. */
async function goTo(stream: Stream, { steps, stream: state }: PassState): Promise<void> {
  if (state !== null) {
    stream.restore!(state);
    return;
  }
  for (let step = 0; step < steps; step++) {
    if (stream.skip === undefined) await stream.next();
    else stream.skip();
    await setImmediate();
  }
}

/** Whether `plan` does anything with the batch of a step, the `measured`-th with regret, or −1 if it has none. */
function isWanted({ routers, optima, hindsight }: PassPlan, measured: number): boolean {
  return routers.length > 0 || hindsight.length > 0 || optima.some((part) => isIn(part, measured));
}

function isIn({ first, end }: OptimumPart, measured: number): boolean {
  return first <= measured && measured < end;
}

/** How many steps `plan` goes. */
function stepsOf({ steps }: Scenario, { routers, optima, hindsight }: PassPlan, sample: StratifiedSample): number {
  if (routers.length > 0 || hindsight.length > 0) return steps;
  return Math.max(...optima.map(({ end }) => sample.drawnFrom(end - 1) + 1));
}

/** Finite if all logits of `chosen` tokens are, or of all tokens if that is null. */
function sumOf({ logits, tokens, experts }: TokenBatch, chosen: readonly number[] | null): number {
  const count = chosen?.length ?? tokens;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const token = chosen?.[i] ?? i;
    for (let entry = token * experts; entry < (token + 1) * experts; entry++) sum += logits[entry];
  }
  return sum;
}
