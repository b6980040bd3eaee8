import path from "node:path";
import type { CommandModule } from "yargs";
import { mostExperts } from "../../core/assignment.ts";
import { compareWithLogits, leastExperts } from "../../core/formats/recorded-choices.ts";
import type { Content, Recording } from "../../core/formats/recording.ts";
import { InputError } from "../../core/input-error.ts";
import { formatNumber, printable } from "../../core/results/format.ts";
import type { LayerRow } from "../../core/results/result-columns.ts";
import { beginsAsFormula, formulaProblem } from "../../core/scenario/schema.ts";
import { counted, escapeUnprintable, rangesText } from "../../core/words.ts";
import { findRecordedFiles, isPattern, openRecordedFiles } from "../../node/files/recorded-files.ts";
import { filesOfRunWith } from "../../node/files/results-folder.ts";
import { writeRunRecord } from "../../node/files/write-results.ts";
import { type MeasuredRecording, measureRecorded } from "../../node/run/measure-recorded.ts";
import { provenance } from "../../node/run/run-record.ts";
import { type CommonArguments, outOption, positiveInteger, wideOption } from "../common-options.ts";
import { epilogue, examples, runFiles } from "../help.ts";
import { checkKept, describeResults, withResultsFolder } from "../output.ts";
import { createProgress } from "../progress.ts";
import { inputOption, type RecordingArguments, readingOptions, recordingOptions } from "../recording-options.ts";
import { paddingMaskOption } from "../scenario-options.ts";
import { printJson, sayTakenFor, tableStyle, writeLines } from "../terminal.ts";
import { formatRunTable, runObject } from "../text/results-table.ts";
import { leftOutSentence } from "../text/table.ts";

interface MeasureArguments extends CommonArguments, RecordingArguments {
  paths?: string[] | undefined;
  selections?: string | undefined;
  loads?: string | undefined;
  "padding-mask"?: string | undefined;
  ranks: number;
  out?: string | undefined;
  wide: boolean;
}

export const measureCommand: CommandModule<CommonArguments, MeasureArguments> = {
  builder: (yargs) =>
    yargs
      .positional("paths", {
        type: "string",
        array: true,
        describe: "Files, a folder of rank files, or a quoted pattern",
      })
      .option("selections", {
        ...inputOption,
        type: "string",
        describe: "File of experts [tokens × topK]; −1 means no expert, a row of −1 padding",
      })
      .option("loads", { ...inputOption, type: "string", describe: "File of counts [steps × experts]" })
      .conflicts("selections", "loads")
      .options(recordingOptions)
      .option("padding-mask", paddingMaskOption)
      .option("ranks", {
        ...inputOption,
        type: "number",
        default: 1,
        describe: "Number of ranks (devices) of expert parallelism",
      })
      .option("out", { ...outOption, defaultDescription: "results/<file name>" })
      .option("wide", wideOption)
      .example(
        examples({
          "Measure what SGLang recorded, in all layers": "$0 measure expert_distribution_recorder_1.pt",
          "Measure the files of all ranks": '$0 measure "dump/router_trace_rank*.jsonl"',
          "Measure the top-8 of recorded logits": "$0 measure router_logits.pt --top-k 8",
          "Measure each token's experts, in batches":
            "$0 measure --selections chosen.npy --experts 64 --batch-tokens 4096",
          "Measure loads, with the experts on 4 ranks": "$0 measure --loads loads.npy --experts 8 --ranks 4",
        }),
      )
      .epilogue(epilogue(runFiles.filter((line) => !line.startsWith("timing.csv")))),
  handler: measure,
};

async function measure(options: MeasureArguments): Promise<void> {
  const ranks = positiveInteger("ranks", options.ranks);
  const { files, named } = await chooseFiles(options);
  const recording = await openRecordedFiles(files, readingOptions({ ...options, as: contentOf(options) }));
  try {
    const name = path.parse(path.resolve(isPattern(named) ? recording.files[0] : named)).name;
    if (beginsAsFormula(name)) {
      throw new InputError(`${named}: ${formulaProblem}; rename the file, because the results take its name`);
    }
    if (recording.holds === "balancedness") await measureBalancedness(recording, name, options);
    else await measureLayers(recording, files, name, ranks, options);
  } finally {
    await recording.close();
  }
}

/** Returns the files to read, and the first path, from which the results take their name. */
async function chooseFiles(options: MeasureArguments): Promise<{ files: readonly string[]; named: string }> {
  const { paths = [], selections, loads } = options;
  const short = selections ?? loads;
  if (short !== undefined && paths.length > 0) {
    throw new InputError(
      "measure: name the files either with --selections or --loads, or before the options, not both",
    );
  }
  const named = short === undefined ? paths : [short];
  if (named.length === 0) throw new InputError("measure: no file given; name one, or use --selections or --loads");
  if (short !== undefined && options.as !== undefined)
    throw new InputError("--as: --selections and --loads say that already");
  if (short !== undefined && options.experts === undefined) {
    throw new InputError("--experts: --selections and --loads need the number of experts of the model");
  }
  return { files: await findRecordedFiles(named), named: named[0] };
}

/** Returns what the files hold, if an option says so. */
function contentOf({ selections, loads, as }: MeasureArguments): Content | undefined {
  return selections !== undefined ? "selections" : loads !== undefined ? "loads" : as;
}

async function measureLayers(
  recording: Recording,
  read: readonly string[],
  name: string,
  ranks: number,
  options: MeasureArguments,
): Promise<void> {
  const { holds } = recording;
  if (options["batch-tokens"] !== undefined && (holds === "loads" || recording.hasSteps)) {
    throw new InputError(`--batch-tokens: ${recording.name} already has steps; leave it out`);
  }
  if (holds === "logits" && options["top-k"] === undefined) {
    throw new InputError(
      `${recording.name}: it holds logits (${recording.description}); give --top-k, the experts per token`,
    );
  }
  const { "padding-mask": paddingMask } = options;
  if (paddingMask !== undefined && holds === "loads")
    throw new InputError(`--padding-mask: ${recording.name} holds loads, which have no tokens; leave it out`);
  const batchTokens =
    options["batch-tokens"] === undefined ? undefined : positiveInteger("batch-tokens", options["batch-tokens"]);
  const notes = [...recording.notes];
  let experts = recording.experts;
  if (experts === null) {
    experts = await leastExperts(recording, batchTokens);
    notes.push(
      `The files do not say how many experts there are: ${experts}, up to the last one chosen. --experts says so.`,
    );
    if (!(experts >= 1 && experts <= mostExperts))
      throw new InputError(`${recording.name}: no token has an expert; give --experts`);
  }
  if (ranks > experts)
    throw new InputError(
      `--ranks: ${counted(ranks, "rank")} for ${counted(experts, "expert")}; at most ${experts} are allowed`,
    );
  const folder = options.out ?? path.join("results", name);
  const steps = recording.layers.reduce((sum, layer) => sum + recording.layer(layer, batchTokens).steps, 0);
  const progress = createProgress(steps, "steps", options.quiet);
  const start = new Date();
  const option = options.selections !== undefined ? "--selections" : options.loads !== undefined ? "--loads" : "PATH";
  checkKept(folder, [
    ...read.map((file) => ({ name: option, file })),
    ...(paddingMask === undefined ? [] : [{ name: "--padding-mask", file: paddingMask }]),
  ]);
  const replaced = describeResults(folder);
  const measured = await withResultsFolder(folder, async ({ files }) => {
    const found = await measureRecorded(recording, files, {
      name,
      experts,
      topK: options["top-k"],
      batchTokens,
      paddingMask,
      ranks,
      onProgress: progress.update,
    });
    writeRunRecord(files, {
      command: "measure",
      file: read.length === 1 ? read[0] : read,
      recording: recording.description,
      experts,
      batchTokens: batchTokens ?? null,
      ...(paddingMask !== undefined && { paddingMask }),
      ranks,
      ...provenance(start),
    });
    return found;
  }).finally(() => progress.stop());
  const difference = await compareWithLogits(recording);
  if (difference !== null) {
    notes.push(
      `The recorded choices are measured. Of their ${counted(difference.pairs, "pair")}, ${difference.differing} are not among the largest ` +
        "of the logits recorded beside them, which were rounded.",
    );
  }
  const hasLayers = recording.layers.length > 1;
  const written = filesOfRunWith({ hasLayers, isPlaced: false }).filter((file) => file !== "timing.csv");
  const row = { ...measured.row, timing: null, dualScores: null };
  if (options.json) {
    printJson({
      name,
      out: folder,
      files: written,
      seed: null,
      recording: recording.description,
      notes,
      ...(hasLayers && { layers: measured.layers.map(({ layer }) => layer), absent_layers: measured.absentLayers }),
      routers: [runObject(row)],
    });
    return;
  }
  if (options.quiet) return;
  const say = (text: string) => writeLines(process.stdout, text);
  say(`${printable(name)}: ${counted(measured.row.sizes.steps, "recorded step")}, ${counted(experts, "expert")}`);
  sayTakenFor({ ...recording, notes: [...notes, ...gapSentences(measured)] });
  if (hasLayers) say(`\nMean over ${counted(measured.layers.length, "layer")}:`);
  const table = formatRunTable([row], tableStyle(options.wide));
  const leftOut = leftOutSentence(table);
  process.stdout.write(`\n${table.text}\n`);
  if (leftOut !== null) say(leftOut);
  if (hasLayers) printLayers(measured.layers, options.wide);
  say(`\nWritten to ${escapeUnprintable(folder)}: ${written.join(", ")}`);
  if (replaced !== null) say(`Replaced there: ${replaced}`);
}

/** Says which layers and steps are in no mean. */
function gapSentences({ absentLayers, emptySteps }: MeasuredRecording): string[] {
  const isOne = absentLayers.length === 1;
  return [
    ...(absentLayers.length === 0
      ? []
      : [
          `${isOne ? "Layer" : "Layers"} ${rangesText(absentLayers)} ${isOne ? "has" : "have"} no load (dense layers, or not ` +
            "recorded): absent, and in no mean.",
        ]),
    ...(emptySteps === 0 ? [] : [`${counted(emptySteps, "step")} without a load: empty, and in no mean.`]),
  ];
}

/** Layers that the terminal shows; layers.csv has them all. */
const shownLayers = 12;

/** Prints the layers with the largest MaxVio. */
function printLayers(layers: readonly LayerRow[], wide: boolean): void {
  const worst = layers
    .toSorted((a, b) => (b.summary.maxVioGlobal ?? 0) - (a.summary.maxVioGlobal ?? 0))
    .slice(0, shownLayers);
  const rows = worst.map((row) => ({ ...row, timing: null, dualScores: null }));
  const table = formatRunTable(rows, tableStyle(wide), { title: "layer", nameOf: ({ layer }) => String(layer) });
  const others = layers.length - worst.length;
  const title =
    others > 0
      ? `The ${worst.length} worst layers; layers.csv has the other ${others} too:`
      : "Layers, the worst first:";
  writeLines(process.stdout, `\n${title}\n`);
  process.stdout.write(`${table.text}\n`);
}

/** Prints the balancedness that a log has of each step. There are no loads to measure, so nothing is written. */
async function measureBalancedness(recording: Recording, name: string, options: MeasureArguments): Promise<void> {
  if (options.out !== undefined) {
    throw new InputError(
      `--out: ${recording.name}: a log of balancedness has no loads to write files of; leave it out`,
    );
  }
  const [layer] = recording.layers;
  const reader = recording.layer(layer);
  let [steps, sum, least, most] = [0, 0, Number.POSITIVE_INFINITY, 0];
  for (let piece = await reader.next(); piece !== null; piece = await reader.next()) {
    for (let row = 0; row < piece.rows; row++) {
      const value = piece.values[row];
      steps += 1;
      sum += value;
      least = Math.min(least, value);
      most = Math.max(most, value);
    }
  }
  const mean = sum / steps;
  if (options.json) {
    const balancedness = { steps, mean, min: least, max: most };
    printJson({ name, recording: recording.description, notes: recording.notes, balancedness });
    return;
  }
  if (options.quiet) return;
  const say = (text: string) => writeLines(process.stdout, text);
  say(`${printable(name)}: ${counted(steps, "logged step")}`);
  sayTakenFor(recording);
  say(
    `\nBalancedness (mean load of a rank / largest): mean ${formatNumber(mean)}, from ${formatNumber(least)} to ${formatNumber(most)}.`,
  );
  say("There are no loads to measure, so nothing is written.");
}
