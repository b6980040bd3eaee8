import { createHash } from "node:crypto";
import { constants, copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { range } from "d3-array";
import { z } from "zod";
import { InputError } from "../../core/input-error.ts";
import type { KernelBackend } from "../../core/kernels/index.ts";
import type { Results } from "../../core/results/results.ts";
import { describeIssues } from "../../core/scenario/problems.ts";
import { fromScenarioFile, type Scenario, toScenarioFile } from "../../core/scenario/scenario.ts";
import type { SweepCell } from "../../core/scenario/sweep.ts";
import { dealByCost, scenarioWork } from "../../core/simulation/sharing.ts";
import { version } from "../../core/version.ts";
import { counted, listed } from "../../core/words.ts";
import { digestOfFile } from "../files/input-file.ts";
import {
  completeCommit,
  filesOfScenario,
  readRunRecord,
  readShardJson,
  realPath,
  type Staging,
  shardFile,
} from "../files/results-folder.ts";
import { cellDigests, type FinishedCell, readTables } from "./cell.ts";
import { inputFilesOf, pluginsOf } from "./run-record.ts";
import { finishCells, type SweepOptions, writeSweepTables } from "./run-sweep.ts";

/**
 * A shard is a part of a sweep's cells that one machine runs without knowing of the others. Every machine deals the cells to
 * the shards in the same way, so that no server has to:
 *
 *     sweep --shard 2/4    runs the cells of the second of four shards; writes cells/3, cells/7, … and shard.json
 *     merge A B C D        checks that the shards are of one sweep and hold every cell once, and makes its results of them
 */
export interface Shard {
  /** Counts from 1. */
  readonly index: number;
  readonly count: number;
}

/** More machines than any sweep has cells. */
const maxShards = 1_000_000;

/** Reads `i/n`, the i-th of n shards, counted from 1. Throws `InputError`. */
export function parseShard(text: string): Shard {
  const [index, count] = (/^(\d{1,7})\/(\d{1,7})$/.exec(text) ?? []).slice(1).map(Number);
  const how = "give i/n, the i-th of n shards, counted from 1: 1/8 to 8/8";
  if (count === undefined) throw new InputError(`--shard: ${JSON.stringify(text)} is not allowed; ${how}`);
  if (count === 0 || count > maxShards) {
    throw new InputError(`--shard ${text}: ${count} shards are not allowed; there can be 1 to ${maxShards}`);
  }
  if (index === 0) throw new InputError(`--shard ${text}: shards count from 1; the first is 1/${count}`);
  if (index > count) throw new InputError(`--shard ${text}: there are ${count} shards; the last is ${count}/${count}`);
  return { index, count };
}

/**
 * Returns the rising positions of the cells of each of `count` shards, so that all take about equally long by an estimate: steps
 * × tokens × experts, times what the routers, the optima and the layers cost. A shard is empty if there are fewer cells.
 */
export function dealCells(cells: readonly SweepCell[], count: number): number[][] {
  return dealByCost(
    cells.map(({ scenario }) => scenarioWork(scenario)),
    count,
  );
}

const digest = z.string().regex(/^[\da-f]{64}$/);
const position = z.int().min(0);

/** What shard.json holds. The fields of `sweep` are equal in all shards of a sweep. */
const shardSchema = z.object({
  versions: z.object({ moesim: z.string() }),
  shard: z.object({ index: z.int().min(1), count: z.int().min(1) }),
  scenarioFile: z.string(),
  set: z.array(z.string()),
  sweep: z.object({
    scenario: z.looseObject({ name: z.string().regex(/^[^/\\\0.][^/\\\0]*$/) }),
    backend: z.string(),
    plugins: z.array(z.object({ file: z.string(), sha256: digest })),
    /** SHA-256 of each file that a stream reads, sorted. */
    inputs: z.array(digest),
    parameters: z.array(z.string()),
    /** The swept values, the seed and the SHA-256 of the resolved scenario of every cell of the sweep. */
    cells: z.array(z.object({ values: z.array(z.unknown()), seed: z.unknown(), sha256: digest })).min(1),
  }),
  /** The cells that the shard holds, and the SHA-256 of the run.json of each. */
  cells: z.array(z.object({ cell: position, sha256: digest })),
});
type ShardRecord = z.infer<typeof shardSchema>;

export interface ShardOptions extends SweepOptions {
  readonly shard: Shard;
  /** The scenario as written, with the changes of `--set`. */
  readonly written: object;
  /** The arguments of `--set`. */
  readonly set: readonly string[];
}

/**
 * Runs the shard's cells and stages them with shard.json; returns their positions. Throws `InputError` as `runSweep` does.
 */
export async function runShard(
  cells: readonly SweepCell[],
  staging: Staging,
  options: ShardOptions,
): Promise<number[]> {
  const { shard, scenarioFile, written, set, backend } = options;
  const chosen = dealCells(cells, shard.count)[shard.index - 1];
  const finished = await finishCells(cells, chosen, staging, options);
  const held = await Promise.all(
    finished.map(async ({ folder }, place) => ({
      cell: chosen[place],
      sha256: await digestOfFile(path.join(folder, "run.json")),
    })),
  );
  const record: ShardRecord = {
    versions: { moesim: version },
    shard,
    scenarioFile,
    set: Array.from(set),
    sweep: await sweepRecord(cells, written as ShardRecord["sweep"]["scenario"], backend),
    cells: held,
  };
  writeFileSync(path.join(staging.files, shardFile), `${JSON.stringify(record, null, 2)}\n`);
  return chosen;
}

async function sweepRecord(
  cells: readonly SweepCell[],
  scenario: ShardRecord["sweep"]["scenario"],
  backend: KernelBackend,
): Promise<ShardRecord["sweep"]> {
  const files = (await Promise.all(cells.map((cell) => inputFilesOf(cell.scenario)))).flat();
  const inputs: string[] = [];
  for (const file of new Set(files)) inputs.push(await digestOfFile(file));
  return {
    scenario,
    backend,
    plugins: (pluginsOf().plugins ?? []).map(({ file, sha256 }) => ({ file, sha256 })),
    inputs: inputs.sort(),
    parameters: cells[0].parameters.map(({ path: parameter }) => parameter),
    cells: cells.map(({ scenario, parameters }) => ({
      values: parameters.map(({ value }) => value),
      seed: scenario.seed,
      sha256: createHash("sha256")
        .update(JSON.stringify(toScenarioFile(scenario)))
        .digest("hex"),
    })),
  };
}

/** A folder that holds a shard. */
interface ShardFolder {
  readonly folder: string;
  readonly record: ShardRecord;
}

/** The shards of one sweep, checked, before their cells are read. */
export interface CheckedShards {
  readonly shards: readonly ShardFolder[];
  /** The name of the scenario, which names the output folder. */
  readonly name: string;
  readonly scenarioFile: string;
  readonly set: readonly string[];
  /** Number of cells of the sweep. */
  readonly cells: number;
}

/**
 * Reads shard.json of all `folders`. Throws `InputError` if one holds no shard, if they are of different sweeps, versions or
 * seeds, or if a cell of the sweep is missing or in two of them.
 */
export function checkShards(folders: readonly string[]): CheckedShards {
  const places = folders.map(realPath);
  const twice = folders.find((_, index) => places.indexOf(places[index]) < index);
  if (twice !== undefined) throw new InputError(`${twice}: is named twice; name each shard once`);
  const shards = folders.map((folder): ShardFolder => ({ folder, record: readShard(folder) }));
  const [first, ...others] = shards;
  for (const other of others) checkSameSweep(first, other);
  checkPlugins(first);
  checkEachCellOnce(shards);
  const { sweep, scenarioFile, set } = first.record;
  return { shards, name: sweep.scenario.name, scenarioFile, set, cells: sweep.cells.length };
}

function readShard(folder: string): ShardRecord {
  if (!existsSync(folder)) throw new InputError(`${folder}: there is no such folder`);
  completeCommit(folder);
  const written = readShardJson(folder);
  if (written === undefined) {
    const what = existsSync(path.join(folder, "summary.csv")) ? "whole results, not a shard" : "no shard";
    throw new InputError(`${folder}: holds ${what}: it has no ${shardFile}; sweep --shard i/n writes one`);
  }
  const parsed = shardSchema.safeParse(written);
  if (parsed.success) return parsed.data;
  const { lines } = describeIssues(parsed.error, shardSchema, written);
  throw new InputError(`${path.join(folder, shardFile)}: is not as sweep --shard writes it: ${lines[0]}`);
}

function checkSameSweep(first: ShardFolder, other: ShardFolder): void {
  const [there, here] = [first, other].map(({ record }) => ({ version: record.versions.moesim, ...record.sweep }));
  const isSame = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
  if (there.version !== here.version) {
    throw new InputError(
      `${other.folder}: is of moesim ${here.version}, and ${first.folder} of ${there.version}; run all shards with one version`,
    );
  }
  const differing: string[] = [];
  for (const field of ["backend", "plugins", "inputs"] as const) {
    if (!isSame(there[field], here[field])) differing.push(namesOfFields[field]);
  }
  if (!isSame(there.cells, here.cells) || !isSame(there.parameters, here.parameters)) {
    const fields = new Set([...Object.keys(there.scenario), ...Object.keys(here.scenario)]);
    const changed = Array.from(fields).filter((field) => !isSame(there.scenario[field], here.scenario[field]));
    differing.push(...(changed.length === 0 ? ["the sizes of the recorded data"] : changed));
  }
  if (differing.length === 0) return;
  throw new InputError(
    `${other.folder}: is a shard of another sweep than ${first.folder}; what differs: ${differing.join(", ")}`,
  );
}

const namesOfFields = { backend: "the backend", plugins: "the plugins", inputs: "the recorded data" } as const;

/** Throws `InputError` if a plugin that the sweep had is not loaded: its columns would be lost. */
function checkPlugins({ folder, record }: ShardFolder): void {
  const loaded = new Set((pluginsOf().plugins ?? []).map(({ sha256 }) => sha256));
  const missing = record.sweep.plugins.find(({ sha256 }) => !loaded.has(sha256));
  if (missing === undefined) return;
  throw new InputError(`${folder}: was made with the plugin ${missing.file}; give that very file with --plugin`);
}

const mostNamedCells = 5;

function checkEachCellOnce(shards: readonly ShardFolder[]): void {
  const [{ record }] = shards;
  const holders = new Map<number, string>();
  for (const { folder, record } of shards) {
    for (const { cell } of record.cells) {
      const name = record.sweep.cells.length > cell ? nameOfCell(record, cell) : `cell ${cell}`;
      const holder = holders.get(cell);
      if (holder !== undefined) {
        throw new InputError(
          holder === folder
            ? `${folder}: holds ${name} twice`
            : `${name} is both in ${holder} and in ${folder}; leave one out`,
        );
      }
      if (cell >= record.sweep.cells.length) throw new InputError(`${folder}: holds ${name}, which the sweep lacks`);
      holders.set(cell, folder);
    }
  }
  const missing = range(record.sweep.cells.length).filter((cell) => !holders.has(cell));
  if (missing.length === 0) return;
  const named = missing.slice(0, mostNamedCells).map((cell) => nameOfCell(record, cell));
  const more = missing.length - named.length;
  throw new InputError(
    `${counted(missing.length, "cell")} of ${record.sweep.cells.length} ${missing.length === 1 ? "is" : "are"} missing` +
      missingShardsText(shards),
    { details: more === 0 ? named : [...named, `… and ${more} more`] },
  );
}

/** Which shards were not given, if all are of one division. */
function missingShardsText(shards: readonly ShardFolder[]): string {
  const counts = new Set(shards.map(({ record }) => record.shard.count));
  if (counts.size !== 1) return "";
  const [count] = counts;
  const given = new Set(shards.map(({ record }) => record.shard.index));
  const absent = range(1, count + 1).filter((index) => !given.has(index));
  if (absent.length === 0) return "";
  const names = absent.map((index) => `${index}/${count}`);
  return `; give ${absent.length === 1 ? "the folder of shard" : "the folders of shards"} ${listed(names)} too`;
}

/** Names a cell by its position, its swept values and its seed. */
function nameOfCell({ sweep }: ShardRecord, cell: number): string {
  const { values, seed } = sweep.cells[cell];
  const swept = sweep.parameters.map((parameter, index) => `${parameter} = ${JSON.stringify(values[index])}`);
  return `cell ${cell} (${[...swept, `seed ${seed}`].join(", ")})`;
}

/** The results of a merged sweep, and its cells. */
export interface MergedSweep {
  readonly results: Results;
  readonly cells: readonly SweepCell[];
}

/**
 * Copies the cells of all shards into the staged files and stages the files of the sweep: the bytes of a sweep on one machine,
 * but for the times in timing.csv and run.json. Throws `InputError` if a file of a cell is missing or was changed after its shard
 * was finished.
 */
export async function mergeShards(
  { shards }: CheckedShards,
  staging: Staging,
  onProgress: (cells: number) => void,
): Promise<MergedSweep> {
  const finished: FinishedCell[] = [];
  const cells: SweepCell[] = [];
  let done = 0;
  for (const { folder, record } of shards) {
    for (const { cell, sha256 } of record.cells) {
      const from = path.join(folder, "cells", String(cell));
      const to = path.join(staging.files, "cells", String(cell));
      const { layers, scenario } = await copyCell(from, to, sha256);
      const { values } = record.sweep.cells[cell];
      const parameters = record.sweep.parameters.map((name, index) => ({ path: name, value: values[index] }));
      cells[cell] = { scenario, parameters };
      finished[cell] = readTables(to, layers > 1);
      done += 1;
      onProgress(done);
    }
  }
  return { results: writeSweepTables(cells, finished, staging), cells };
}

/** Copies a cell's files and checks the copies: run.json by `sha256`, the others by what run.json says. */
async function copyCell(from: string, to: string, sha256: string): Promise<{ layers: number; scenario: Scenario }> {
  const changed = (name: string) =>
    new InputError(
      `${path.join(from, name)}: is missing, or was changed after its shard was finished; run that shard again with --resume`,
    );
  mkdirSync(to, { recursive: true });
  const copy = (name: string) => {
    if (!existsSync(path.join(from, name))) throw changed(name);
    copyFileSync(path.join(from, name), path.join(to, name), constants.COPYFILE_FICLONE);
  };
  copy("run.json");
  if ((await digestOfFile(path.join(to, "run.json"))) !== sha256) throw changed("run.json");
  // The digest says that moesim wrote it.
  const record = readRunRecord(to) as unknown as CellRecord;
  const layers = record.layers?.length ?? 1;
  const scenario = fromScenarioFile(record.scenario, record.layers);
  for (const name of filesOfScenario(scenario)) if (name !== "run.json") copy(name);
  const found = await cellDigests(to, scenario);
  for (const [name, digest] of Object.entries(record.sha256)) if (found[name] !== digest) throw changed(name);
  return { layers, scenario };
}

/** What is read of a cell's run.json. */
interface CellRecord {
  readonly scenario: object;
  readonly layers?: readonly number[];
  readonly sha256: Readonly<Record<string, string>>;
}
