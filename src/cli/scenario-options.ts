import path from "node:path";
import type { Options } from "yargs";
import { logitAxes, openRecordedLogits } from "../core/formats/recorded-logits.ts";
import { InputError } from "../core/input-error.ts";
import { resolveScenario } from "../core/scenario/load.ts";
import { findModel } from "../core/scenario/models.ts";
import { parseOverride, withOverrides } from "../core/scenario/overrides.ts";
import type { Scenario } from "../core/scenario/scenario.ts";
import { checkSweep, defaultMaxCells } from "../core/scenario/sweep.ts";
import { counted } from "../core/words.ts";
import { isPattern } from "../node/files/recorded-files.ts";
import { readScenarioFile } from "../node/files/scenario-file.ts";
import { optionGroups, parseAxes, scenarioPositional, setOption } from "./common-options.ts";
import { parseLayers, type RecordingArguments, recordingOptions } from "./recording-options.ts";
import type { TakenFor } from "./terminal.ts";

/** Options of commands that take one scenario and can change it. */
export interface ScenarioArguments {
  scenario: string;
  seed?: number | undefined;
  set: string[];
}

export const recordedScenarioPositional = {
  ...scenarioPositional,
  describe: "Scenario file (YAML or JSON), or the run.json of a run",
} as const;

export const scenarioOptions = {
  seed: {
    type: "number",
    group: optionGroups.input,
    requiresArg: true,
    describe: "Seed to use instead of the scenario's",
  },
  set: setOption,
} as const satisfies Record<string, Options>;

export const maxCellsOption = {
  type: "number",
  group: optionGroups.computation,
  requiresArg: true,
  default: defaultMaxCells,
  describe: "Maximum number of cells of a sweep",
} as const satisfies Options;

/** The sweep that a scenario asks for. */
export interface SweepSize {
  readonly cells: number;
  /** The keys that ask for it: `sweep`, `seeds` or both. */
  readonly names: readonly string[];
}

/** A scenario as a command runs it. */
export interface OneScenario {
  readonly scenario: Scenario;
  /** The file that it was originally written in. */
  readonly origin: string;
  /** Null if it asks for no sweep. */
  readonly sweepSize: SweepSize | null;
}

/** Reads the scenario that the options name. Throws `InputError`. */
export async function readOneScenario({ scenario: file, seed, set }: ScenarioArguments): Promise<OneScenario> {
  const overrides = set.map(parseOverride);
  if (seed !== undefined) overrides.push({ path: ["seed"], value: seed });
  const { written, origin } = await readScenarioFile(file);
  const changed = withOverrides(written, overrides);
  const scenario = await resolveScenario(changed, file, path.dirname(origin));
  const cells = checkSweep(scenario, changed, written, file);
  const names = ["sweep", "seeds"].filter((name) => Object.hasOwn(changed as object, name));
  return { scenario, origin, sweepSize: names.length === 0 ? null : { cells, names } };
}

const defaultTopK = 2;

/** How to read a file of logits. */
export interface LogitsReading
  extends Pick<RecordingArguments, "axes" | "tensor" | "column" | "input" | "layers" | "skip"> {
  "top-k"?: number | undefined;
  "padding-mask"?: string | undefined;
  /** Only commands that have steps of their own take it. */
  "batch-tokens"?: number | undefined;
}

/** Options of commands that read one file of logits. */
export interface LogitsArguments extends LogitsReading {
  logits: string;
  /** Only commands that route take it. */
  model?: string | undefined;
}

export const paddingMaskOption = {
  type: "string",
  group: optionGroups.input,
  requiresArg: true,
  describe: "File that marks padding: one boolean per token, 1 = padding",
} as const satisfies Options;

export const topKOption = {
  type: "number",
  group: optionGroups.input,
  requiresArg: true,
  describe: "Experts per token",
  defaultDescription: `${defaultTopK}, or all experts if there are fewer`,
} as const satisfies Options;

const { tensor, column, input, axes, layers, skip, "batch-tokens": batchTokens } = recordingOptions;

const readingOptionsOfLogits = {
  tensor,
  column,
  input,
  axes: {
    ...axes,
    describe: "What the dimensions are: layers,tokens,experts, …",
    defaultDescription: "[[steps,][layers,]]tokens,experts",
  },
  layers,
  skip,
  "padding-mask": paddingMaskOption,
} as const satisfies Record<string, Options>;

export const logitsOptions = {
  logits: {
    type: "string",
    group: optionGroups.input,
    demandOption: true,
    requiresArg: true,
    describe: "Logits: a file, a folder of rank files, a quoted pattern",
  },
  "top-k": topKOption,
  ...readingOptionsOfLogits,
} as const satisfies Record<string, Options>;

/** Options of commands that cut a file of logits into steps. */
export const logitsReadingOptions = { "batch-tokens": batchTokens, ...readingOptionsOfLogits } as const;

/** Options that set fields of the scenario, by the path of the field. */
const optionOfField: Readonly<Record<string, string>> = {
  topK: "--top-k",
  capacityFactor: "--capacity-factor",
  seed: "--seed",
  "stream.path": "--logits",
  "stream.tensor": "--tensor",
  "stream.column": "--column",
  "stream.input": "--input",
  "stream.skip": "--skip",
  "stream.batchTokens": "--batch-tokens",
  "stream.axes": "--axes",
  "stream.layers": "--layers",
  "stream.paddingMask": "--padding-mask",
};

/** A scenario that replays a file of logits. */
export interface LogitsScenario {
  readonly scenario: Scenario;
  readonly hasSteps: boolean;
  readonly recording: TakenFor;
}

/**
 * Returns the scenario that replays the file, with further `fields`, checked like any other under the name of `command`. A file
 * without steps is one batch in each layer, unless `batch-tokens` cuts it. Throws `InputError`, whose message names options
 * instead of fields.
 */
export async function scenarioOfLogits(
  command: string,
  { logits, tensor, column, input, axes, skip, layers, model, ...options }: LogitsArguments,
  fields: object,
): Promise<LogitsScenario> {
  const { "top-k": topK, "padding-mask": mask, "batch-tokens": batchTokens } = options;
  const named = axes === undefined ? undefined : parseAxes(axes, logitAxes);
  const file = await openRecordedLogits(logits, { tensor, column, input, axes: named });
  const { steps, tokens, experts, description, notes } = file;
  await file.close();
  const hasSteps = steps !== null;
  const published = findModel(model);
  if (published !== undefined && published.experts !== experts) {
    throw new InputError(
      `--model: ${model} has ${counted(published.experts, "expert")}, but ${logits} has logits of ${experts}; ` +
        "name another model, or --router and its parameters",
    );
  }
  const written = {
    name: command,
    model,
    topK: topK ?? published?.topK ?? Math.min(defaultTopK, experts),
    stream: {
      kind: "trace",
      // The folder of a pattern may hold characters that mean something in one.
      path: isPattern(logits) ? logits : path.resolve(logits),
      tensor,
      column,
      input,
      axes: named,
      skip,
      layers: layers === undefined ? undefined : parseLayers(layers),
      batchTokens: batchTokens ?? (hasSteps ? undefined : tokens),
      paddingMask: mask === undefined ? undefined : path.resolve(mask),
    },
    regret: { every: 0 },
    ...fields,
  };
  try {
    return { scenario: await resolveScenario(written, command), hasSteps, recording: { description, notes } };
  } catch (error) {
    if (error instanceof InputError) throw error.mapLines(inOptions);
    throw error;
  }
}

/** Replaces the scenario's field that `line` names, at its start or after the command, by the field's option. */
function inOptions(line: string): string {
  return line.replace(/^(\w+: |)([\w.[\]]+)(?=: )/, (whole, start: string, field: string) => {
    const parameter = /^routers\[0\]\.(.+)$/.exec(field)?.[1];
    const option = parameter === undefined ? optionOfField[field.replace(/\[\d+\]$/, "")] : `--param ${parameter}`;
    return option === undefined ? whole : start + option;
  });
}
