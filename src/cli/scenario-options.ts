import path from "node:path";
import type { Options } from "yargs";
import { openTensor } from "../core/formats/open-tensor.ts";
import { InputError } from "../core/input-error.ts";
import { resolveScenario } from "../core/scenario/load.ts";
import { findModel } from "../core/scenario/models.ts";
import { parseOverride, withOverrides } from "../core/scenario/overrides.ts";
import type { Scenario } from "../core/scenario/scenario.ts";
import { checkSweep, defaultMaxCells } from "../core/scenario/sweep.ts";
import { readScenarioFile } from "../node/files/scenario-file.ts";
import { optionGroups, scenarioPositional, setOption } from "./common-options.ts";

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

/** Options of commands that read one file of logits. */
export interface LogitsArguments {
  logits: string;
  "top-k"?: number | undefined;
  /** Only commands that route take it. */
  model?: string | undefined;
  tensor?: string | undefined;
  column?: string | undefined;
}

export const logitsOptions = {
  logits: {
    type: "string",
    group: optionGroups.input,
    demandOption: true,
    requiresArg: true,
    describe: "File of logits: [tokens × experts] or [steps × tokens × experts]",
  },
  "top-k": {
    type: "number",
    group: optionGroups.input,
    requiresArg: true,
    describe: "Experts per token",
    defaultDescription: `${defaultTopK}, or all experts if there are fewer`,
  },
  tensor: {
    type: "string",
    group: optionGroups.input,
    requiresArg: true,
    describe: "Name of the tensor in a .safetensors file",
  },
  column: {
    type: "string",
    group: optionGroups.input,
    requiresArg: true,
    describe: "Name of the list column in a .parquet file",
  },
} as const satisfies Record<string, Options>;

/** Options that set fields of the scenario, by the path of the field. */
const optionOfField: Readonly<Record<string, string>> = {
  topK: "--top-k",
  capacityFactor: "--capacity-factor",
  seed: "--seed",
  "stream.path": "--logits",
  "stream.tensor": "--tensor",
  "stream.column": "--column",
};

/**
 * Returns the scenario that replays the file, with further `fields`, checked like any other under the name of `command`. A file
 * with two dimensions is one batch. Throws `InputError`, whose message names options instead of fields.
 */
export async function scenarioOfLogits(
  command: string,
  { logits, tensor, column, model, "top-k": topK }: LogitsArguments,
  fields: object,
): Promise<{ scenario: Scenario; hasSteps: boolean }> {
  const reader = await openTensor(logits, { tensor, column });
  const { shape } = reader;
  await reader.close();
  const hasSteps = shape.length === 3;
  const experts = shape[shape.length - 1];
  const published = findModel(model);
  if (published !== undefined && published.experts !== experts) {
    throw new InputError(
      `--model: ${model} has ${published.experts} experts, but ${logits} has logits of ${experts}; ` +
        "name another model, or --router and its parameters",
    );
  }
  const written = {
    name: command,
    model,
    topK: topK ?? published?.topK ?? Math.min(defaultTopK, experts),
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

/** Replaces the scenario's field that `line` names, at its start or after the command, by the field's option. */
function inOptions(line: string): string {
  return line.replace(/^(\w+: |)([\w.[\]]+)(?=: )/, (whole, start: string, field: string) => {
    const parameter = /^routers\[0\]\.(.+)$/.exec(field)?.[1];
    const option = parameter === undefined ? optionOfField[field] : `--param ${parameter}`;
    return option === undefined ? whole : start + option;
  });
}
