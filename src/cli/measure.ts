import path from "node:path";
import type { CommandModule } from "yargs";
import { mostExperts } from "../core/assignment.ts";
import { InputError } from "../core/input-error.ts";
import { measureRecorded } from "../engine/measure-recorded.ts";
import { provenance } from "../engine/run-record.ts";
import { writeRunRecord } from "../report/result-files.ts";
import { formatSummaryTable } from "../report/summary-table.ts";
import { openLoads, openSelections, type RecordedChoices } from "../streams/readers/recorded-choices.ts";
import { type CommonArguments, outOption, positiveInteger } from "./common-options.ts";
import { createProgress } from "./progress.ts";
import { withOutputFolder } from "./with-output-folder.ts";

interface MeasureArguments extends CommonArguments {
  selections?: string | undefined;
  loads?: string | undefined;
  experts: number;
  "batch-tokens"?: number | undefined;
  ranks: number;
  out?: string | undefined;
}

export const measureCommand: CommandModule<CommonArguments, MeasureArguments> = {
  command: "measure",
  describe: "Report the load, idle and rank metrics of what a real model did, from recorded choices or loads",
  builder: (yargs) =>
    yargs
      .option("selections", { type: "string", requiresArg: true, describe: "Integers [tokens × topK], −1 = no expert" })
      .option("loads", { type: "string", requiresArg: true, describe: "Counts [steps × experts]" })
      .conflicts("selections", "loads")
      .option("experts", { type: "number", requiresArg: true, demandOption: true, describe: "Experts of the model" })
      .option("batch-tokens", {
        type: "number",
        requiresArg: true,
        describe: "Tokens of a step, for selections",
        defaultDescription: "all of the file",
      })
      .option("ranks", { type: "number", requiresArg: true, default: 1, describe: "Devices of expert parallelism" })
      .option("out", { ...outOption, defaultDescription: "results/<file name>" })
      .example("$0 measure --selections selections.npy --experts 64 --batch-tokens 4096", "")
      .example("$0 measure --loads loads.npy --experts 8 --ranks 4", ""),
  handler: measure,
};

async function measure(options: MeasureArguments): Promise<void> {
  const experts = positiveInteger("experts", options.experts, mostExperts);
  const ranks = positiveInteger("ranks", options.ranks);
  if (experts % ranks !== 0) throw new InputError(`--ranks: ${ranks} does not divide the ${experts} experts`);
  const recorded = await open(options, experts);
  const name = path.parse(recorded.file).name;
  const folder = options.out ?? path.join("results", name);
  const progress = createProgress(recorded.steps, "steps", options.quiet);
  const start = new Date();
  try {
    const row = await withOutputFolder(folder, async (partial) => {
      const row = await measureRecorded(recorded, partial, { name, ranks, onProgress: progress.update });
      writeRunRecord(partial, {
        command: "measure",
        file: options.selections ?? options.loads,
        experts,
        batchTokens: options["batch-tokens"] ?? null,
        ranks,
        ...provenance(start),
      });
      return row;
    }).finally(() => progress.stop());
    if (options.quiet) return;
    process.stdout.write(`${name}: ${recorded.steps} recorded steps, ${experts} experts\n\n`);
    process.stdout.write(`${formatSummaryTable([row])}\n\n`);
    process.stdout.write(`Written to ${folder}: summary.csv, steps.csv, loads.csv, diagnostics.csv, run.json\n`);
  } finally {
    await recorded.close();
  }
}

async function open(options: MeasureArguments, experts: number): Promise<RecordedChoices> {
  const { selections, loads, "batch-tokens": batchTokens } = options;
  if (selections !== undefined) {
    return openSelections(
      selections,
      experts,
      batchTokens === undefined ? undefined : positiveInteger("batch-tokens", batchTokens),
    );
  }
  if (loads === undefined) throw new InputError("measure: name a file with --selections or with --loads");
  if (batchTokens !== undefined)
    throw new InputError("--batch-tokens: loads are in steps already; it goes with --selections");
  return openLoads(loads, experts);
}
