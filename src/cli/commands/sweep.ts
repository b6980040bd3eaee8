import path from "node:path";
import type { CommandModule } from "yargs";
import { printable } from "../../core/results/format.ts";
import { parseOverride, withOverrides } from "../../core/scenario/overrides.ts";
import { hasLayers } from "../../core/scenario/scenario.ts";
import { sweepCells } from "../../core/scenario/sweep.ts";
import { escapeUnprintable } from "../../core/words.ts";
import { filesOfSweepWith, type Staging } from "../../node/files/results-folder.ts";
import { readScenarioFile } from "../../node/files/scenario-file.ts";
import {
  type BackendName,
  backendOption,
  type CommonArguments,
  chooseBackend,
  maxVioOption,
  optionGroups,
  outOption,
  positiveInteger,
  positiveNumber,
  scenarioPositional,
  setOption,
  wideOption,
} from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { checkKept, describeResults, filesReadBy, withResultsFolder } from "../output.ts";
import { createLiveLine } from "../progress.ts";
import { maxCellsOption } from "../scenario-options.ts";
import { printJson, tableStyle, warn, writeLines } from "../terminal.ts";

interface SweepArguments extends CommonArguments {
  scenario: string;
  out?: string | undefined;
  set: string[];
  plugin?: string[] | undefined;
  workers: number;
  resume: boolean;
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
      .option("out", { ...outOption, defaultDescription: "results/<scenario name>" })
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
      .option("max-cells", maxCellsOption)
      .option("backend", backendOption)
      .example(
        examples({
          "Run every combination and seed, on two threads": "$0 sweep scenarios/bias-rate.yaml --workers 2",
          "Resume an interrupted sweep": "$0 sweep scenarios/bias-rate.yaml --resume",
          "Find what keeps MaxVio within 0.2, for a script": "$0 sweep my.yaml --max-vio 0.2 --json | jq .cheapest",
        }),
      )
      .epilogue(
        epilogue([
          "summary.csv    a row per cell and router; swept values in the last columns",
          "intervals.csv  means over seeds and half widths of 95 % intervals, per variant",
          "cells/0, 1, …  the files of `run` for each cell",
        ]),
      ),
  handler: sweep,
};

async function sweep(options: SweepArguments): Promise<void> {
  const workers = positiveInteger("workers", options.workers);
  const maxCells = positiveInteger("max-cells", options["max-cells"]);
  const maxVioLimit = positiveNumber("max-vio", options["max-vio"]);
  const backend = await chooseBackend(options.backend);
  const { written, origin } = await readScenarioFile(options.scenario);
  const changed = withOverrides(written, options.set.map(parseOverride));
  const cells = await sweepCells(changed, options.scenario, maxCells, path.dirname(origin));
  const { name } = cells[0].scenario;

  // Loading the statistics of a sweep takes time that other commands should not wait for.
  const { runSweep } = await import("../../node/run/run-sweep.ts");
  const { rerunWords, sweepOutcome } = await import("../text/sweep-outcome.ts");
  const given = { scenarioFile: options.scenario, set: options.set, plugin: options.plugin };
  const folder = options.out ?? path.join("results", name);
  const scenarios = cells.map(({ scenario }) => scenario);
  checkKept(folder, await filesReadBy(options.scenario, scenarios));
  const replaced = options.resume ? null : describeResults(folder);
  let cellsDone = 0;
  const progress = createLiveLine(() => `${cellsDone}/${cells.length} cells`, options.quiet);
  const lost = () => "interrupted before the first cell was finished; nothing is saved";
  const work = (staging: Staging) =>
    runSweep(cells, staging, {
      scenarioFile: origin,
      rerunOf: (cell) => rerunWords(given, cell),
      workers,
      backend,
      resume: options.resume,
      onProgress({ cells, work, totalWork }) {
        cellsDone = cells;
        progress.update(work, totalWork);
      },
    });
  const resume = options.resume ? "sweep" : null;
  const results = await withResultsFolder(folder, work, { cells: cells.length, resume, lost }).finally(progress.stop);

  const files = filesOfSweepWith(scenarios.some(hasLayers));
  const outcome = sweepOutcome(results, cells, maxVioLimit, given);
  if (options.json) {
    printJson({ name, out: folder, files, cells: cells.length, ...outcome.object() });
  } else if (!options.quiet) {
    process.stdout.write(`${printable(name)}: ${outcome.text(tableStyle(options.wide))}\n\n`);
    writeLines(
      process.stdout,
      `Written to ${escapeUnprintable(folder)}: ${files.join(", ")}, and each cell's files in cells`,
    );
    if (replaced !== null) writeLines(process.stdout, `Replaced there: ${replaced}`);
  }
  for (const warning of outcome.warnings) warn(warning);
}
