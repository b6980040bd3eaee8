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
  /** Number of cells of the sweep; cells that are not staged stay. */
  readonly cells?: number | undefined;
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
