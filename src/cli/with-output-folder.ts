import { InputError } from "../core/input-error.ts";
import { type OutputFolder, openOutputFolder } from "../report/output-folder.ts";

/** What the system says where it is the folder's fault that a file cannot be written. */
const notWritable = new Set(["EACCES", "EDQUOT", "EFBIG", "EIO", "ENAMETOOLONG", "ENOSPC", "EPERM", "EROFS"]);

const signals: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM"];

/**
 * Lets `work` write into a partial folder and moves what it wrote into `folder` when it is done. When `work` fails or
 * the program is told to stop (Ctrl-C), nothing of it remains but a checkpoint, and what was in `folder` before is as it
 * was.
 *
 * @param obsoleteFiles names the files in `folder` that go away when those in the partial folder come
 * @param resume whether to give `work` the partial folder of a program that was stopped, if one left a checkpoint there
 */
export async function withOutputFolder<Result>(
  folder: string,
  work: (partial: string) => Promise<Result>,
  obsoleteFiles: (partial: string) => readonly string[] = () => [],
  resume = false,
): Promise<Result> {
  let output: OutputFolder | undefined;
  // Before there is anything to discard, so that no signal comes between.
  const stop = stopOnSignal(() => {
    // Behind what a terminal shows of Ctrl-C and of the progress.
    const lineFeed = process.stderr.isTTY ? "\n" : "";
    if (output?.discard())
      process.stderr.write(`${lineFeed}moesim: what is done is kept; --resume goes on from there\n`);
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
