import path from "node:path";
import type { Options } from "yargs";
import { openTensor } from "../core/formats/open-tensor.ts";
import { InputError } from "../core/input-error.ts";
import { resolveScenario } from "../core/scenario/load.ts";
import type { Scenario } from "../core/scenario/scenario.ts";
import { optionGroups } from "./common-options.ts";

const defaultTopK = 2;

/** The options of commands that take one file of logits. */
export interface LogitsArguments {
  logits: string;
  "top-k"?: number | undefined;
  tensor?: string | undefined;
  column?: string | undefined;
}

export const logitsOptions = {
  logits: {
    type: "string",
    group: optionGroups.input,
    demandOption: true,
    requiresArg: true,
    describe: "File of logits [tokens × experts], one batch, or [steps × tokens × experts], taken step by step",
  },
  "top-k": {
    type: "number",
    group: optionGroups.input,
    requiresArg: true,
    describe: "Experts per token",
    defaultDescription: `${defaultTopK}, or all experts where there are fewer`,
  },
  tensor: {
    type: "string",
    group: optionGroups.input,
    requiresArg: true,
    describe: "Which tensor of a .safetensors file",
  },
  column: {
    type: "string",
    group: optionGroups.input,
    requiresArg: true,
    describe: "Which list column of a .parquet file",
  },
} as const satisfies Record<string, Options>;

/** The options that set a scenario's fields, by the path of the field. */
const optionOfField: Readonly<Record<string, string>> = {
  topK: "--top-k",
  capacityFactor: "--capacity-factor",
  seed: "--seed",
  "stream.path": "--logits",
  "stream.tensor": "--tensor",
  "stream.column": "--column",
};

/**
 * The scenario whose stream is the file, with `fields` besides, checked as any other by `command`'s name; a file with two
 * dimensions is one batch. Throws `InputError`, which speaks of the options that were given.
 */
export async function scenarioOfLogits(
  command: string,
  { logits, tensor, column, "top-k": topK }: LogitsArguments,
  fields: object,
): Promise<{ scenario: Scenario; hasSteps: boolean }> {
  const reader = await openTensor(logits, { tensor, column });
  const { shape } = reader;
  await reader.close();
  const hasSteps = shape.length === 3;
  const experts = shape[shape.length - 1];
  const written = {
    name: command,
    topK: topK ?? Math.min(defaultTopK, experts),
    stream: { kind: "trace", path: path.resolve(logits), tensor, column, batchTokens: hasSteps ? undefined : shape[0] },
    regret: { every: 0 },
    ...fields,
  };
  try {
    return { scenario: await resolveScenario(written, command), hasSteps };
  } catch (error) {
    if (error instanceof InputError) throw error.mapLines(inOptions);
    throw error;
  }
}

/** A line about a field of the scenario, named at its start or after the command, with the field's option instead. */
function inOptions(line: string): string {
  return line.replace(/^(\w+: |)([\w.[\]]+)(?=: )/, (whole, start: string, field: string) => {
    const parameter = /^routers\[0\]\.(.+)$/.exec(field)?.[1];
    const option = parameter === undefined ? optionOfField[field] : `--param ${parameter}`;
    return option === undefined ? whole : start + option;
  });
}
