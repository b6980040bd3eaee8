import { mostExperts } from "../core/assignment.ts";
import {
  axisNames,
  type Content,
  contents,
  type InputKind,
  inputKinds,
  type LayerSelection,
  type RecordingOptions,
} from "../core/formats/recording.ts";
import { InputError } from "../core/input-error.ts";
import { printable } from "../core/results/format.ts";
import { optionGroups, parseAxes, positiveInteger } from "./common-options.ts";

/** What the options of commands that read recorded files say about them. */
export interface RecordingArguments {
  as?: Content | undefined;
  axes?: string | undefined;
  experts?: number | undefined;
  "top-k"?: number | undefined;
  tensor?: string | undefined;
  column?: string | undefined;
  input?: InputKind | undefined;
  divide?: number | undefined;
  layers?: string | undefined;
  skip?: number | undefined;
  "batch-tokens"?: number | undefined;
}

/** An option that takes one value and says something about the recorded files. */
export const inputOption = { group: optionGroups.input, requiresArg: true } as const;

/** Positional of commands that read recordings. */
export const recordedPaths = {
  type: "string",
  array: true,
  demandOption: true,
  describe: "Recorded files, a folder of rank files, or a quoted pattern",
} as const;

export const recordingOptions = {
  as: {
    ...inputOption,
    choices: contents,
    describe: "What the files hold, if it is not what they look like",
  },
  axes: {
    ...inputOption,
    type: "string",
    describe: "What the dimensions of an array are: steps,layers,experts, …",
    defaultDescription: "by their number",
  },
  experts: {
    ...inputOption,
    type: "number",
    describe: "Number of experts of the model",
    defaultDescription: "as the files say, or the last one chosen",
  },
  "top-k": { ...inputOption, type: "number", describe: "Experts per token, for logits" },
  tensor: { ...inputOption, type: "string", describe: "Name of the tensor; * stands for the layer" },
  column: { ...inputOption, type: "string", describe: "Name of the column of a table" },
  input: {
    ...inputOption,
    choices: inputKinds,
    describe: "What logits are",
    defaultDescription: "logits",
  },
  divide: {
    ...inputOption,
    type: "number",
    describe: "Divide loads: so many ranks counted the same tokens",
  },
  layers: {
    ...inputOption,
    type: "string",
    describe: "Ids of the layers to read: 0,3,10-20",
    defaultDescription: "all",
  },
  skip: { ...inputOption, type: "number", describe: "Leave out so many steps at the beginning" },
  "batch-tokens": {
    ...inputOption,
    type: "number",
    describe: "Tokens per step, if the files have no steps",
    defaultDescription: "all in one step",
  },
} as const;

/** Returns the layers that `--layers` names. Throws `InputError` for text that names none. */
export function parseLayers(text: string): LayerSelection {
  const items = text.split(",").map((item) => item.trim());
  const wrong = items.find((item) => !/^\d+(-\d+)?$/.test(item));
  if (wrong === undefined) return items.map((item) => (/^\d+$/.test(item) ? Number(item) : item));
  throw new InputError(`--layers: "${printable(wrong)}" is not allowed; give ids and ranges of ids: 0,3,10-20`);
}

/** Returns how to read the files. Throws `InputError` for values that are not allowed. */
export function readingOptions(options: RecordingArguments): RecordingOptions {
  const { experts, skip, divide, tensor, column, input, "top-k": topK } = options;
  if (skip !== undefined && !(Number.isInteger(skip) && skip >= 0)) {
    throw new InputError(`--skip: ${skip} is not allowed; give an integer of at least 0`);
  }
  return {
    as: options.as,
    axes: options.axes === undefined ? undefined : parseAxes(options.axes, axisNames),
    experts: experts === undefined ? undefined : positiveInteger("experts", experts, mostExperts),
    topK: topK === undefined ? undefined : positiveInteger("top-k", topK, mostExperts),
    divide: divide === undefined ? undefined : positiveInteger("divide", divide),
    layers: options.layers === undefined ? undefined : parseLayers(options.layers),
    skip,
    tensor,
    column,
    input,
  };
}
