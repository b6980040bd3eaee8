import { createReadStream, existsSync } from "node:fs";
import path from "node:path";
import { parse } from "csv-parse";
import { CsvError, parse as parseAll } from "csv-parse/sync";
import { z } from "zod";
import { InputError } from "../../core/input-error.ts";
import { headerOf, type ResultTable, summaryColumnsOf } from "../../core/results/result-columns.ts";
import {
  cellOf,
  type LayerLoads,
  type LoadSeries,
  type PlacedLoads,
  parseNumber,
  type Results,
  type Run,
  type RunFiles,
  routeMsIn,
  type StepSeries,
  sweptSizes,
} from "../../core/results/results.ts";
import { openRegularFile, readSmallFile } from "./input-file.ts";
import { completeCommit, readRunJson, readRunRecord, shardFile } from "./results-folder.ts";

/** The columns of summary.csv that every file of results has had from the first version on. */
const requiredColumns = ["scenario", "router", "kind", "seed", "steps", "experts", "max_vio_global"];

const recordSchema = z.object({
  dualRegret: z.array(z.object({ router: z.string(), gap: z.number(), keptFraction: z.number() })).default([]),
});

/**
 * Opens the results in `folder`, which `run`, `sweep` or `measure` wrote. Reads the summary; the larger files are read
 * by whoever needs them. Throws `InputError` if `folder` holds no finished results.
 */
export function openResults(folder: string): Results {
  checkIsResults(folder);
  const summary = readTable(path.join(folder, "summary.csv"), requiredColumns, sweptSizes);
  const runs = openCells(folder, summary) ?? [
    { folder, rows: summary.rows.map((_, row) => row), files: filesOfRun(folder, folder) },
  ];
  const known = [...headerOf(summaryColumnsOf("evaluated", true, true)), ...pluginColumnsIn(runs[0].files.record())];
  return {
    folder,
    name: cellOf(summary, 0, "scenario"),
    description: descriptionIn(runs[0].files.record()),
    summary,
    parameters: summary.columns.filter(
      (column, position) => !known.includes(column) || summary.columns.indexOf(column) < position,
    ),
    runs,
  };
}

/** Throws `InputError` if `folder` holds no finished results. Completes those that a killed program left half-replaced. */
export function checkIsResults(folder: string): void {
  if (!existsSync(folder)) throw new InputError(`${folder}: there is no such folder`);
  completeCommit(folder);
  if (!existsSync(path.join(folder, "summary.csv"))) {
    if (existsSync(path.join(folder, shardFile))) {
      throw new InputError(`${folder}: holds one shard of a sweep; moesim merge makes results of all its shards`);
    }
    throw new InputError(`${folder}: has no summary.csv, and so no finished results of run, sweep or measure`);
  }
}

/**
 * The cells of a sweep, whose summary lists their rows one after the other; null where there are none, or where a later
 * run into the same folder wrote the summary.
 */
function openCells(folder: string, summary: ResultTable): Run[] | null {
  if (!existsSync(path.join(folder, "cells"))) return null;
  const runs: Run[] = [];
  let next = 0;
  while (next < summary.rows.length) {
    const cell = path.join(folder, "cells", String(runs.length));
    const first = next;
    const { columns, rows } = existsSync(cell)
      ? readTable(path.join(cell, "summary.csv"), requiredColumns)
      : { columns: [], rows: [] };
    // The summary has columns besides: the swept values, and those that only other cells have.
    const positions = columns.map((column) => summary.columns.indexOf(column));
    const isJoined = (row: readonly string[], joined: readonly string[]) =>
      row.every((text, column) => text === joined[positions[column]]);
    if (rows.length === 0 || !rows.every((row, offset) => isJoined(row, summary.rows[first + offset] ?? []))) {
      if (existsSync(path.join(folder, "run.json"))) return null;
      throw new InputError(`${summary.file}: its rows are not those of its cells; sweep --resume writes it again`);
    }
    runs.push({ folder: cell, rows: rows.map((_, offset) => first + offset), files: filesOfRun(cell, folder) });
    next += rows.length;
  }
  return runs;
}

function descriptionIn(record: unknown): string {
  const { scenario } = (record ?? {}) as { scenario?: { description?: unknown } | null };
  const description = scenario?.description;
  return typeof description === "string" ? description : "";
}

/**
 * Throws `InputError` if the results in `folder` have metrics of a plugin that is not loaded: its columns would be taken for
 * swept values, and nothing tells which way they are better.
 */
export function checkPluginsLoaded(folder: string): void {
  const record = readRunRecord(folder) ?? readRunRecord(path.join(folder, "cells", "0"));
  const known = headerOf(summaryColumnsOf("evaluated", true, true));
  const missing = pluginColumnsIn(record).find((column) => !known.includes(column));
  if (missing === undefined) return;
  throw new InputError(`${folder}: ${missing} is a metric of a plugin; give the plugin with --plugin FILE.mjs`);
}

/** The columns of summary.csv that plugins added, by the run's record. */
function pluginColumnsIn(record: unknown): string[] {
  const { plugins } = (record ?? {}) as { plugins?: unknown };
  if (!Array.isArray(plugins)) return [];
  return plugins.flatMap((plugin) => {
    const { columns } = (plugin ?? {}) as { columns?: unknown };
    return Array.isArray(columns) ? columns.map(String) : [];
  });
}

/** The files of the run in `folder`, read on demand; `results` is the folder of all runs. */
export function filesOfRun(folder: string, results: string): RunFiles {
  const [steps, loads, layers, timing] = ["steps.csv", "loads.csv", "layers.csv", "timing.csv"].map((name) =>
    path.join(folder, name),
  );
  return {
    recordPath: path.join(folder, "run.json"),
    record: () => readRunJson(folder),
    async stepColumns() {
      if (!existsSync(steps)) return [];
      const reader = await openRows(steps, ["router", "step"]);
      reader.close();
      return reader.columns;
    },
    stepSeries: (required, optional) => readStepSeries(steps, required, optional),
    loadSeries: () => readLoadSeries(loads),
    layerLoads: () => readLayerLoads(loads),
    gpuLoads: () => readGpuLoads(path.join(folder, "gpus.csv")),
    layers: () =>
      existsSync(layers) ? readTable(layers, ["router", "layer", "max_vio_global", "idle_fraction_mean"]) : null,
    routeMs() {
      if (!existsSync(timing)) return new Map();
      return routeMsIn(readTable(timing, ["router", "route_ms_median"]));
    },
    dualRegret() {
      const written = readRunJson(folder);
      const record = recordSchema.safeParse(written === undefined ? {} : written);
      if (record.success) return record.data.dualRegret;
      throw new InputError(`${path.join(folder, "run.json")}: dualRegret is not as run and sweep write it`);
    },
    missing: (names) =>
      names
        .map((name) => path.join(folder, name))
        .filter((file) => !existsSync(file))
        .map((file) => path.relative(results, file)),
  };
}

/** Some million rows. */
const maxTableBytes = 1 << 29;

/**
 * Reads the CSV file `file` whole; for the files that are small however long a run is. Throws `InputError` if it is missing,
 * malformed or empty, lacks one of the columns `required`, or has two of the same name not in `mayRepeat`.
 */
export function readTable(file: string, required: readonly string[], mayRepeat: readonly string[] = []): ResultTable {
  if (!existsSync(file)) throw new InputError(`${file}: there is no such file; run, sweep and measure write it`);
  let records: string[][];
  try {
    records = parseAll(readSmallFile(file, maxTableBytes), { bom: true });
  } catch (error) {
    throw csvProblem(file, error);
  }
  const [columns, ...rows] = records;
  checkColumns(file, columns ?? [], required, mayRepeat);
  if (rows.length === 0) throw new InputError(`${file}: has no rows below its header`);
  return { file, columns, rows };
}

/** Turns an error from reading `file` as CSV into an `InputError`, unless the file is not at fault. */
function csvProblem(file: string, error: unknown): unknown {
  if (error instanceof InputError) return error;
  const { message, code } = error as NodeJS.ErrnoException;
  if (!(error instanceof CsvError) && code === undefined) return error;
  return new InputError(`${file}: cannot be read as CSV: ${message}`);
}

/** Throws `InputError` if a required column is missing, or two not in `mayRepeat` have the same name. */
function checkColumns(
  file: string,
  columns: readonly string[],
  required: readonly string[],
  mayRepeat: readonly string[],
): void {
  const missing = required.filter((column) => !columns.includes(column));
  if (missing.length > 0) {
    throw new InputError(
      `${file}: has no column ${missing.join(", ")}; a file written by run, sweep or measure has it`,
    );
  }
  const repeated = columns.find(
    (column, position) => columns.indexOf(column) !== position && !mayRepeat.includes(column),
  );
  if (repeated !== undefined) throw new InputError(`${file}: has two columns named ${JSON.stringify(repeated)}`);
}

/** Reads a result file row by row, in pieces, so that memory does not grow with it. */
export interface RowReader {
  readonly columns: readonly string[];
  /** The next row, as long as `columns`; null after the last. Throws `InputError` if the file is malformed. */
  next(): Promise<readonly string[] | null>;
  close(): void;
}

/**
 * Opens the CSV file `file` and reads its header. Throws `InputError` if it cannot be read, lacks one of the columns
 * `required`, or has two of the same name not in `mayRepeat`. Calls `onBytes` with the bytes of each piece that it reads.
 */
export async function openRows(
  file: string,
  required: readonly string[],
  mayRepeat: readonly string[] = [],
  onBytes: (bytes: number) => void = () => undefined,
): Promise<RowReader> {
  const input = createReadStream(file, { fd: openRegularFile(file) });
  input.on("data", (piece) => onBytes(piece.length));
  const parser = input.pipe(parse({ bom: true }));
  // Piping does not forward errors.
  input.on("error", (error) => parser.destroy(error));
  const rows = (parser as AsyncIterable<string[]>)[Symbol.asyncIterator]();

  async function next(): Promise<readonly string[] | null> {
    try {
      const { done, value } = await rows.next();
      return done === true ? null : value;
    } catch (error) {
      throw csvProblem(file, error);
    }
  }
  function close(): void {
    input.destroy();
    parser.destroy();
  }

  try {
    const columns = (await next()) ?? [];
    checkColumns(file, columns, required, mayRepeat);
    return { columns, next, close };
  } catch (error) {
    close();
    throw error;
  }
}

/**
 * Reads the per-step columns `required` of a run's steps.csv or diagnostics.csv, by router, in pieces: memory grows with
 * the numbers asked for. With several layers, the values of a step are means over those that have one. Empty if there is
 * no such file. Throws `InputError` if it is malformed.
 *
 * @param optional further columns, which some files lack
 */
export async function readStepSeries(
  file: string,
  required: readonly string[],
  optional: readonly string[] = [],
): Promise<ReadonlyMap<string, StepSeries>> {
  const columns = [...required, ...optional];
  const series = new Map<string, { step: number[]; columns: Record<string, number[]> }>();
  /** With several layers, by router: the place of each step, and how many layers have a value there, by column. */
  const layered = new Map<string, { place: Map<number, number>; counts: number[][] }>();
  await readRows(file, ["router", "step", ...required], [...optional, "layer"], (router, [step, ...values]) => {
    const layer = values.pop()!;
    let entry = series.get(router);
    if (entry === undefined) {
      entry = { step: [], columns: Object.fromEntries(columns.map((column) => [column, []])) };
      series.set(router, entry);
      if (!Number.isNaN(layer)) layered.set(router, { place: new Map(), counts: columns.map(() => []) });
    }
    const layers = layered.get(router);
    const at = layers?.place.get(step) ?? entry.step.length;
    const isNew = at === entry.step.length;
    if (isNew) {
      entry.step.push(step);
      layers?.place.set(step, at);
    }
    for (const [position, column] of columns.entries()) {
      const value = values[position];
      const own = entry.columns[column];
      if (isNew) own.push(value);
      else if (!Number.isNaN(value)) own[at] = Number.isNaN(own[at]) ? value : own[at] + value;
      if (layers === undefined) continue;
      const counts = layers.counts[position];
      counts[at] = (counts[at] ?? 0) + (Number.isNaN(value) ? 0 : 1);
    }
  });
  for (const [router, { counts }] of layered) {
    for (const [position, column] of columns.entries()) {
      const values = series.get(router)!.columns[column];
      for (const [at, count] of counts[position].entries()) values[at] /= count;
    }
  }
  return series;
}

/** Reads gpus.csv, by router. Empty if there is no such file. Throws `InputError` if it is malformed. */
async function readGpuLoads(file: string): Promise<ReadonlyMap<string, readonly PlacedLoads[]>> {
  if (!existsSync(file)) return new Map();
  const found = new Map<string, Map<number | null, { layer: number | null; unplaced: number[]; placed: number[] }>>();
  const isLayered = await hasLayerColumn(file);
  const further = isLayered ? ["layer"] : [];
  await readRows(
    file,
    ["router", "gpu", "unplaced_load", "load", ...further],
    [],
    (router, [gpu, before, load, layer]) => {
      const layers = found.get(router) ?? new Map();
      found.set(router, layers);
      const id = isLayered ? layer : null;
      const own = layers.get(id) ?? { layer: id, unplaced: [], placed: [] };
      layers.set(id, own);
      if (gpu !== own.placed.length || !(before >= 0) || !(load >= 0)) {
        throw new InputError(
          `${file}: router ${JSON.stringify(router)}: the loads are not those of the GPUs 0, 1, … in order`,
        );
      }
      own.unplaced.push(before);
      own.placed.push(load);
    },
  );
  return new Map(
    Array.from(found, ([router, layers]) => [
      router,
      [...layers.values()].sort((a, b) => (a.layer ?? 0) - (b.layer ?? 0)),
    ]),
  );
}

/**
 * Reads the loads of each layer from a run's loads.csv, summed over the steps there, by router. Empty if there is no such
 * file, or only one layer. Throws `InputError` if it is malformed.
 */
async function readLayerLoads(file: string): Promise<ReadonlyMap<string, LayerLoads>> {
  const found = new Map<string, { steps: Set<number>; layers: Map<number, number[]> }>();
  if (!(await hasLayerColumn(file))) return new Map();
  await readRows(file, ["router", "step", "expert", "load", "layer"], [], (router, [step, expert, load, layer]) => {
    const entry = found.get(router) ?? { steps: new Set(), layers: new Map<number, number[]>() };
    found.set(router, entry);
    entry.steps.add(step);
    const ofLayer = entry.layers.get(layer) ?? [];
    entry.layers.set(layer, ofLayer);
    if (!Number.isInteger(expert) || expert < 0 || expert > ofLayer.length || !(load >= 0) || Number.isNaN(layer)) {
      throw new InputError(
        `${file}: router ${JSON.stringify(router)}, layer ${layer}, step ${step}: the loads are not those of the experts ` +
          "0, 1, … in order",
      );
    }
    ofLayer[expert] = (ofLayer[expert] ?? 0) + load;
  });
  return new Map(
    Array.from(found, ([router, { steps, layers }]): [string, LayerLoads] => [
      router,
      {
        steps: steps.size,
        layers: Array.from(layers, ([layer, load]) => ({ layer, load })).sort((a, b) => a.layer - b.layer),
      },
    ]),
  );
}

/** Whether the rows of `file` are of several layers; false if it is missing. */
async function hasLayerColumn(file: string): Promise<boolean> {
  if (!existsSync(file)) return false;
  const reader = await openRows(file, ["router"]);
  reader.close();
  return reader.columns.includes("layer");
}

/**
 * Reads a run's loads.csv, by router. Empty if there is no such file, or if it has several layers, whose experts are
 * different ones. Throws `InputError` if it is malformed, a
 * load is empty or negative, or the steps of a router do not all list the experts 0, 1, … in order.
 */
export async function readLoadSeries(file: string): Promise<ReadonlyMap<string, LoadSeries>> {
  if (await hasLayerColumn(file)) return new Map();
  const series = new Map<string, { step: number[]; load: number[]; experts: number; next: number }>();
  const incomplete = (router: string) =>
    new InputError(`${file}: the loads of router ${JSON.stringify(router)} are not those of all experts on each step`);
  await readRows(file, ["router", "step", "expert", "load"], [], (router, [step, expert, load]) => {
    let entry = series.get(router);
    if (entry === undefined) {
      entry = { step: [], load: [], experts: 0, next: 0 };
      series.set(router, entry);
    }
    if (entry.step.at(-1) !== step) {
      if (entry.step.length === 1) entry.experts = entry.next;
      if (entry.next !== entry.experts && entry.step.length > 0) throw incomplete(router);
      entry.step.push(step);
      entry.next = 0;
    }
    if (expert !== entry.next) throw incomplete(router);
    if (!(load >= 0)) {
      throw new InputError(`${file}: router ${JSON.stringify(router)}, step ${step}, expert ${expert}: has no load`);
    }
    entry.load.push(load);
    entry.next += 1;
  });
  for (const [router, entry] of series) {
    if (entry.step.length === 1) entry.experts = entry.next;
    if (entry.next !== entry.experts) throw incomplete(router);
  }
  return series;
}

/**
 * Calls `onRow` with each row's router, which is the first of the columns `required`, and the numbers in the others and
 * in those `optional`; NaN for an empty cell and for a column that the file lacks.
 */
async function readRows(
  file: string,
  required: readonly string[],
  optional: readonly string[],
  onRow: (router: string, numbers: readonly number[]) => void,
): Promise<void> {
  if (!existsSync(file)) return;
  const reader = await openRows(file, required);
  const columns = [...required, ...optional];
  try {
    const [router, ...positions] = columns.map((column) => reader.columns.indexOf(column));
    let row = 0;
    for (let cells = await reader.next(); cells !== null; cells = await reader.next()) {
      const ofRow = cells;
      const numbers = positions.map(
        (position, index) => parseNumber(ofRow[position] ?? "", file, row, columns[index + 1]) ?? Number.NaN,
      );
      onRow(cells[router], numbers);
      row += 1;
    }
  } finally {
    reader.close();
  }
}
