import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { InputError } from "../core/input-error.ts";
import { isSystemError } from "../core/system-error.ts";
import {
  isStaged,
  type OutputFile,
  type OutputFolder,
  openOutputFile,
  openOutputFolder,
  type Resumable,
  type Staging,
} from "../node/files/output-folder.ts";
import { obsoleteCells, obsoleteOfCell, ownResultFiles } from "../node/files/own-files.ts";
import { writeLines } from "./terminal.ts";

const signals: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM"];

interface StopOptions {
  /** Whether to stage on top of what a stopped run or sweep has kept, if there is any. */
  readonly resume?: Resumable | null | undefined;
  /** What to tell a user who interrupts `work` when nothing of it is kept. */
  readonly lost?: (() => string) | undefined;
}

export interface FolderOptions extends StopOptions {
  /** Names what goes away, relative to the folder, when the staged files come; called with the folder locked. */
  readonly obsolete?: (staging: Staging) => readonly string[];
  /** Whether a checkpoint of an earlier run, if any, is of no use when this is done. */
  readonly endsCheckpoints?: boolean;
}

export interface ResultsOptions extends StopOptions {
  /** How many cells the sweep has whose results these are; those that are not staged stay. */
  readonly cells?: number | undefined;
}

/**
 * Lets `work` stage files and puts them into `folder` when it is done. When `work` fails or the program is told to stop
 * (Ctrl-C), nothing of it remains but a checkpoint, and what was in `folder` before is as it was. Throws `InputError` if
 * the system refuses to write.
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
 * As {@link withOutputFolder}, for results: what moesim wrote into `folder` before and `work` does not replace goes away,
 * since it describes other results, and so do checkpoints and the cells of a sweep.
 */
export function withResultsFolder<Result>(
  folder: string,
  work: (staging: Staging) => Promise<Result>,
  { cells = 0, ...options }: ResultsOptions = {},
): Promise<Result> {
  const obsolete = ({ files }: Staging) => {
    const staged = path.join(files, "cells");
    const replaced = existsSync(staged) ? readdirSync(staged) : [];
    return [
      ...ownResultFiles(folder),
      ...replaced.flatMap((name) => obsoleteOfCell(folder, path.join("cells", name))),
      ...obsoleteCells(folder, cells),
    ];
  };
  return withOutputFolder(folder, work, { ...options, obsolete, endsCheckpoints: true });
}

/** Lets `work` write a file that appears at `file`, or where a link of that name leads, whole or not at all. */
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
 * Does `work`, and `discard` if it fails or the program is told to stop. Errors of the system name the output `name`.
 *
 * @param root the staging folder, once there is one
 * @param discard returns whether something is kept for `--resume`
 * @param lost what to tell a user who interrupts `work` when nothing is kept
 */
async function withDiscard<Result>(
  name: string,
  root: () => string | undefined,
  discard: () => boolean,
  work: () => Promise<Result>,
  lost?: () => string,
): Promise<Result> {
  // Before there is anything to discard, so that no signal comes between.
  const listeners = stopOnSignal(() => {
    const message = discard() ? "interrupted; what is done is kept, and --resume continues from there" : lost?.();
    // After what a terminal shows of Ctrl-C and of the progress.
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
 * An `InputError` in the place of an error of the system: which file could not be written, or read, and why. An error in
 * the staging folder of another output is returned as it is, for that one to name.
 */
function describe(error: unknown, name: string, root: string | undefined): unknown {
  if (!isSystemError(error)) return error;
  const { code, message, path: file, syscall } = error;
  const isOwn = file === undefined || root === undefined || path.resolve(file).startsWith(root);
  if (!isOwn && isStaged(file)) return error;
  if (!isOwn && (syscall === "open" || syscall === "read" || syscall === "stat")) {
    return new InputError(`${file}: cannot be read: ${message}`);
  }
  // A folder is removed from its leaves up: the staging folder may still be there when a folder inside it is not.
  const folders = file === undefined ? [root] : [root, path.dirname(file)];
  const isGone = code === "ENOENT" && folders.some((folder) => folder !== undefined && !existsSync(folder));
  const reason = isGone ? "its folder was removed or moved while moesim was writing: " : "";
  return new InputError(`${name}: cannot be written to: ${reason}${message}`);
}

function stopOnSignal(discard: () => void): (readonly [NodeJS.Signals, () => void])[] {
  return signals.map((signal) => {
    const listener = () => {
      discard();
      // Now that nobody listens, the signal ends the program at once. An exit of its own would first end its threads,
      // and Node 20 does not survive that while one of them loads its modules.
      process.kill(process.pid, signal);
    };
    process.once(signal, listener);
    return [signal, listener] as const;
  });
}
