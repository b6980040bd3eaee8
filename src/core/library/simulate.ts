import { InputError } from "../input-error.ts";
import type { KernelBackend } from "../kernels/index.ts";
import type { RunSummary } from "../metrics/run-summary.ts";
import { meanOfLayers } from "../results/layers.ts";
import type { LayerRow } from "../results/result-columns.ts";
import { hasLayers, type RouterChoice, type Scenario, scenarioOfLayer } from "../scenario/scenario.ts";
import { type RouterResult, routerResults } from "../simulation/result.ts";
import { wholeParts } from "../simulation/sharing.ts";
import {
  createSimulation as createPart,
  type SimulationState as PartState,
  type Simulation as SimulatedPart,
} from "../simulation/simulation.ts";
import { checkOptions, kernelsOf } from "./checked.ts";
import { resolveInput, type ScenarioInput } from "./scenario-input.ts";
import { type StepResult, stepResultOf } from "./step-result.ts";

/** Options of {@link createSimulation}. */
export interface SimulationOptions {
  /**
   * `wasm` (default); `reference`, the same in plain TypeScript, many times slower; `tfjs` or `tfjs-gpu`,
   * TensorFlow.js, in which top-k and Sinkhorn routers compute in float32.
   */
  readonly backend?: KernelBackend | undefined;
  /** State of a simulation of the same scenario, to resume from. */
  readonly from?: SimulationState | undefined;
  /** Id of the layer to simulate; required if the scenario has several, unless `from` says it. */
  readonly layer?: number | undefined;
}

/** How to watch and stop {@link simulate}. */
export interface SimulateOptions extends Pick<SimulationOptions, "backend"> {
  /** Called after each step of each router, in step order, layer after layer. If it throws, the simulation ends and rethrows the error. */
  readonly onStep?: ((router: RouterChoice, step: StepResult) => void) | undefined;
  /** Ends the simulation after the current step and throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Results of one router of a scenario. Plain data that is never overwritten. */
export interface RouterOutcome extends RouterChoice {
  /** Id of the layer; absent if the scenario has only one. */
  readonly layer?: number;
  /** For the whole run. */
  readonly summary: RunSummary;
  /** Null for routers without a bias, or if the scenario asks for no regret. */
  readonly dualRegret: DualRegretCertificate | null;
  /** `[steps]`, wall-clock milliseconds to route each batch, without metrics. */
  readonly routeMs: readonly number[];
  /** `[steps]`, wall-clock milliseconds to train on each batch; null if the stream does not train. */
  readonly trainMs: readonly number[] | null;
}

/** What one router of a scenario did, step by step. */
export interface RouterRun extends RouterOutcome {
  /** `[steps]`, one row per step. */
  readonly steps: readonly StepResult[];
}

/** A run's dual regret and how precise it is. */
export interface DualRegretCertificate {
  /** Proven bound: the dual regret is too low by at most this, for the tokens that were kept. */
  readonly gap: number;
  /** Fraction of all tokens that it is based on; below 1 if only part of the run was kept. */
  readonly keptFraction: number;
  /** `[steps]`, dual regret up to each step. */
  readonly cumulative: readonly number[];
}

/** What {@link simulate} found. */
export interface SimulationResult {
  /** The scenario, with every default and size filled in. */
  readonly scenario: Scenario;
  /** In the order of the scenario's routers. With several layers, one per router and layer. */
  readonly runs: readonly RouterRun[];
  /** With several layers, means over them, in the order of the scenario's routers; else absent. */
  readonly means?: readonly LayerMeans[];
}

/** A router's metrics, each the mean over the layers. */
export interface LayerMeans extends RouterChoice {
  /** `maxVioWorst` is the largest MaxVio of the run of any layer. */
  readonly summary: RunSummary;
  /** Id of the layer with the largest MaxVio of the run. */
  readonly worstLayer: number | null;
}

/**
 * Everything that a simulation remembers between two steps. A copy in plain data, for `structuredClone`, `postMessage`
 * or `v8.serialize`; JSON would lose its typed arrays.
 */
export interface SimulationState {
  readonly scenario: Scenario;
  /** Id of the layer; absent if the scenario has only one. */
  readonly layer?: number;
  /** Steps done. */
  readonly steps: number;
  /** Internal to moesim. */
  readonly parts: readonly object[];
}

/**
 * One layer of a scenario that is simulated one step at a time. It has no clock: whoever steps it decides when to pause, save, draw or
 * stop.
 */
export interface Simulation {
  /** The scenario, with every default and size filled in. */
  readonly scenario: Scenario;
  /** Id of the layer; absent if the scenario has only one. */
  readonly layer?: number;
  /** Steps done. */
  readonly steps: number;
  /**
   * Routes the next batch through all routers, measures it and returns a row per router, in the scenario's order.
   * Returns null after the last step. Throws `InputError` if recorded data is bad or the logits are not finite.
   */
  step(): Promise<readonly StepResult[] | null>;
  /** Returns the state that {@link createSimulation} resumes from, later or elsewhere, with the same results. */
  state(): SimulationState;
  /** Returns each router's results so far, in the scenario's order. Throws `InputError` before the first step. */
  result(): Promise<readonly RouterOutcome[]>;
  /** Closes the file that the stream reads; call it at the end. */
  close(): Promise<void>;
}

/**
 * Creates a simulation at the scenario's first step, or at the step of `from`. Memory grows by about 200 bytes per step
 * and router. Layers are independent: simulate several by as many simulations. Throws `InputError` if the scenario or
 * its recorded data is wrong, if it has several layers and `layer` names none of them, or if `from` is not of this
 * scenario.
 */
export async function createSimulation(
  scenario: ScenarioInput | Scenario,
  options: SimulationOptions = {},
): Promise<Simulation> {
  checkOptions("createSimulation", options, ["backend", "from", "layer"]);
  const { backend, from, layer: wanted } = options;
  const resolved = await resolveInput(scenario);
  if (from !== undefined) checkState(from, resolved);
  const layer = wanted ?? from?.layer;
  const ofLayer = scenarioOfLayer(resolved, layer);
  if (from !== undefined && from.layer !== layer) {
    throw new InputError(`from: this is the state of layer ${from.layer}, not of layer ${layer}`);
  }
  const kernels = await kernelsOf(backend);
  const parts: SimulatedPart[] = [];
  const close = async () => {
    for (const part of parts) await part.close();
  };
  try {
    for (const [index, part] of wholeParts(ofLayer).entries()) {
      const state = from === undefined ? undefined : (copyOf(from.parts[index]) as PartState);
      parts.push(await createPart(ofLayer, { kernels, part, from: state }));
    }
  } catch (error) {
    await close();
    throw error;
  }
  const stepsDone = () => parts[0].steps;
  const place = layer === undefined ? {} : { layer };
  return {
    scenario: resolved,
    ...place,
    get steps() {
      return stepsDone();
    },
    async step() {
      const results: StepResult[] = [];
      for (const part of parts) {
        const before = part.steps;
        let records = await part.step();
        // After a resume the stream is replayed first.
        while (records !== null && part.steps === before) records = await part.step();
        if (records === null) return null;
        results.push(...records.map((record) => stepResultOf(record, layer)));
      }
      return results;
    },
    state: () => ({
      scenario: resolved,
      ...place,
      steps: stepsDone(),
      parts: parts.map((part) => copyOf(part.state()) as object),
    }),
    async result() {
      if (stepsDone() === 0) throw new InputError("result: no step has been simulated yet");
      const results = await Promise.all(parts.map((part) => part.result()));
      return routerResults(ofLayer, results).map((result) => outcomeOf({ ...result, ...place }));
    },
    close,
  };
}

/** Milliseconds after which timers and signals get their turn: most streams never wait. */
const turnMs = 50;

/**
 * Routes a scenario's stream through all its routers and measures each step, like `moesim run`: the same scenario and
 * seed give the same numbers. Several layers are simulated one after the other. Ignores `sweep` and `seeds`, which are for `expandSweep`. Keeps everything in memory,
 * about 8 · (experts + 60) bytes per step and router. Throws `InputError`, like the command line, if the scenario or
 * its recorded data is wrong.
 */
export async function simulate(
  scenario: ScenarioInput | Scenario,
  options: SimulateOptions = {},
): Promise<SimulationResult> {
  checkOptions("simulate", options, ["backend", "onStep", "signal"]);
  const { onStep, signal, backend } = options;
  signal?.throwIfAborted();
  const resolved = await resolveInput(scenario);
  const { routers } = resolved;
  const layers: RouterRun[][] = [];
  for (const layer of hasLayers(resolved) ? resolved.layers! : [undefined]) {
    layers.push(await simulateLayer(resolved, { onStep, signal, backend, layer }));
  }
  if (layers.length === 1) return { scenario: resolved, runs: layers[0] };
  const runs = routers.flatMap((_, index) => layers.map((ofLayer) => ofLayer[index]));
  const means = routers.map((router): LayerMeans => {
    const rows = runs.filter(({ name }) => name === router.name).map((run) => layerRowOf(resolved, run));
    const { summary, worstLayer = null } = meanOfLayers(rows);
    return { ...router, summary, worstLayer };
  });
  return { scenario: resolved, runs, means };
}

/** Simulates one layer and returns its routers, in the scenario's order. */
async function simulateLayer(
  scenario: Scenario,
  { onStep, signal, ...options }: SimulateOptions & Pick<SimulationOptions, "layer">,
): Promise<RouterRun[]> {
  const { routers } = scenario;
  const simulation = await createSimulation(scenario, options);
  const steps = routers.map((): StepResult[] => []);
  let lastTurn = performance.now();
  try {
    for (let results = await simulation.step(); results !== null; results = await simulation.step()) {
      for (const [index, step] of results.entries()) {
        steps[index].push(step);
        onStep?.(routers[index], step);
        signal?.throwIfAborted();
      }
      if (performance.now() - lastTurn < turnMs) continue;
      await new Promise((resolve) => setTimeout(resolve));
      signal?.throwIfAborted();
      lastTurn = performance.now();
    }
    const outcomes = await simulation.result();
    return outcomes.map((outcome, index) => ({ ...outcome, steps: withDualRegret(steps[index], outcome) }));
  } finally {
    await simulation.close();
  }
}

function layerRowOf(scenario: Scenario, { name, kind, layer, summary }: RouterRun): LayerRow {
  const source = { scenario: scenario.name, router: name, kind, seed: scenario.seed };
  return { source, sizes: scenario, summary, layer: layer! };
}

function withDualRegret(steps: readonly StepResult[], { dualRegret }: RouterOutcome): readonly StepResult[] {
  if (dualRegret === null) return steps;
  return steps.map((step, index) => ({ ...step, dualRegretCumulative: dualRegret.cumulative[index] }));
}

function outcomeOf({ router, layer, summary, timing, dualRegret }: RouterResult): RouterOutcome {
  const cumulative = dualRegret && Array.from(dualRegret.cumulative);
  return {
    ...router,
    ...(layer !== undefined && { layer }),
    summary,
    dualRegret: dualRegret && { gap: dualRegret.gap, keptFraction: dualRegret.keptFraction, cumulative: cumulative! },
    routeMs: Array.from(timing.routeMs),
    trainMs: timing.trainMs && Array.from(timing.trainMs),
  };
}

/** Throws `InputError` if `state` is not of a simulation of `scenario`. */
function checkState(state: SimulationState, scenario: Scenario): void {
  const { scenario: saved, parts }: Partial<SimulationState> = state ?? {};
  if (!Array.isArray(parts)) throw new InputError("from: this is not the state of a simulation");
  if (JSON.stringify(saved) === JSON.stringify(scenario)) return;
  throw new InputError("from: this is the state of another scenario; resume it with its own `scenario`");
}

/** Returns a deep copy of plain data; of a view on a buffer, only what the view shows. */
function copyOf(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copyOf);
  if (ArrayBuffer.isView(value)) return (value as Float64Array).slice();
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, copyOf(inner)]));
}
