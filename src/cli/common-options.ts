import type { Options, PositionalOptions } from "yargs";
import { InputError } from "../core/input-error.ts";
import type { KernelBackend } from "../core/kernels/index.ts";
import { suggestion } from "../core/suggestion.ts";

/** Options that every command takes. */
export interface CommonArguments {
  quiet: boolean;
  verbose: boolean;
  /** Print one JSON value and nothing else; warnings still go to standard error. */
  json: boolean;
}

/** Headings that group options in `--help`. */
export const optionGroups = { input: "Input:", output: "Output:", computation: "Computation:" } as const;

export const outOption = {
  group: optionGroups.output,
  type: "string",
  describe: "Folder for the files; created if missing",
  requiresArg: true,
} as const satisfies Options;

export const wideOption = {
  group: optionGroups.output,
  type: "boolean",
  default: false,
  describe: "Print all columns, even if the terminal is too narrow",
} as const satisfies Options;

export const scenarioPositional = {
  type: "string",
  demandOption: true,
  describe: "Scenario file (YAML or JSON)",
} as const satisfies PositionalOptions;

export const setOption = {
  type: "string",
  group: optionGroups.input,
  array: true,
  default: [] as string[],
  describe: "Change fields: path=value …, e.g. routers.alf-lb.updateRate=0.1",
} as const satisfies Options;

export const maxVioOption = {
  type: "number",
  group: optionGroups.output,
  requiresArg: true,
  default: 0.5,
  describe: "Recommend the fastest variant with batch MaxVio (mean + half width) up to this",
} as const satisfies Options;

export const pluginOption = {
  type: "string",
  group: optionGroups.input,
  array: true,
  // One file at a time: what follows may be the scenario.
  nargs: 1,
  requiresArg: true,
  describe: "Load routers, streams and metrics from this module; this runs its code",
} as const satisfies Options;

export const queueOption = {
  type: "string",
  group: optionGroups.computation,
  requiresArg: true,
  describe: "Server of the queue: redis://HOST:PORT, file:PATH, or env (MOESIM_QUEUE)",
} as const satisfies Options;

export const patienceOption = {
  type: "number",
  group: optionGroups.computation,
  requiresArg: true,
  default: 300,
  describe: "Seconds for which the queue may be unreachable",
} as const satisfies Options;

const backends = ["auto", "wasm", "tfjs", "tfjs-gpu"] as const;
export type BackendName = (typeof backends)[number];

export const backendOption = {
  group: optionGroups.computation,
  choices: backends,
  requiresArg: true,
  default: "auto" as const,
  describe: "auto, wasm: moesim's kernels; tfjs, tfjs-gpu: TensorFlow.js",
} as const satisfies Options;

/**
 * Returns the kernels that `--backend` names; `auto` chooses the fastest on a CPU. Throws `InputError` if they do not load, so
 * that no run starts with them.
 */
export async function chooseBackend(name: BackendName): Promise<KernelBackend> {
  if (name === "auto" || name === "wasm") return "wasm";
  const { tensorBackendOf } = await import("../core/kernels/index.ts");
  const { loadTensors } = await import("../node/tensors.ts");
  await loadTensors(tensorBackendOf(name));
  return name;
}

/** Returns `value`; throws `InputError` unless it is an integer from 1 to `most`. */
export function positiveInteger(option: string, value: number, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isInteger(value) && value > 0 && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? "of at least 1" : `from 1 to ${most}`;
  throw new InputError(`--${option}: ${value} is not allowed; give an integer ${range}`);
}

/** Returns `value`; throws `InputError` unless it is a finite number above 0. */
export function positiveNumber(option: string, value: number): number {
  if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
  throw new InputError(`--${option}: ${value} is not allowed; give a number above 0`);
}

/** Returns the axes that the value of `--axes` names, of those `known`. Throws `InputError` if one is not among them. */
export function parseAxes<Axis extends string>(value: string, known: readonly Axis[]): Axis[] {
  return value.split(",").map((name) => {
    const axis = known.find((each) => each === name);
    if (axis !== undefined) return axis;
    throw new InputError(
      `--axes: "${name}" is not an axis.${suggestion(name, known)} Allowed, with commas between: ${known.join(", ")}.`,
    );
  });
}
