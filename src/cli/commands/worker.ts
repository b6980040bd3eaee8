import type { CommandModule } from "yargs";
import { InputError } from "../../core/input-error.ts";
import { version } from "../../core/version.ts";
import { counted } from "../../core/words.ts";
import {
  type CommonArguments,
  optionGroups,
  patienceOption,
  positiveInteger,
  positiveNumber,
  queueOption,
} from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { printJson, warn, writeLines } from "../terminal.ts";

interface WorkerArguments extends CommonArguments {
  queue: string;
  concurrency: number;
  "patience-seconds": number;
  "lock-seconds": number;
  "idle-seconds"?: number | undefined;
}

const leastLockMs = 1000;

export const workerCommand: CommandModule<CommonArguments, WorkerArguments> = {
  builder: (yargs) =>
    yargs
      .option("queue", { ...queueOption, default: "env" })
      .option("concurrency", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        default: 1,
        describe: "Cells at a time, each on a thread",
      })
      .option("idle-seconds", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        describe: "End after so many seconds without a cell",
        defaultDescription: "wait for ever",
      })
      .option("lock-seconds", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        default: 30,
        describe: "Seconds of silence after which another worker gets this one's cells",
      })
      .option("patience-seconds", patienceOption)
      .example(
        examples({
          "Run cells on two threads until Ctrl-C": "$0 worker --queue redis://head:6379 --concurrency 2",
          "Take the address, with its password, from the environment": "MOESIM_QUEUE=rediss://:secret@head $0 worker",
          "End when there has been nothing to do for a minute": "$0 worker --queue redis://head:6379 --idle-seconds 60",
        }),
      )
      .epilogue(epilogue()),
  handler: work,
};

async function work(options: WorkerArguments): Promise<void> {
  const concurrency = positiveInteger("concurrency", options.concurrency, 1024);
  const seconds = (name: "patience-seconds" | "lock-seconds") => 1000 * positiveNumber(name, options[name]);
  const [patienceMs, lockMs] = [seconds("patience-seconds"), seconds("lock-seconds")];
  if (lockMs < leastLockMs) {
    throw new InputError(
      `--lock-seconds: ${options["lock-seconds"]} is not allowed; give at least 1: a busy machine can be silent for as long`,
    );
  }
  const idle = options["idle-seconds"];
  const idleMs = idle === undefined ? null : 1000 * positiveNumber("idle-seconds", idle);
  const { checkQueueInstalled, readQueueAddress } = await import("../../node/queue/connection.ts");
  checkQueueInstalled();
  const address = readQueueAddress(options.queue);
  const { serveQueue } = await import("../../node/queue/queue-worker.ts");
  const stop = new AbortController();
  let ended: NodeJS.Signals | null = null;
  const listeners = (["SIGINT", "SIGTERM"] as const).map((signal) => {
    const listener = () => {
      ended = signal;
      stop.abort();
    };
    process.once(signal, listener);
    return [signal, listener] as const;
  });
  if (!options.quiet && !options.json) {
    writeLines(
      process.stdout,
      `moesim ${version}: running ${counted(concurrency, "cell")} at a time of ${address.name}; Ctrl-C gives back what is not done`,
    );
  }
  const cells = await serveQueue({
    address,
    concurrency,
    patienceMs,
    lockMs,
    idleMs,
    stop: stop.signal,
    onCell: () => undefined,
    onNotice: warn,
  });
  for (const [signal, listener] of listeners) process.off(signal, listener);
  if (options.json) printJson({ cells });
  else if (!options.quiet) writeLines(process.stdout, `${counted(cells, "cell")} done`);
  if (ended !== null) process.kill(process.pid, ended);
}
