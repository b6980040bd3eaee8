import path from "node:path";
import type { CommandModule } from "yargs";
import { InputError } from "../../core/input-error.ts";
import { printable } from "../../core/results/format.ts";
import { parseOverride, withOverrides } from "../../core/scenario/overrides.ts";
import { sweepCells } from "../../core/scenario/sweep.ts";
import { counted, escapeUnprintable } from "../../core/words.ts";
import { type Staging, shardFile } from "../../node/files/results-folder.ts";
import { readScenarioFile } from "../../node/files/scenario-file.ts";
import type { QueueOptions } from "../../node/queue/collector.ts";
import type { SweepOptions } from "../../node/run/run-sweep.ts";
import {
  type BackendName,
  backendOption,
  type CommonArguments,
  chooseBackend,
  maxVioOption,
  optionGroups,
  outOption,
  patienceOption,
  positiveInteger,
  positiveNumber,
  queueOption,
  scenarioPositional,
  setOption,
  wideOption,
} from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { checkKept, describeResults, filesReadBy, withResultsFolder } from "../output.ts";
import { createLiveLine } from "../progress.ts";
import { maxCellsOption } from "../scenario-options.ts";
import { printSweep, type SweepOutput } from "../sweep-output.ts";
import { printJson, warn, writeLines } from "../terminal.ts";

interface SweepArguments extends CommonArguments {
  scenario: string;
  out?: string | undefined;
  set: string[];
  plugin?: string[] | undefined;
  workers: number;
  resume: boolean;
  shard?: string | undefined;
  queue?: string | undefined;
  "patience-seconds": number;
  "max-file": number;
  wide: boolean;
  "max-cells": number;
  "max-vio": number;
  backend: BackendName;
}

export const sweepCommand: CommandModule<CommonArguments, SweepArguments> = {
  builder: (yargs) =>
    yargs
      .positional("scenario", scenarioPositional)
      .option("set", setOption)
      .option("out", { ...outOption, defaultDescription: "results/<scenario name>, with --shard i/n also -i-of-n" })
      .option("resume", {
        type: "boolean",
        group: optionGroups.output,
        default: false,
        describe: "Reuse the cells that an interrupted sweep finished",
      })
      .option("wide", wideOption)
      .option("max-vio", maxVioOption)
      .option("workers", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        default: 1,
        describe: "Number of threads that share the cells",
      })
      .option("shard", {
        type: "string",
        group: optionGroups.computation,
        requiresArg: true,
        describe: "Run the i-th of n parts of the cells: i/n, from 1/n to n/n; see merge",
      })
      .option("queue", queueOption)
      .option("patience-seconds", patienceOption)
      .option("max-file", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        default: 256,
        describe: "With --queue, send recordings of up to so many MiB",
      })
      .conflicts("queue", "shard")
      .option("max-cells", maxCellsOption)
      .option("backend", backendOption)
      .example(
        examples({
          "Run every combination and seed, on two threads": "$0 sweep scenarios/bias-rate.yaml --workers 2",
          "Run the first of four parts; merge joins them": "$0 sweep scenarios/bias-rate.yaml --shard 1/4",
          "Run the cells on the workers of a queue": "$0 sweep scenarios/bias-rate.yaml --queue redis://head:6379",
          "Resume an interrupted sweep": "$0 sweep scenarios/bias-rate.yaml --resume",
          "Find what keeps MaxVio within 0.2, for a script": "$0 sweep my.yaml --max-vio 0.2 --json | jq .cheapest",
        }),
      )
      .epilogue(
        epilogue([
          "summary.csv    a row per cell and router; swept values in the last columns",
          "intervals.csv  means over seeds and half widths of 95 % intervals, per variant",
          "cells/0, 1, …  the files of `run` for each cell",
          "shard.json     with --shard, beside its cells: what merge needs to know of them",
        ]),
      ),
  handler: sweep,
};

async function sweep(options: SweepArguments): Promise<void> {
  const workers = positiveInteger("workers", options.workers);
  const maxCells = positiveInteger("max-cells", options["max-cells"]);
  const maxVioLimit = positiveNumber("max-vio", options["max-vio"]);
  // Loading the statistics of a sweep takes time that other commands should not wait for.
  const { parseShard, runShard, dealCells } = await import("../../node/run/shards.ts");
  const { runSweep } = await import("../../node/run/run-sweep.ts");
  const { rerunWords } = await import("../text/sweep-outcome.ts");
  const shard = options.shard === undefined ? null : parseShard(options.shard);
  const queue = options.queue === undefined ? null : await readQueueOptions(options.queue, options);
  const backend = await chooseBackend(options.backend);
  const { written, origin } = await readScenarioFile(options.scenario);
  const changed = withOverrides(written, options.set.map(parseOverride));
  const cells = await sweepCells(changed, options.scenario, maxCells, path.dirname(origin));
  const { name } = cells[0].scenario;

  const given = { scenarioFile: options.scenario, set: options.set, plugin: options.plugin };
  const suffix = shard === null ? "" : `-${shard.index}-of-${shard.count}`;
  const folder = options.out ?? path.join("results", name + suffix);
  const scenarios = cells.map(({ scenario }) => scenario);
  checkKept(folder, await filesReadBy(options.scenario, scenarios));
  const replaced = options.resume ? null : describeResults(folder);
  const own = shard === null ? Array.from(cells.keys()) : dealCells(cells, shard.count)[shard.index - 1];
  let cellsDone = 0;
  let queueWorkers: number | null = null;
  const progress = createLiveLine(
    () => `${cellsDone}/${own.length} cells${queueWorkers === null ? "" : ` · ${counted(queueWorkers, "worker")}`}`,
    options.quiet,
  );
  const run = queue && {
    ...queue,
    resume: options.resume,
    onWorkers(workers: number) {
      queueWorkers = workers;
    },
    onNotice: warn,
  };
  const lost = () => "interrupted before the first cell was finished; nothing is saved";
  const sweepOptions: SweepOptions = {
    scenarioFile: origin,
    rerunOf: (cell) => rerunWords(given, cell),
    workers,
    ...(run !== null && { run: (await import("../../node/queue/collector.ts")).queueRunner(run) }),
    backend,
    resume: options.resume,
    onProgress({ cells, work, totalWork }) {
      cellsDone = cells;
      progress.update(work, totalWork);
    },
  };
  const resume = options.resume ? "sweep" : null;
  const stage = <Result>(work: (staging: Staging) => Promise<Result>) =>
    withResultsFolder(folder, work, { cells: own, resume, lost }).finally(progress.stop);
  if (shard !== null) {
    const shardOptions = { ...sweepOptions, shard, written: changed as object, set: options.set };
    await stage((staging) => runShard(cells, staging, shardOptions));
    if (options.json) {
      printJson({ name, out: folder, files: [shardFile], shard: shard.index, shards: shard.count, cells: own.length });
    } else if (!options.quiet) {
      const part = `shard ${shard.index} of ${shard.count}, with ${own.length} of ${counted(cells.length, "cell")}`;
      process.stdout.write(`${printable(name)}: ${part}\n\n`);
      writeLines(
        process.stdout,
        `Written to ${escapeUnprintable(folder)}: ${shardFile}, and each cell's files in cells. When all shards are done, ` +
          "moesim merge makes one folder of theirs.",
      );
      if (replaced !== null) writeLines(process.stdout, `Replaced there: ${replaced}`);
    }
    return;
  }
  const results = await stage((staging) => runSweep(cells, staging, sweepOptions));
  const output: SweepOutput = { folder, cells, maxVioLimit, origin: given, replaced };
  await printSweep(results, output, options);
}

/** Reads the options of a queue. Throws `InputError`. */
async function readQueueOptions(
  queue: string,
  { workers, ...options }: Pick<SweepArguments, "workers" | "patience-seconds" | "max-file">,
): Promise<Pick<QueueOptions, "address" | "patienceMs" | "maxFileBytes">> {
  if (workers !== 1) {
    throw new InputError("--workers: the threads here run no cells of a --queue; start its workers with moesim worker");
  }
  const { checkQueueInstalled, readQueueAddress } = await import("../../node/queue/connection.ts");
  checkQueueInstalled();
  return {
    address: readQueueAddress(queue),
    patienceMs: 1000 * positiveNumber("patience-seconds", options["patience-seconds"]),
    maxFileBytes: 2 ** 20 * positiveNumber("max-file", options["max-file"]),
  };
}
