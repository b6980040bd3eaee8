import path from "node:path";
import type { CommandModule } from "yargs";
import { mostExperts } from "../../core/assignment.ts";
import { openLoads, openSelections, type RecordedChoices } from "../../core/formats/recorded-choices.ts";
import { InputError } from "../../core/input-error.ts";
import { printable } from "../../core/results/format.ts";
import { beginsAsFormula, formulaProblem } from "../../core/scenario/schema.ts";
import { counted, escapeUnprintable } from "../../core/words.ts";
import { resultFiles } from "../../node/files/results-folder.ts";
import { writeRunRecord } from "../../node/files/write-results.ts";
import { measureRecorded } from "../../node/run/measure-recorded.ts";
import { provenance } from "../../node/run/run-record.ts";
import { type CommonArguments, optionGroups, outOption, positiveInteger, wideOption } from "../common-options.ts";
import { epilogue, examples, runFiles } from "../help.ts";
import { checkKept, describeResults, withResultsFolder } from "../output.ts";
import { createProgress } from "../progress.ts";
import { printJson, tableStyle, writeLines } from "../terminal.ts";
import { formatRunTable, runObject } from "../text/results-table.ts";
import { leftOutSentence } from "../text/table.ts";

interface MeasureArguments extends CommonArguments {
  selections?: string | undefined;
  loads?: string | undefined;
  experts: number;
  "batch-tokens"?: number | undefined;
  ranks: number;
  out?: string | undefined;
  wide: boolean;
}

export const measureCommand: CommandModule<CommonArguments, MeasureArguments> = {
  builder: (yargs) =>
    yargs
      .option("selections", {
        type: "string",
        group: optionGroups.input,
        requiresArg: true,
        describe: "File of experts [tokens × topK]; −1 means no expert",
      })
      .option("loads", {
        type: "string",
        group: optionGroups.input,
        requiresArg: true,
        describe: "File of counts [steps × experts]",
      })
      .conflicts("selections", "loads")
      .option("experts", {
        type: "number",
        group: optionGroups.input,
        requiresArg: true,
        demandOption: true,
        describe: "Number of experts of the model",
      })
      .option("batch-tokens", {
        type: "number",
        group: optionGroups.input,
        requiresArg: true,
        describe: "Tokens per step, for --selections",
        defaultDescription: "all in one step",
      })
      .option("ranks", {
        type: "number",
        group: optionGroups.input,
        requiresArg: true,
        default: 1,
        describe: "Number of ranks (devices) of expert parallelism",
      })
      .option("out", { ...outOption, defaultDescription: "results/<file name>" })
      .option("wide", wideOption)
      .example(
        examples({
          "Measure each token's experts, in batches":
            "$0 measure --selections chosen.npy --experts 64 --batch-tokens 4096",
          "Measure loads, with the experts on 4 ranks": "$0 measure --loads loads.npy --experts 8 --ranks 4",
        }),
      )
      .epilogue(epilogue(runFiles.filter((line) => !line.startsWith("timing.csv")))),
  handler: measure,
};

async function measure(options: MeasureArguments): Promise<void> {
  const experts = positiveInteger("experts", options.experts, mostExperts);
  const ranks = positiveInteger("ranks", options.ranks);
  if (experts % ranks !== 0)
    throw new InputError(`--ranks: ${ranks} does not divide the ${experts} experts; choose a divisor`);
  const recorded = await open(options, experts);
  const name = path.parse(recorded.file).name;
  if (beginsAsFormula(name)) {
    throw new InputError(`${recorded.file}: ${formulaProblem}; rename the file, because the results take its name`);
  }
  const folder = options.out ?? path.join("results", name);
  const progress = createProgress(recorded.steps, "steps", options.quiet);
  const start = new Date();
  try {
    checkKept(folder, [{ name: options.selections === undefined ? "--loads" : "--selections", file: recorded.file }]);
    const replaced = describeResults(folder);
    const row = await withResultsFolder(folder, async ({ files }) => {
      const measured = await measureRecorded(recorded, files, { name, ranks, onProgress: progress.update });
      writeRunRecord(files, {
        command: "measure",
        file: options.selections ?? options.loads,
        experts,
        batchTokens: options["batch-tokens"] ?? null,
        ranks,
        ...provenance(start),
      });
      return { ...measured, timing: null, dualScores: null };
    }).finally(() => progress.stop());
    const written = resultFiles.filter((file) => file !== "timing.csv");
    if (options.json) {
      printJson({ name, out: folder, files: written, seed: null, routers: [runObject(row)] });
      return;
    }
    if (options.quiet) return;
    process.stdout.write(
      `${printable(name)}: ${counted(recorded.steps, "recorded step")}, ${counted(experts, "expert")}\n\n`,
    );
    const table = formatRunTable([row], tableStyle(options.wide));
    const leftOut = leftOutSentence(table);
    process.stdout.write(`${table.text}\n`);
    if (leftOut !== null) writeLines(process.stdout, leftOut);
    writeLines(process.stdout, `\nWritten to ${escapeUnprintable(folder)}: ${written.join(", ")}`);
    if (replaced !== null) writeLines(process.stdout, `Replaced there: ${replaced}`);
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
  if (loads === undefined) throw new InputError("measure: no file given; name one with --selections or --loads");
  if (batchTokens !== undefined)
    throw new InputError("--batch-tokens: loads already have steps; leave it out, or use --selections");
  return openLoads(loads, experts);
}
