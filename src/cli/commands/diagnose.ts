import { writeFileSync } from "node:fs";
import path from "node:path";
import type { CommandModule } from "yargs";
import { type ScoreKind, scoreKinds } from "../../core/assignment.ts";
import type { Diagnosis, DiagnosisOptions } from "../../core/diagnosis/diagnosis.ts";
import { diagnosisObject, diagnosisTable } from "../../core/diagnosis/tables.ts";
import type { Recording } from "../../core/formats/recording.ts";
import { InputError } from "../../core/input-error.ts";
import { escapeUnprintable } from "../../core/words.ts";
import { findRecordedFiles, openRecordedFiles } from "../../node/files/recorded-files.ts";
import { writeTable } from "../../node/files/write-results.ts";
import { diagnoseRecorded } from "../../node/run/diagnose-recorded.ts";
import {
  type CommonArguments,
  optionGroups,
  outOption,
  positiveInteger,
  positiveNumber,
  wideOption,
} from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { checkTarget, withOutputFolder } from "../output.ts";
import { createProgress } from "../progress.ts";
import {
  inputOption,
  type RecordingArguments,
  readingOptions,
  recordedPaths,
  recordingOptions,
} from "../recording-options.ts";
import { paddingMaskOption } from "../scenario-options.ts";
import { printJson, tableStyle, writeLines } from "../terminal.ts";
import { diagnosisText } from "../text/diagnosis-text.ts";

/** The files that `--out` gets. */
const diagnosisFiles = ["diagnosis.html", "diagnosis.csv", "diagnosis.json"] as const;

interface DiagnoseArguments extends CommonArguments, RecordingArguments {
  paths: string[];
  "padding-mask"?: string | undefined;
  scores: ScoreKind;
  gpus?: number | undefined;
  nodes?: number | undefined;
  groups?: number | undefined;
  "capacity-factor": number;
  split: number;
  workers: number;
  out?: string | undefined;
  wide: boolean;
}

export const diagnoseCommand: CommandModule<CommonArguments, DiagnoseArguments> = {
  builder: (yargs) =>
    yargs
      .positional("paths", recordedPaths)
      .options(recordingOptions)
      .option("padding-mask", paddingMaskOption)
      .option("gpus", {
        ...inputOption,
        type: "number",
        describe: "Number of GPUs that share the experts of a layer",
        defaultDescription: "placement is not judged",
      })
      .option("nodes", {
        ...inputOption,
        type: "number",
        describe: "Number of nodes with equally many GPUs",
        defaultDescription: "1",
      })
      .option("groups", {
        ...inputOption,
        type: "number",
        describe: "Groups of experts; each stays on a node if --nodes divides them",
        defaultDescription: "1",
      })
      .option("scores", {
        ...inputOption,
        choices: scoreKinds,
        default: "softmax" as const,
        describe: "Affinities that the bias is added to",
      })
      .option("capacity-factor", {
        ...inputOption,
        type: "number",
        default: 1,
        describe: "Capacity of the best possible assignment, × an equal share",
      })
      .option("split", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        default: 0.5,
        describe: "Share of the pairs to fit to; the others judge",
      })
      .option("workers", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        default: 1,
        describe: "Number of threads that share the layers",
      })
      .option("out", { ...outOption, defaultDescription: "nothing is written" })
      .option("wide", wideOption)
      .example(
        examples({
          "What is wrong with these layers, and what would help?": "$0 diagnose router_logits.pt --top-k 8",
          "Would placing the experts on 8 GPUs help?": "$0 diagnose expert_distribution_recorder_1.pt --gpus 8",
          "Write a page to send to a colleague": "$0 diagnose router_logits.pt --top-k 8 --gpus 8 --out diagnosis",
          "Use the verdicts in a script": "$0 diagnose loads.npy --json | jq '.layers[] | {layer, verdict}'",
        }),
      )
      .epilogue(
        epilogue([
          "diagnosis.html  the diagnosis as one page, which needs no other file",
          "diagnosis.csv   figures and verdict of each layer",
          "diagnosis.json  the same as --json: all figures, biases and placements",
        ]),
      ),
  handler: diagnose,
};

async function diagnose(options: DiagnoseArguments): Promise<void> {
  const how = howToDiagnose(options);
  const workers = positiveInteger("workers", options.workers);
  const reading = readingOptions(options);
  const files = await findRecordedFiles(options.paths);
  checkOut(options, files);
  const recording = await openRecordedFiles(files, reading);
  let diagnosis: Diagnosis;
  try {
    checkRecording(recording, options);
    const progress = createProgress(recording.layers.length, "layers", options.quiet);
    let done = 0;
    try {
      diagnosis = await diagnoseRecorded(recording, files, reading, {
        ...how,
        workers,
        onLayer: () => progress.update(++done),
      });
    } catch (error) {
      // What does not suit a placement has the name of its option.
      if (error instanceof InputError && /^(gpus|nodes|groups): /.test(error.message)) throw error.within("--");
      throw error;
    } finally {
      progress.stop();
    }
  } finally {
    await recording.close();
  }
  const { out } = options;
  if (out !== undefined) await write(out, diagnosis);
  if (options.json) printJson(diagnosisObject(diagnosis));
  else if (!options.quiet) print(diagnosis, options);
}

/** Returns the options of the diagnosis. Throws `InputError` for values that are not allowed. */
function howToDiagnose(options: DiagnoseArguments): DiagnosisOptions {
  const { gpus, nodes, groups, split, "batch-tokens": batchTokens, "top-k": topK, experts } = options;
  const integer = (name: string, value: number | undefined) =>
    value === undefined ? undefined : positiveInteger(name, value);
  if (!(split > 0 && split < 1)) {
    throw new InputError(`--split: ${split} is not allowed; give a share of the pairs, above 0 and below 1`);
  }
  for (const [name, value] of [
    ["nodes", nodes],
    ["groups", groups],
  ] as const) {
    if (value !== undefined && gpus === undefined) {
      throw new InputError(`--${name}: only together with --gpus; give the number of GPUs, or leave it out`);
    }
  }
  return {
    experts: integer("experts", experts),
    topK: integer("top-k", topK),
    batchTokens: integer("batch-tokens", batchTokens),
    paddingMask: options["padding-mask"],
    scores: options.scores,
    gpus: integer("gpus", gpus),
    nodes: integer("nodes", nodes),
    groups: integer("groups", groups),
    capacityFactor: positiveNumber("capacity-factor", options["capacity-factor"]),
    split,
  };
}

/** Throws `InputError` if a file of `--out` is one that is read. */
function checkOut({ out, "padding-mask": mask }: DiagnoseArguments, files: readonly string[]): void {
  if (out === undefined) return;
  const inputs = [
    ...files.map((file) => ({ name: "PATH", file })),
    ...(mask === undefined ? [] : [{ name: "--padding-mask", file: mask }]),
  ];
  for (const name of diagnosisFiles) checkTarget("out", path.join(out, name), inputs);
}

/** Throws `InputError`, in the words of the command line, if options do not suit the recording. */
function checkRecording({ name, description, holds, hasSteps }: Recording, options: DiagnoseArguments): void {
  if (holds === "logits" && options["top-k"] === undefined) {
    throw new InputError(`${name}: it holds logits (${description}); give --top-k, the experts per token`);
  }
  if (options["batch-tokens"] !== undefined && (holds === "loads" || hasSteps)) {
    throw new InputError(`--batch-tokens: ${name} already has steps; leave it out`);
  }
  if (options["padding-mask"] !== undefined && holds === "loads") {
    throw new InputError(`--padding-mask: ${name} holds loads, which have no tokens; leave it out`);
  }
}

async function write(out: string, diagnosis: Diagnosis): Promise<void> {
  // Only a page needs what makes pages, which takes time to load.
  const { renderDiagnosis } = await import("../../page/diagnosis-page.tsx");
  await withOutputFolder(out, async ({ files }) => {
    const [page, , json] = diagnosisFiles;
    writeFileSync(path.join(files, page), renderDiagnosis(diagnosis));
    writeTable(files, diagnosisTable(diagnosis));
    writeFileSync(path.join(files, json), `${JSON.stringify(diagnosisObject(diagnosis))}\n`);
  });
}

function print(diagnosis: Diagnosis, { out, wide }: DiagnoseArguments): void {
  const { above, table, below } = diagnosisText(diagnosis, tableStyle(wide));
  writeLines(process.stdout, `${above}\n`);
  process.stdout.write(`${table.text}\n`);
  const leftOut = table.leftOut.length === 0 ? [] : ["Some columns did not fit; --wide shows them."];
  const written =
    out === undefined
      ? "--out DIR writes a page with everything, a table and JSON."
      : `Written to ${escapeUnprintable(out)}: ${diagnosisFiles.join(", ")}`;
  writeLines(process.stdout, [...below, ...leftOut, written].join("\n"));
}
