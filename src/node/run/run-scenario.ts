import { mkdirSync } from "node:fs";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import { deserialize, serialize } from "node:v8";
import { InputError } from "../../core/input-error.ts";
import { type KernelBackend, loadKernels } from "../../core/kernels/index.ts";
import type { RunTiming } from "../../core/metrics/run-summary.ts";
import type { StepRecord } from "../../core/metrics/step-record.ts";
import { figuresOf } from "../../core/metrics/step-series.ts";
import { meanOfLayers, timingOfLayers } from "../../core/results/layers.ts";
import {
  layersTable,
  type ResultTable,
  type SummaryRow,
  summaryTable,
  timingTable,
} from "../../core/results/result-columns.ts";
import { hasLayers, type Scenario, scenariosOfLayers, toScenarioFile } from "../../core/scenario/scenario.ts";
import { layerResults, type PartResult, type RouterResult } from "../../core/simulation/result.ts";
import { type SimulationPart, shareParts } from "../../core/simulation/sharing.ts";
import { createSimulation, type Simulation, type SimulationState } from "../../core/simulation/simulation.ts";
import { version } from "../../core/version.ts";
import {
  holdsCheckpoint,
  partFile,
  readSealed,
  removeWhole,
  type Staging,
  writeSealed,
} from "../files/results-folder.ts";
import { rowSource, writeSteps, writeTable } from "../files/write-results.ts";
import { pluginRecords } from "../plugins.ts";
import { openInput } from "./run-record.ts";
import { runOnThreads } from "./worker-pool.ts";

export interface RunOptions {
  /** Threads to use, at least 1; never more than there are parts. */
  readonly workers: number;
  readonly backend: KernelBackend;
  /** Called now and then for each router, and after its last step. */
  readonly onProgress: (progress: RouterProgress) => void;
  /** Where parts of the run may already be done, and where to save what is done. */
  readonly checkpoint?: RunCheckpoint | null | undefined;
  /** Stops a run on one thread at the next step, once it is aborted: its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** A router's row of summary.csv, and its times; with several layers, means over them and the times of all. */
export type RunRow = SummaryRow & { readonly timing: RunTiming };

/** What a run computed. */
export interface FinishedRun {
  /** In the scenario's order; with several layers, a result for each, those of a router together. */
  readonly results: readonly RouterResult[];
  /** One per router, in the scenario's order. */
  readonly rows: readonly RunRow[];
  readonly summary: ResultTable;
  /** Null if there is one layer. */
  readonly layers: ResultTable | null;
  readonly timing: ResultTable;
}

/**
 * Runs all routers of `scenario` in all its layers and writes summary.csv, steps.csv, loads.csv, diagnostics.csv and
 * timing.csv, and with several layers layers.csv, into `folder`. All but timing.csv are the same bytes for the same
 * scenario, seed and backend, for any number of workers: what a router does, an optimum or a bias in hindsight depends on
 * nothing else in its part.
 */
export async function runScenario(scenario: Scenario, folder: string, options: RunOptions): Promise<FinishedRun> {
  const { workers, backend, onProgress, checkpoint = null } = options;
  const layers = scenariosOfLayers(scenario);
  // The slowest parts of all layers come first, so that none is left over for one thread.
  const shared = (checkpoint?.parts ?? shareParts(scenario, workers)).flatMap((part) =>
    layers.map((ofLayer) => ({ scenario: ofLayer, part })),
  );
  const tasks = shared.map(
    (task, index): PartTask => ({
      ...task,
      backend,
      checkpoint: checkpoint && {
        file: partFile(checkpoint.folder, index),
        every: checkpoint.every,
        superseded: index === 0 ? checkpoint.earlier : null,
      },
    }),
  );
  const parts = await runOnThreads<PartTask, PartResult, RouterProgress>(
    "part",
    tasks,
    workers,
    onProgress,
    (task, told, signal) => runPart(task, told, options.signal ?? signal),
  );

  const partsOfLayers = layers.map((_, layer) => parts.filter((_, index) => index % layers.length === layer));
  const results = layerResults(scenario, partsOfLayers);
  await writeSteps(folder, scenario, results);
  const ofLayers = results.map(({ router, layer = 0, summary, timing }) => {
    return { source: rowSource(scenario, router), sizes: scenario, summary, layer, timing };
  });
  const rows = hasLayers(scenario)
    ? scenario.routers.map(({ name }): RunRow => {
        const own = ofLayers.filter(({ source }) => source.router === name);
        return { ...meanOfLayers(own), timing: timingOfLayers(own.map(({ timing }) => timing)) };
      })
    : ofLayers;
  const [summary, timing] = [summaryTable(rows), timingTable(rows)];
  const byLayer = hasLayers(scenario) ? layersTable(ofLayers) : null;
  for (const table of [summary, byLayer, timing]) if (table !== null) writeTable(folder, table);
  return { results, rows, summary, layers: byLayer, timing };
}

/** A part of a run, for one thread. Plain data. */
export interface PartTask {
  readonly scenario: Scenario;
  readonly part: SimulationPart;
  readonly backend: KernelBackend;
  readonly checkpoint: TaskCheckpoint | null;
}

/** Where and how often to save what a part has done. Plain data. */
export interface TaskCheckpoint {
  readonly file: string;
  /** Steps. */
  readonly every: number;
  /** Checkpoint of an earlier run, to be removed once there is one of this; null if another part removes it. */
  readonly superseded: string | null;
}

/** What is saved of a part: where it stands, or what it found. */
type PartCheckpoint = { readonly state: SimulationState } | { readonly result: PartResult };

/** One router has routed some more batches. Plain data. */
export interface RouterProgress {
  readonly router: string;
  /** Steps since the last report. */
  readonly steps: number;
  /** Of the last of them. */
  readonly maxVio: number | null;
}

/** More frequent reports would queue up between threads. */
const progressMs = 50;

/**
 * Steps `simulation` to its end and closes it. Yields the records of each step, and then lets signals and the progress bar
 * have their turn: synthetic streams never wait.
 */
export async function* eachStep(simulation: Simulation): AsyncGenerator<readonly StepRecord[], void> {
  try {
    for (let records = await simulation.step(); records !== null; records = await simulation.step()) {
      yield records;
      await setImmediate();
    }
  } finally {
    await simulation.close();
  }
}

/**
 * Runs the part of `task`, from its checkpoint if there is one. `onProgress` is called now and then for each router. Throws the
 * reason of `signal` at the next step if that is aborted.
 */
export async function runPart(
  { scenario, part, backend, checkpoint }: PartTask,
  onProgress: (progress: RouterProgress) => void,
  signal?: AbortSignal,
): Promise<PartResult> {
  const kept = checkpoint === null ? null : readCheckpoint(checkpoint.file);
  if (kept !== null && "result" in kept) {
    for (const progress of wholeProgress(scenario, kept.result)) onProgress(progress);
    return kept.result;
  }
  const keep = (what: PartCheckpoint) => {
    if (checkpoint === null) return;
    writeSealed(checkpoint.file, serialize(what));
    if (checkpoint.superseded !== null) removeWhole(checkpoint.superseded);
  };
  const told = part.routers.map(() => ({ at: 0, steps: 0 }));
  const simulation = await createSimulation(scenario, { kernels: await loadKernels(backend), part, from: kept?.state });
  let keptSteps = simulation.steps;
  for await (const records of eachStep(simulation)) {
    signal?.throwIfAborted();
    const { steps } = simulation;
    for (const [index, { metrics }] of records.entries()) {
      const now = performance.now();
      if (now - told[index].at < progressMs && steps < scenario.steps) continue;
      const router = scenario.routers[part.routers[index]].name;
      onProgress({ router, steps: steps - told[index].steps, maxVio: metrics.maxVio });
      told[index] = { at: now, steps };
    }
    if (checkpoint !== null && steps > keptSteps && steps < scenario.steps && steps % checkpoint.every === 0) {
      keep({ state: simulation.state() });
      keptSteps = steps;
    }
  }
  const result = await simulation.result();
  keep({ result });
  return result;
}

/** Null if there is none. Throws `InputError` if it is damaged. */
function readCheckpoint(file: string): PartCheckpoint | null {
  const bytes = readSealed(file);
  return bytes === null ? null : deserialize(bytes);
}

/** The progress of a part that was finished before. */
function wholeProgress({ steps, routers }: Scenario, { runs }: PartResult): RouterProgress[] {
  return runs.map(({ position, series }) => ({
    router: routers[position].name,
    steps,
    maxVio: figuresOf(series.figures, "max_vio").at(-1) ?? null,
  }));
}

/** How a run saves what it has done, so that a later program can resume it. Plain data. */
export interface RunCheckpoint {
  /** Checkpoint of an earlier run, to be removed once there is one of this; may not exist. */
  readonly earlier: string;
  /** Where its parts save their state. */
  readonly folder: string;
  /** Steps of a part from one state to the next. */
  readonly every: number;
  /** The parts of each layer, whichever program does them. */
  readonly parts: readonly SimulationPart[];
  /** When the first program began. */
  readonly start: Date;
}

/** What must be the same for a resumed run to end in the same bytes. */
interface RunIdentity {
  readonly scenario: { readonly [field: string]: unknown };
  /** All else, by its name in messages. */
  readonly others: { readonly [name: string]: unknown };
}

/** The file that says what the checkpoint is of. */
interface CheckpointRecord extends Pick<RunCheckpoint, "every" | "parts"> {
  readonly of: RunIdentity;
  readonly start: string;
}

/**
 * The staged checkpoint of an interrupted run of `scenario`; a new one if there is none and `every` says how often to write
 * it. Null if neither. Throws `InputError` if it is damaged or belongs to another run.
 *
 * @param every steps; null for as often as before
 * @param workers threads that share the parts of a new one
 */
export async function openRunCheckpoint(
  staging: Pick<Staging, "folder" | "checkpoint" | "earlier">,
  scenario: Scenario,
  backend: KernelBackend,
  every: number | null,
  workers: number,
): Promise<RunCheckpoint | null> {
  const { folder: output, checkpoint: folder, earlier } = staging;
  const file = path.join(folder, "run");
  const of = await identityOf(scenario, backend);
  const bytes = readSealed(file);
  if (bytes !== null) {
    const record: CheckpointRecord = JSON.parse(Buffer.from(bytes).toString());
    checkIdentity(output, record.of, of);
    if (every !== null && every !== record.every) writeRecord(file, { ...record, every });
    return { earlier, folder, every: every ?? record.every, parts: record.parts, start: new Date(record.start) };
  }
  if (holdsCheckpoint(staging, "run"))
    throw new InputError(`${file}: is missing; run without --resume to start from the beginning`);
  if (every === null) return null;
  const checkpoint = { earlier, folder, every, parts: shareParts(scenario, workers), start: new Date() };
  mkdirSync(folder, { recursive: true });
  writeRecord(file, { of, every, parts: checkpoint.parts, start: checkpoint.start.toISOString() });
  return checkpoint;
}

function writeRecord(file: string, record: CheckpointRecord): void {
  writeSealed(file, Buffer.from(JSON.stringify(record)));
}

/** As JSON gives it back. */
async function identityOf(scenario: Scenario, backend: KernelBackend): Promise<RunIdentity> {
  const identity = {
    scenario: toScenarioFile(scenario),
    others: {
      "the file that the stream reads": (await openInput(scenario))?.record ?? null,
      "the backend": backend,
      ...pluginDigests(),
      "moesim's version": version,
      "Node's version": process.version,
    },
  };
  return JSON.parse(JSON.stringify(identity));
}

/** The plugins' digests by the words for them; none without any. */
function pluginDigests(): Record<string, string> {
  return Object.fromEntries(pluginRecords().map(({ file, sha256 }) => [`the plugin ${file}`, sha256]));
}

function checkIdentity(folder: string, kept: RunIdentity, wanted: RunIdentity): void {
  const names = [...differences(kept.scenario, wanted.scenario), ...differences(kept.others, wanted.others)];
  if (names.length === 0) return;
  throw new InputError(
    `${folder}: the checkpoint there is of another run; what differs: ${names.join(", ")}. ` +
      "Resume that run as it was, or run without --resume to start from the beginning.",
  );
}

/** The fields whose values differ; those that are numbers or short texts with both values. */
function differences(kept: object, wanted: object): string[] {
  const [before, now] = [new Map(Object.entries(kept)), new Map(Object.entries(wanted))];
  return Array.from(new Set([...before.keys(), ...now.keys()])).flatMap((name) => {
    const [there, here] = [before.get(name), now.get(name)].map((value) => JSON.stringify(value));
    if (there === here) return [];
    const isShort = typeof before.get(name) !== "object" && typeof now.get(name) !== "object";
    return [isShort ? `${name} (${there} there, ${here} here)` : name];
  });
}
