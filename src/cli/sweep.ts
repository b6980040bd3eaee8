import path from "node:path";
import type { CommandModule } from "yargs";
import { InputError } from "../core/input-error.ts";
import { runSweep } from "../engine/run-sweep.ts";
import { readScenarioFile } from "../scenario/load.ts";
import { parseOverride, withOverride } from "../scenario/overrides.ts";
import { sweepCells } from "../scenario/sweep.ts";
import {
  type BackendName,
  backendOption,
  type CommonArguments,
  chooseBackend,
  outOption,
  positiveInteger,
  scenarioPositional,
  setOption,
} from "./common-options.ts";
import { createProgress } from "./progress.ts";
import { withOutputFolder } from "./with-output-folder.ts";

interface SweepArguments extends CommonArguments {
  scenario: string;
  out?: string | undefined;
  set: string[];
  workers: number;
  resume: boolean;
  "max-cells": number;
  backend: BackendName;
}

export const sweepCommand: CommandModule<CommonArguments, SweepArguments> = {
  command: "sweep <scenario>",
  describe: "Run a scenario for every combination of its sweep: lists and seeds",
  builder: (yargs) =>
    yargs
      .positional("scenario", scenarioPositional)
      .option("out", { ...outOption, defaultDescription: "results/<scenario name>" })
      .option("set", setOption)
      .option("workers", {
        type: "number",
        requiresArg: true,
        default: 1,
        describe: "Threads; the cells are shared out",
      })
      .option("resume", {
        type: "boolean",
        default: false,
        describe: "Keep the cells that an interrupted sweep finished",
      })
      .option("max-cells", { type: "number", requiresArg: true, default: 1000, describe: "Refuse to run more cells" })
      .option("backend", backendOption)
      .example("$0 sweep scenarios/bias-rate.yaml --workers 2", "")
      .example("$0 sweep scenarios/bias-rate.yaml --resume", ""),
  handler: sweep,
};

async function sweep(options: SweepArguments): Promise<void> {
  const workers = positiveInteger("workers", options.workers);
  const maxCells = positiveInteger("max-cells", options["max-cells"]);
  const backend = chooseBackend(options.backend);
  const written = options.set
    .map(parseOverride)
    .reduce<unknown>(withOverride, await readScenarioFile(options.scenario));
  const cells = await sweepCells(written, options.scenario, maxCells);
  const { name } = cells[0].scenario;
  if (cells.some(({ scenario }) => scenario.name !== name)) {
    throw new InputError(`${options.scenario}: sweep: the name cannot be swept, since it names the output folder`);
  }

  const folder = options.out ?? path.join("results", name);
  const progress = createProgress(cells.length, "cells", options.quiet);
  const missed = await withOutputFolder(folder, (partial) =>
    runSweep(cells, folder, partial, {
      scenarioFile: options.scenario,
      workers,
      backend,
      resume: options.resume,
      onProgress: progress.update,
    }),
  ).finally(() => progress.stop());
  if (missed > 0) {
    process.stderr.write(
      `warning: plans missed their tolerance in ${missed} rows of summary.csv (not_converged_steps)\n`,
    );
  }
  if (options.quiet) return;
  process.stdout.write(
    `${name}: ${cells.length} cells, written to ${folder}: summary.csv, and each cell's files in cells\n`,
  );
}
