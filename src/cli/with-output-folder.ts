import { InputError } from "../core/input-error.ts";
import { type OutputFolder, openOutputFolder } from "../report/output-folder.ts";
import { writeLines } from "./terminal.ts";

/** The system's error codes that mean the folder, and not the program, is at fault when a file cannot be written. */
const notWritable = new Set(["EACCES", "EDQUOT", "EFBIG", "EIO", "ENAMETOOLONG", "ENOSPC", "EPERM", "EROFS"]);

const signals: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM"];

export interface OutputFolderOptions {
  /** Whether to give `work` the partial folder of an interrupted program, if one left a checkpoint there. */
  readonly resume?: boolean | undefined;
  /** What to tell a user who interrupts `work` when nothing of it is kept. */
  readonly lost?: (() => string) | undefined;
}

/**
 * Lets `work` write into a partial folder and moves what it wrote into `folder` when it is done. When `work` fails or
 * the program is told to stop (Ctrl-C), nothing of it remains but a checkpoint, and what was in `folder` before is as it
 * was.
 *
 * @param obsoleteFiles names the files in `folder` to remove when those in the partial folder take their place
 */
export async function withOutputFolder<Result>(
  folder: string,
  work: (partial: string) => Promise<Result>,
  obsoleteFiles: (partial: string) => readonly string[] = () => [],
  { resume = false, lost }: OutputFolderOptions = {},
): Promise<Result> {
  let output: OutputFolder | undefined;
  // Before there is anything to discard, so that no signal comes between.
  const stop = stopOnSignal(() => {
    const isKept = output?.discard() === true;
    const message = isKept ? "interrupted; what is done is kept, and --resume continues from there" : lost?.();
    // After what a terminal shows of Ctrl-C and of the progress.
    const lineFeed = process.stderr.isTTY ? "\n" : "";
    if (message !== undefined) writeLines(process.stderr, `${lineFeed}moesim: ${message}`);
  });
  try {
    output = openOutputFolder(folder, resume);
    const result = await work(output.partial);
    output.commit(obsoleteFiles(output.partial));
    return result;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== undefined && notWritable.has(code))
      throw new InputError(`${folder}: cannot be written to: ${message}`);
    throw error;
  } finally {
    output?.discard();
    for (const [signal, listener] of stop) process.off(signal, listener);
  }
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
