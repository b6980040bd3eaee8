import path from "node:path";
import type { CommandModule } from "yargs";
import { InputError } from "../../core/input-error.ts";
import { realPath } from "../../node/files/results-folder.ts";
import {
  type CommonArguments,
  maxVioOption,
  optionGroups,
  outOption,
  positiveNumber,
  wideOption,
} from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { describeResults, withResultsFolder } from "../output.ts";
import { createProgress } from "../progress.ts";
import { printSweep } from "../sweep-output.ts";

interface MergeArguments extends CommonArguments {
  folders: string[];
  out?: string | undefined;
  plugin?: string[] | undefined;
  wide: boolean;
  "max-vio": number;
}

export const mergeCommand: CommandModule<CommonArguments, MergeArguments> = {
  builder: (yargs) =>
    yargs
      .positional("folders", {
        type: "string",
        array: true,
        demandOption: true,
        describe: "Folders of all shards of one sweep, in any order",
      })
      .option("out", { ...outOption, defaultDescription: "results/<scenario name>" })
      .option("wide", { ...wideOption, group: optionGroups.output })
      .option("max-vio", maxVioOption)
      .example(
        examples({
          "Make one folder of four shards": "$0 merge results/bias-rate-*-of-4 --out results/bias-rate",
        }),
      )
      .epilogue(
        epilogue([
          "summary.csv    a row per cell and router; swept values in the last columns",
          "intervals.csv  means over seeds and half widths of 95 % intervals, per variant",
          "cells/0, 1, …  the files of `run` for each cell, as the shards wrote them",
        ]),
      ),
  handler: merge,
};

async function merge(options: MergeArguments): Promise<void> {
  const maxVioLimit = positiveNumber("max-vio", options["max-vio"]);
  const { checkShards, mergeShards } = await import("../../node/run/shards.ts");
  const checked = checkShards(options.folders);
  const { name, scenarioFile, set, cells: count } = checked;
  const folder = options.out ?? path.join("results", name);
  const shard = options.folders.find((each) => realPath(each) === realPath(folder));
  if (shard !== undefined) throw new InputError(`--out ${folder}: is one of the shards; choose another folder`);
  const replaced = describeResults(folder);
  const progress = createProgress(count, "cells", options.quiet);
  const { results, cells } = await withResultsFolder(
    folder,
    (staging) => mergeShards(checked, staging, progress.update),
    { cells: Array.from({ length: count }, (_, cell) => cell), lost: () => "interrupted; nothing is merged" },
  ).finally(progress.stop);
  const origin = { scenarioFile, set, plugin: options.plugin };
  await printSweep(results, { folder, cells, maxVioLimit, origin, replaced }, options);
}
