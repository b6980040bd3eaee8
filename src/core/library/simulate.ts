import type { KernelBackend } from "../kernels/index.ts";
import type { RunSummary } from "../metrics/run-summary.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import type { RouterResult } from "../simulation/router-results.ts";
import { simulate as runRouters } from "../simulation/simulate.ts";
import { kernelsOf } from "./checked.ts";
import { resolveInput, type ScenarioInput } from "./scenario-input.ts";
import { type StepResult, stepResultOf } from "./step-result.ts";

/** How {@link simulate} is watched and stopped. */
export interface SimulateOptions {
  /**
   * Called after each step of each router, in the order of the steps. What it throws ends the simulation and is thrown on.
   */
  readonly onStep?: ((router: RouterChoice, step: StepResult) => void) | undefined;
  /** Ends the simulation after the step under way: its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /**
   * `wasm` (default); `reference`, the same in plain TypeScript, many times slower; `tfjs` or `tfjs-gpu`, TensorFlow.js,
   * where top-K and Sinkhorn routers compute in float32.
   */
  readonly backend?: KernelBackend | undefined;
}

/** What one router of a scenario did. Plain data, nothing of which is overwritten later. */
export interface RouterRun extends RouterChoice {
  /** Over the whole run. */
  readonly summary: RunSummary;
  /** `[steps]`, one row for each step. */
  readonly steps: readonly StepResult[];
  /** How sure the dual regret is; null for routers without a bias, or where the scenario asks for no regret. */
  readonly dualRegret: DualRegretCertificate | null;
  /** `[steps]`, wall-clock milliseconds of routing each batch, metrics not counted. */
  readonly routeMs: readonly number[];
  /** `[steps]`, wall-clock milliseconds of training on each batch; null where the stream does not train. */
  readonly trainMs: readonly number[] | null;
}

/** On what a run's dual regret rests. */
export interface DualRegretCertificate {
  /** Dual regret is proven to be too low by at most this, on the tokens that were kept. */
  readonly gap: number;
  /** Tokens that it rests on, of all tokens; below 1 where the run is larger than what is kept of it. */
  readonly keptFraction: number;
}

/** What came of a scenario. */
export interface Simulation {
  /** With every default and every size filled in. */
  readonly scenario: Scenario;
  /** In the order of the scenario's routers. */
  readonly runs: readonly RouterRun[];
}

/**
 * Routes a scenario's stream through all its routers and measures each step, as `moesim run` does: the same scenario and
 * seed give the same numbers. `sweep` and `seeds` are left to `expandSweep`. Everything is kept in memory, about
 * 8 · (experts + 35) bytes a step and router. Throws `InputError`, as the command line does, where the scenario or its
 * recorded data is wrong.
 */
export async function simulate(
  scenario: ScenarioInput | Scenario,
  { onStep, signal, backend }: SimulateOptions = {},
): Promise<Simulation> {
  signal?.throwIfAborted();
  const resolved = await resolveInput(scenario);
  const steps = new Map(resolved.routers.map((router): [RouterChoice, StepResult[]] => [router, []]));
  const results = await runRouters(resolved, resolved.routers, {
    kernels: await kernelsOf(backend),
    onStep(router, record) {
      const step = stepResultOf(record);
      steps.get(router)!.push(step);
      onStep?.(router, step);
      signal?.throwIfAborted();
    },
  });
  return { scenario: resolved, runs: results.map((result) => runOf(result, steps.get(result.router)!)) };
}

function runOf({ router, summary, timing, dualRegret }: RouterResult, steps: readonly StepResult[]): RouterRun {
  const cumulative = dualRegret?.cumulative;
  return {
    ...router,
    summary,
    steps:
      cumulative === undefined
        ? steps
        : steps.map((step, index) => ({ ...step, dualRegretCumulative: cumulative[index] })),
    dualRegret: dualRegret === null ? null : { gap: dualRegret.gap, keptFraction: dualRegret.keptFraction },
    routeMs: timing.routeMs,
    trainMs: timing.trainMs,
  };
}
