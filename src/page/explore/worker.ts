/**
 * The worker of the page. It runs the simulator itself, as Node does: one copy follows what the page asks for, and another
 * proves the optimum, so that it can be stopped without losing the run.
 */
import { stringify } from "yaml";
import { z } from "zod";
import { install } from "../../browser.ts";
import { expertCapacity, type ScoreKind } from "../../core/assignment.ts";
import { InputError } from "../../core/input-error.ts";
import { createKernels, type Kernels } from "../../core/kernels/index.ts";
import { describeKind } from "../../core/library/kinds.ts";
import { metrics, stepColumns } from "../../core/metrics/catalogue.ts";
import { mostKeptScores } from "../../core/metrics/dual-function.ts";
import { createDualRegretMeter, type DualRegretMeter } from "../../core/metrics/dual-regret.ts";
import type { StepRecord } from "../../core/metrics/step-record.ts";
import {
  cellsOf,
  cellText,
  headerOf,
  type ResultTable,
  stepColumnsOf,
  summaryTable,
} from "../../core/results/result-columns.ts";
import { isRunRecord } from "../../core/results/results.ts";
import { routerKindOf, routerKinds } from "../../core/routers/index.ts";
import { resolveScenario } from "../../core/scenario/load.ts";
import { modelDescriptions, withModel } from "../../core/scenario/models.ts";
import { parsePlainData } from "../../core/scenario/plain-data.ts";
import type { Scenario } from "../../core/scenario/scenario.ts";
import { routerResults } from "../../core/simulation/result.ts";
import { trainingFigures, wholeParts } from "../../core/simulation/sharing.ts";
import { createSimulation, openStream, type Simulation } from "../../core/simulation/simulation.ts";
import { streamKindOf, streamKinds } from "../../core/streams/index.ts";
import { batchCapacity, excludeDisabled, type TokenBatch } from "../../core/token-batch.ts";
import { createAssignmentSolver, mostAssignmentExperts } from "../../core/transport/assignment/exact-assignment.ts";
import { mostHindsightExperts } from "../../core/transport/hindsight/hindsight-bias.ts";
import { version } from "../../core/version.ts";
import type { Facts, Frame, FromWorker, HeatMap, ResolvedFacts, RouterFrame, RunFiles, ToWorker } from "./messages.ts";
import { seriesMetrics } from "./messages.ts";
import { mostLogits, type WrittenScenario } from "./view.ts";

// A page's policy forbids code that is made from text.
z.config({ jitless: true });

/** Least milliseconds between two pictures. */
const frameMs = 24;
/** Milliseconds after which messages get their turn. */
const turnMs = 12;
/** Kernels never free memory, so they serve one question after another until they hold this many bytes. */
const mostKernelBytes = 2 ** 27;

const files = new Map<string, Blob>();

function post(message: FromWorker, transfer: Transferable[] = []): void {
  (self as unknown as { postMessage(message: FromWorker, transfer: Transferable[]): void }).postMessage(
    message,
    transfer,
  );
}

/** A run of the scenario that was asked last. */
interface Run {
  readonly id: number;
  readonly scenario: Scenario;
  readonly simulations: readonly Simulation[];
  /** Steps to simulate. */
  wanted: number;
  /** Steps done. */
  steps: number;
  /** Steps that the page has seen. */
  shown: number;
  /** Whether the page knows that nothing more is coming. */
  isTold: boolean;
  /** `[routers][metrics of seriesMetrics]`, the values that the page has not seen. */
  readonly series: readonly (readonly number[][])[];
  /** `[tokens × experts]`, in the kernels' memory; empty if no router has a plan. */
  readonly planRoom: Float32Array;
  last: readonly StepRecord[];
  /** Milliseconds that the last step took. */
  stepMs: number;
}

let kernels: Kernels | undefined;
let run: Run | null = null;
/** The question that waits for the one before to have its first picture. */
let question: Extract<ToWorker, { readonly kind: "ask" }> | null = null;
let lastFrame = Number.NEGATIVE_INFINITY;

/** Returns kernels with room for another question. */
function kernelsWithRoom(): Kernels {
  if (kernels === undefined || kernels.allocateFloat64(1).byteOffset > mostKernelBytes) kernels = createKernels();
  return kernels;
}

async function resolve(written: WrittenScenario): Promise<Scenario> {
  // The page shows one run; what a file sweeps is for the command line.
  const { sweep: _, seeds: __, ...single } = written;
  const scenario = await resolveScenario(single, "scenario");
  if (scenario.tokens * scenario.experts > mostLogits) {
    throw new InputError(
      `scenario: ${scenario.tokens} tokens × ${scenario.experts} experts are too many for a page; moesim run takes them`,
    );
  }
  return scenario;
}

function resolvedFacts(scenario: Scenario): ResolvedFacts {
  const { steps, tokens, experts, topK, layers = [], routers } = scenario;
  return {
    steps,
    tokens,
    experts,
    topK,
    layers,
    routers: routers.map((router) => ({
      name: router.name,
      kind: router.kind,
      scores: router.scores,
      hasBias: routerKindOf(router).hasBias === true,
    })),
  };
}

async function ask(id: number, written: WrittenScenario, steps: number): Promise<void> {
  const before = run;
  run = null;
  for (const simulation of before?.simulations ?? []) await simulation.close();
  const whole = await resolve(written);
  post({ kind: "answer", id, resolved: resolvedFacts(whole) });
  const { layers = [] } = whole;
  const scenario = layers.length > 1 ? { ...whole, layers: layers.slice(0, 1) } : whole;
  const own = kernelsWithRoom();
  const simulations: Simulation[] = [];
  // The best bias in hindsight takes a stretch of time after the last step; `prove` finds it.
  for (const part of wholeParts(scenario)) {
    simulations.push(await createSimulation(scenario, { kernels: own, part: { ...part, hindsight: [] } }));
  }
  const hasPlan = scenario.routers.some((router) => routerKindOf(router).plan !== undefined);
  run = {
    id,
    scenario,
    simulations,
    wanted: Math.min(steps, scenario.steps),
    steps: 0,
    shown: 0,
    isTold: false,
    series: scenario.routers.map(() => seriesMetrics.map(() => [])),
    planRoom: own.allocateFloat32(hasPlan ? scenario.tokens * scenario.experts : 0),
    last: [],
    stepMs: 0,
  };
}

/** Simulates as far as the page wants, with pictures on the way. If another question waits, the first picture ends it. */
async function advance(): Promise<void> {
  if (run === null) return;
  const current = run;
  let lastTurn = performance.now();
  try {
    while (current.steps < current.wanted && (question === null || current.shown === 0)) {
      await step(current);
      // While a slider is held, another question waits after the first step: a further one would be in vain.
      if (current.shown === 0 || performance.now() - lastTurn >= turnMs) {
        await turn();
        lastTurn = performance.now();
      }
      if (question !== null) {
        if (current.shown === 0) show(current);
        return;
      }
      if (performance.now() - lastFrame >= frameMs) show(current);
    }
    if (question === null && !current.isTold) show(current);
  } catch (error) {
    run = null;
    problem(current.id, error);
  }
}

async function step(of: Run): Promise<void> {
  const start = performance.now();
  const records: StepRecord[] = [];
  for (const simulation of of.simulations) {
    const found = await simulation.step();
    if (found === null) throw new InputError(`stream: it ended after ${of.steps} steps`);
    records.push(...found);
  }
  of.steps += 1;
  of.last = records;
  of.stepMs = performance.now() - start;
  for (const [router, record] of records.entries()) {
    for (const [metric, column] of seriesColumns.entries()) {
      of.series[router][metric].push(column.value(record) ?? Number.NaN);
    }
  }
}

const seriesColumns = seriesMetrics.map((id) => {
  const column = stepColumns.find(({ name }) => name === id)!;
  return {
    value: (record: StepRecord) =>
      column.join === undefined ? column.value(record) : record.regret === null ? null : column.join(record),
  };
});

/** Sends the picture of the last step. */
function show(of: Run): void {
  if (of.steps === 0) return;
  lastFrame = performance.now();
  const runs = of.simulations.flatMap(({ runs }) => runs);
  const batches = of.simulations.flatMap(({ batch, runs }) => runs.map(() => batch!));
  const routers = runs.map(({ router, routed }, index): RouterFrame => {
    const record = of.last[index];
    const figures: Record<string, number | null> = {};
    for (const { name, value, join } of stepColumns) {
      if (join === undefined) figures[name] = value(record);
      else if (record.regret !== null && name !== "dual_regret_cumulative") figures[name] = join(record);
    }
    return {
      load: Int32Array.from(routed.assignment.load),
      bias: router.bias === undefined ? null : Float64Array.from(router.bias),
      figures,
    };
  });
  const frame: Frame = {
    kind: "frame",
    id: of.id,
    steps: of.steps,
    isDone: of.steps >= of.wanted,
    stepMs: of.stepMs,
    tokens: batches[0].tokens,
    capacity: batchCapacity(batches[0], of.scenario),
    routers,
    from: of.shown,
    series: of.series.map((ofRouter) => ofRouter.map((values) => Float64Array.from(values))),
    heatMap: heatMapOf(of, batches),
  };
  for (const ofRouter of of.series) for (const values of ofRouter) values.length = 0;
  of.shown = of.steps;
  of.isTold = frame.isDone;
  post(frame);
}

/** Maximum rows and columns of a heat map. */
const mostHeatRows = 96;
const mostHeatColumns = 256;

function heatMapOf({ scenario, simulations, planRoom }: Run, batches: readonly TokenBatch[]): HeatMap | null {
  const { tokens, experts } = batches[0];
  if (tokens === 0) return null;
  const rows = Math.min(tokens, mostHeatRows);
  const columns = Math.min(experts, mostHeatColumns);
  const runs = simulations.flatMap(({ runs }) => runs);
  // A router that solves on some steps only, like ssr, has a plan on these.
  const isPlan = runs.map(
    ({ router, routed, choice }) =>
      routerKindOf(choice).plan !== undefined && router.writePlan !== undefined && routed.solver !== undefined,
  );
  let order = rowsByBestExpert(batches[0], rows);
  const columnOf = Int32Array.from({ length: experts }, (_, e) => Math.floor((e * columns) / experts));
  const values = runs.map(({ router, routed }, index) => {
    const batch = batches[index];
    // Each router has batches of its own if the stream answers to it.
    if (index > 0 && batch !== batches[index - 1]) order = rowsByBestExpert(batch, rows);
    const cells = new Float32Array(rows * columns);
    const perRow = new Float32Array(rows);
    for (let token = 0; token < tokens; token++) perRow[order[token]] += 1;
    if (isPlan[index]) {
      router.writePlan!(batch, planRoom);
      for (let token = 0; token < tokens; token++) {
        const row = order[token] * columns;
        const from = token * experts;
        for (let e = 0; e < experts; e++) cells[row + columnOf[e]] += planRoom[from + e];
      }
    } else {
      const { expert, slots } = routed.assignment;
      for (let pair = 0; pair < tokens * slots; pair++) {
        if (expert[pair] < 0) continue;
        const row = order[Math.floor(pair / slots)] * columns;
        cells[row + columnOf[expert[pair]]] += 1 / scenario.topK;
      }
    }
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) cells[row * columns + column] *= columns / perRow[row];
    }
    return cells;
  });
  return { rows, columns, tokens, values, isPlan };
}

/** Returns the row of each token, `[tokens]`: tokens with the same best expert are neighbours. */
function rowsByBestExpert({ logits, tokens, experts }: TokenBatch, rows: number): Int32Array {
  const best = new Int32Array(tokens);
  const first = new Int32Array(experts + 1);
  for (let token = 0; token < tokens; token++) {
    let at = token * experts;
    for (let entry = at + 1; entry < (token + 1) * experts; entry++) if (logits[entry] > logits[at]) at = entry;
    best[token] = at - token * experts;
    first[best[token] + 1] += 1;
  }
  for (let e = 0; e < experts; e++) first[e + 1] += first[e];
  return best.map((expert) => Math.floor((first[expert]++ * rows) / tokens));
}

/** The relative capacities of the frontier: from perfect balance to far beyond what routers do. */
const frontierFactors = [1, 1.02, 1.05, 1.1, 1.2, 1.35, 1.5, 1.75, 2, 2.5, 3, 4, 6, 8] as const;
/** Optima are proven to within this much per pair: less than a picture can show. */
const frontierGap = 1e-5;

/** Proves the frontier of the last batch of `steps`, and then the best fixed bias of all of them. */
async function prove(id: number, written: WrittenScenario, steps: number): Promise<void> {
  const whole = await resolve(written);
  const { layers = [] } = whole;
  const scenario: Scenario = { ...whole, ...(layers.length > 1 && { layers: layers.slice(0, 1) }) };
  if (streamKindOf(scenario.stream).feedback !== undefined) {
    const note = "This stream answers to each router, so that no two see the same batch: there is no common frontier.";
    post({ kind: "proved", id, note });
    return;
  }
  const own = kernelsWithRoom();
  const count = Math.min(steps, scenario.steps);
  const { tokens, experts, topK } = scenario;
  const withBias = scenario.routers.filter((router) => routerKindOf(router).hasBias === true);
  const kinds = experts > mostHindsightExperts ? [] : Array.from(new Set(withBias.map(({ scores }) => scores)));
  const shape = { ...scenario, steps: count };
  const meters = kinds.map((kind): [ScoreKind, DualRegretMeter] => [kind, createDualRegretMeter(own, shape, kind)]);
  const stream = await openStream(scenario, own);
  try {
    let batch: TokenBatch | null = null;
    for (let n = 0; n < count; n++) {
      const next = await stream.next();
      if (next === null) break;
      batch = next;
      for (const [, meter] of meters) meter.observe(batch);
    }
    if (batch === null || batch.tokens === 0) {
      post({ kind: "proved", id, note: "The step has no token: there is nothing to balance." });
      return;
    }
    if (experts <= mostAssignmentExperts) proveFrontier(id, scenario, own, batch);
    for (const [scores, meter] of meters) {
      const { bias, gap, keptFraction } = meter.hindsight();
      post({ kind: "best", id, best: { scores, bias, gap: gap / count, keptFraction } });
    }
    const kept = Math.floor(mostKeptScores / (count * experts));
    post({
      kind: "proved",
      id,
      note: kept < tokens && meters.length > 0 ? `b* is based on ${kept} of ${tokens} tokens of each batch.` : "",
    });
  } finally {
    await stream.close();
  }

  function proveFrontier(id: number, scenario: Scenario, own: Kernels, batch: TokenBatch): void {
    const affinities = own.allocateFloat64(tokens * experts);
    own.affinities(batch.logits, scenario.measure.scores, batch.tokens, experts, affinities);
    excludeDisabled(batch, affinities);
    const solver = createAssignmentSolver(own, tokens, experts, topK, { gap: frontierGap });
    const mean = (batch.tokens * topK) / experts;
    const pairs = batch.tokens * topK;
    const points: { capacity: number; maxVio: number; score: number; gap: number }[] = [];
    // With the last one an expert has room for every token.
    for (const factor of [...frontierFactors, experts / topK]) {
      const capacity = expertCapacity(batch.tokens, { tokens, experts, topK, capacityFactor: factor });
      if (capacity <= (points.at(-1)?.capacity ?? 0)) continue;
      const { value, upperBound, load } = solver.solve({ scores: affinities, tokens: batch.tokens, capacity });
      points.push({
        capacity,
        maxVio: capacity / mean - 1,
        score: upperBound / pairs,
        gap: (upperBound - value) / pairs,
      });
      // With room to spare on every expert, more room changes nothing.
      const isFree = load.every((pairs) => pairs < capacity);
      post({ kind: "frontier", id, points: points.slice(), isDone: isFree });
      if (isFree) return;
    }
  }
}

/** Simulates the whole scenario as `moesim run` does, and returns what it writes. */
async function write(id: number, written: WrittenScenario): Promise<void> {
  const whole = await resolve(written);
  const { layers = [] } = whole;
  const scenario: Scenario = { ...whole, ...(layers.length > 1 && { layers: layers.slice(0, 1) }) };
  const simulations: Simulation[] = [];
  const own = kernelsWithRoom();
  try {
    for (const part of wholeParts(scenario)) simulations.push(await createSimulation(scenario, { kernels: own, part }));
    let lastTurn = performance.now();
    for (let steps = 0; ; steps++) {
      let isEnded = false;
      for (const simulation of simulations) isEnded = (await simulation.step()) === null || isEnded;
      if (isEnded) break;
      if (performance.now() - lastTurn < 4 * turnMs) continue;
      post({ kind: "progress", id, steps, of: scenario.steps });
      await turn();
      lastTurn = performance.now();
    }
    const results = routerResults(scenario, await Promise.all(simulations.map((simulation) => simulation.result())));
    const sourceOf = (name: string, kind: string) => ({
      scenario: scenario.name,
      router: name,
      kind,
      seed: scenario.seed,
    });
    const summary = summaryTable(
      results.map(({ router, summary }) => ({ source: sourceOf(router.name, router.kind), sizes: scenario, summary })),
    );
    const columns = stepColumnsOf(trainingFigures(scenario), scenario.placement !== undefined);
    const steps: ResultTable = {
      file: "steps.csv",
      columns: headerOf(columns),
      rows: results.flatMap(({ router, steps, figureAt }) =>
        Array.from({ length: steps }, (_, step) =>
          cellsOf(columns, {
            source: sourceOf(router.name, router.kind),
            step,
            figure: (column) => figureAt(step, column),
          }).map(cellText),
        ),
      ),
    };
    const files: RunFiles = {
      "scenario.yaml": stringify(written),
      "summary.csv": csvOf(summary),
      "steps.csv": csvOf(steps),
    };
    post({ kind: "written", id, files });
  } finally {
    for (const simulation of simulations) await simulation.close();
  }
}

/** Returns the text of a table: RFC 4180 with line feeds, like the program's files. */
function csvOf({ columns, rows }: ResultTable): string {
  const quoted = (cell: string) => (/[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return [columns, ...rows].map((row) => `${row.map(quoted).join(",")}\n`).join("");
}

/** Throws `InputError` if the scenario or the first batch of its stream cannot be read. */
async function tryOut(written: WrittenScenario): Promise<void> {
  const whole = await resolve(written);
  const { layers = [] } = whole;
  const stream = await openStream(
    layers.length > 1 ? { ...whole, layers: layers.slice(0, 1) } : whole,
    kernelsWithRoom(),
  );
  try {
    if ((await stream.next()) === null) throw new InputError("stream: it has no step");
  } finally {
    await stream.close();
  }
}

const mostScenarioBytes = 2 ** 20;

/** Returns the scenario in a file, or in the run.json of a run; null if the file is something else. */
async function readScenario(name: string): Promise<unknown> {
  const file = files.get(name);
  if (file === undefined || !/\.(ya?ml|json)$/i.test(name) || file.size > mostScenarioBytes) return null;
  const data = parsePlainData(await file.text(), name);
  const scenario = isRunRecord(data) ? data.scenario : data;
  const isScenario = ["stream", "routers", "model"].some((field) => Object.hasOwn(Object(scenario), field));
  return isScenario ? withModel(scenario) : null;
}

function facts(): Facts {
  return {
    version,
    routers: routerKinds.map((kind) => describeKind(kind)),
    streams: streamKinds.map((kind) => describeKind(kind)),
    models: modelDescriptions.map(({ name, experts, topK }) => ({ name, experts, topK })),
    metrics: metrics.map(({ id, label, unit, definition }) => ({ id, label, unit, definition })),
  };
}

const channel = new MessageChannel();
let wake: (() => void) | null = null;
channel.port1.onmessage = () => wake?.();

/** Lets messages that wait have their turn; timers would wait for milliseconds. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    wake = resolve;
    channel.port2.postMessage(null);
  });
}

function problem(id: number, error: unknown): void {
  const { message } = error as Error;
  // After any other failure, such as too little memory, the next question gets new ones.
  if (!(error instanceof InputError)) kernels = undefined;
  post({ kind: "problem", id, message: error instanceof InputError ? message : `The simulator failed: ${message}` });
}

async function handle(message: ToWorker): Promise<void> {
  switch (message.kind) {
    case "install":
      for (const [name, file] of message.files) files.set(name, file);
      install({ kernels: new Uint8Array(message.kernels), files });
      post({ kind: "installed", facts: facts() });
      return;
    case "files":
      for (const [name, file] of message.files) files.set(name, file);
      return;
    case "ask": {
      if (question === null) return;
      const { id, scenario, steps } = question;
      question = null;
      await ask(id, scenario, steps).catch((error: unknown) => problem(id, error));
      await advance();
      return;
    }
    case "continue":
      if (run?.id === message.id) await advance();
      return;
    case "read":
      post({ kind: "scenario", id: message.id, scenario: await readScenario(message.name) });
      return;
    case "try":
      await tryOut(message.scenario);
      post({ kind: "tried", id: message.id });
      return;
    case "prove":
      await prove(message.id, message.scenario, message.steps);
      return;
    case "write":
      await write(message.id, message.scenario);
      return;
  }
}

/** One message after another: resolving a scenario waits for files. */
let queue: Promise<void> = Promise.resolve();

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  const { id } = { id: -1, ...data };
  // At once, so that the steps under way end, or go on no further than is wanted now.
  if (data.kind === "ask") question = data;
  if (data.kind === "continue") {
    if (run?.id === data.id) {
      run.wanted = Math.min(data.steps, run.scenario.steps);
      run.isTold = false;
    }
    if (question?.id === data.id) question = { ...question, steps: data.steps };
  }
  const handled = () => handle(data).catch((error: unknown) => problem(id, error));
  queue = queue.then(handled);
};
