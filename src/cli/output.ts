import { existsSync } from "node:fs";
import path from "node:path";
import { InputError } from "../core/input-error.ts";
import { printable } from "../core/results/format.ts";
import type { Scenario } from "../core/scenario/scenario.ts";
import {
  cellsIn,
  checkOutputFile,
  isStaged,
  type OutputFile,
  type OutputFolder,
  obsoleteResults,
  openOutputFile,
  openOutputFolder,
  type Resumable,
  readRunRecord,
  realPath,
  resultNames,
  type Staging,
} from "../node/files/results-folder.ts";
import { isSystemError } from "./exit-codes.ts";
import { writeLines } from "./terminal.ts";

const signals: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM"];

interface StopOptions {
  /** The interrupted run or sweep whose staged files to build on, if there are any. */
  readonly resume?: Resumable | null | undefined;
  /** Message for a user who interrupts `work` when nothing of it is kept. */
  readonly lost?: (() => string) | undefined;
}

export interface FolderOptions extends StopOptions {
  /** Lists what to remove, relative to the folder, when the staged files replace it; called with the folder locked. */
  readonly obsolete?: (staging: Staging) => readonly string[];
  /** Whether to remove a checkpoint of an earlier run, if any, when this is done. */
  readonly endsCheckpoints?: boolean;
}

export interface ResultsOptions extends StopOptions {
  /** Cells of the sweep or shard: those that are not staged stay. Default: none. */
  readonly cells?: readonly number[] | undefined;
}

/**
 * Lets `work` stage files and moves them into `folder` when it is done. If `work` fails or the program is interrupted (Ctrl-C),
 * only a checkpoint remains of it, and `folder` is unchanged. Throws `InputError` if the system refuses to write.
 */
export function withOutputFolder<Result>(
  folder: string,
  work: (staging: Staging) => Promise<Result>,
  { obsolete = () => [], resume = null, lost, endsCheckpoints = false }: FolderOptions = {},
): Promise<Result> {
  let output: OutputFolder | undefined;
  return withDiscard(
    folder,
    () => output?.staging.root,
    () => output?.discard() ?? false,
    async () => {
      output = openOutputFolder(folder, resume);
      const { staging, commit } = output;
      const result = await work(staging);
      commit(() => obsolete(staging), endsCheckpoints);
      return result;
    },
    lost,
  );
}

/**
 * Does the same as {@link withOutputFolder} for results. It also removes what moesim wrote into `folder` earlier and `work` does
 * not replace, because it describes other results: result files, checkpoints and cells of a sweep.
 */
export function withResultsFolder<Result>(
  folder: string,
  work: (staging: Staging) => Promise<Result>,
  { cells = [], ...options }: ResultsOptions = {},
): Promise<Result> {
  const obsolete = ({ files }: Staging) => obsoleteResults(folder, files, cells);
  return withOutputFolder(folder, work, { ...options, obsolete, endsCheckpoints: true });
}

/** Lets `work` write a file that appears whole or not at all at `file`, or at the target if that is a link. */
export function withOutputFile<Result>(file: string, work: (staged: string) => Promise<Result>): Promise<Result> {
  let output: OutputFile | undefined;
  return withDiscard(
    file,
    () => output?.root,
    () => {
      output?.discard();
      return false;
    },
    async () => {
      output = openOutputFile(file);
      const result = await work(output.staged);
      output.commit();
      return result;
    },
  );
}

/**
 * Does `work`, and calls `discard` if it fails or the program is interrupted. System errors name the output `name`.
 *
 * @param root the staging folder, once there is one
 * @param discard returns whether something is kept for `--resume`
 * @param lost message for a user who interrupts `work` when nothing is kept
 */
async function withDiscard<Result>(
  name: string,
  root: () => string | undefined,
  discard: () => boolean,
  work: () => Promise<Result>,
  lost?: () => string,
): Promise<Result> {
  // First, so that no signal arrives between making something to discard and listening.
  const listeners = stopOnSignal(() => {
    const message = discard() ? "interrupted; finished work is saved, and --resume continues from there" : lost?.();
    // The terminal shows ^C and the progress on the current line.
    const lineFeed = process.stderr.isTTY ? "\n" : "";
    if (message !== undefined) writeLines(process.stderr, `${lineFeed}moesim: ${message}`);
  });
  try {
    return await work();
  } catch (error) {
    throw describe(error, name, root());
  } finally {
    discard();
    for (const [signal, listener] of listeners) process.off(signal, listener);
  }
}

/**
 * Turns a system error into an `InputError` that says which file cannot be written or read, and why. Returns an error in the
 * staging folder of another output as it is, because that output names it.
 */
function describe(error: unknown, name: string, root: string | undefined): unknown {
  if (!isSystemError(error)) return error;
  const { code, message, path: file, syscall } = error;
  const isOwn = file === undefined || root === undefined || path.resolve(file).startsWith(root);
  if (!isOwn && isStaged(file)) return error;
  if (!isOwn && (syscall === "open" || syscall === "read" || syscall === "stat")) {
    return new InputError(`${file}: cannot be read: ${message}`);
  }
  // A folder is removed from its leaves up, so the staging folder may still exist when a folder inside it does not.
  const folders = file === undefined ? [root] : [root, path.dirname(file)];
  const isGone = code === "ENOENT" && folders.some((folder) => folder !== undefined && !existsSync(folder));
  const reason = isGone ? "its folder was removed or moved while moesim was writing: " : "";
  return new InputError(`${name}: cannot be written to: ${reason}${message}`);
}

function stopOnSignal(discard: () => void): (readonly [NodeJS.Signals, () => void])[] {
  return signals.map((signal) => {
    const listener = () => {
      discard();
      // Without a listener the signal ends the program at once. `process.exit` would end the threads first, and Node 20
      // crashes if one of them is loading its modules.
      process.kill(process.pid, signal);
    };
    process.once(signal, listener);
    return [signal, listener] as const;
  });
}

/** A file that a command reads and therefore must not overwrite. */
export interface ReadFile {
  /** The option or the scenario's field that names it. */
  readonly name: string;
  readonly file: string;
}

/** Describes the results in `folder` by command, scenario and time; null if there are none that moesim wrote. */
export function describeResults(folder: string): string | null {
  const record = readRunRecord(folder) ?? readRunRecord(path.join(folder, "cells", "0"));
  if (record === undefined) return null;
  const { command, scenario, file, end } = record as Readonly<Record<string, unknown>>;
  const name = (scenario as { name?: unknown } | null | undefined)?.name ?? file;
  const date = new Date(String(end));
  const time = Number.isNaN(date.getTime()) ? "" : ` of ${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  const seed = Number.isInteger(record.seed) && command === "run" ? `, seed ${record.seed}` : "";
  return `the ${printable(String(command))}${time} (${printable(String(name))}${seed})`;
}

/** Lists the result files of `folder`, whether or not they exist. */
export function filesOfResults(folder: string): ReadFile[] {
  return ["", ...cellsIn(folder)].flatMap((part) =>
    resultNames.map((name) => ({ name: `the results in ${folder}`, file: path.join(folder, part, name) })),
  );
}

/** Lists `scenarioFile`, and the files that its `scenarios` read. */
export async function filesReadBy(scenarioFile: string, scenarios: readonly Scenario[]): Promise<ReadFile[]> {
  // Commands that only read results need no scenarios.
  const { inputFilesOf } = await import("../node/run/run-record.ts");
  const inputs = new Set((await Promise.all(scenarios.map(inputFilesOf))).flat());
  return [
    { name: "the scenario", file: scenarioFile },
    ...Array.from(inputs, (file) => ({ name: `${scenarioFile}: a file that it reads`, file })),
  ];
}

/**
 * Throws `InputError` if the `file` that `option` names cannot be written, is one of `inputs`, or has the name of a result file,
 * also after following links: only `run`, `sweep` and `measure` may replace those, in any folder.
 */
export function checkTarget(option: string, file: string, inputs: readonly ReadFile[]): void {
  if (file.endsWith("/")) throw new InputError(`--${option} ${file}: is a folder; name a file`);
  checkOutputFile(file);
  const target = realPath(file);
  const input = inputs.find((one) => realPath(one.file) === target);
  if (input !== undefined)
    throw new InputError(`--${option} and ${input.name} name the same file: ${file}; choose another`);
  if ([file, target].some((one) => resultNames.includes(path.basename(one)))) {
    throw new InputError(`--${option} ${file}: has the name of a result file; choose another`);
  }
}

/** Throws `InputError` if results in `folder` would overwrite one of `inputs`. */
export function checkKept(folder: string, inputs: readonly ReadFile[]): void {
  const into = realPath(folder);
  for (const { name, file } of inputs) {
    // Replacing a link loses a name of the file; replacing the file loses what the link leads to.
    const places = [path.join(realPath(path.dirname(file)), path.basename(file)), realPath(file)];
    if (places.some((place) => isPlaceOfResults(path.relative(into, place)))) {
      throw new InputError(
        `${name}: the results in ${folder} would overwrite ${file}; choose another folder with --out`,
      );
    }
  }
}

/** Whether a path relative to a results folder is that of a file that a run or sweep may replace. */
function isPlaceOfResults(relative: string): boolean {
  const { dir, base } = path.parse(relative);
  return resultNames.includes(base) && (dir === "" || /^cells[/\\]\d+$/.test(dir));
}
