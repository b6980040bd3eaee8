import type { Options, PositionalOptions } from "yargs";
import { InputError } from "../core/input-error.ts";
import type { KernelBackend } from "../core/kernels/index.ts";

/** What every command is given besides its own options. */
export interface CommonArguments {
  quiet: boolean;
  verbose: boolean;
  /** Print one JSON value and nothing else; warnings still go to standard error. */
  json: boolean;
}

/** The headings of `--help` under which options stand that belong together. */
export const optionGroups = { input: "Input:", output: "Output:", computation: "Computation:" } as const;

export const outOption = {
  group: optionGroups.output,
  type: "string",
  describe: "Folder for the files; created if it does not exist",
  requiresArg: true,
} as const satisfies Options;

export const wideOption = {
  group: optionGroups.output,
  type: "boolean",
  default: false,
  describe: "Print all columns of the table, also those that the terminal has no room for",
} as const satisfies Options;

export const scenarioPositional = {
  type: "string",
  demandOption: true,
  describe: "Scenario file, YAML or JSON",
} as const satisfies PositionalOptions;

export const setOption = {
  type: "string",
  group: optionGroups.input,
  array: true,
  default: [] as string[],
  describe: "path=value …: change the scenario; paths are dotted and name a router by its label or number",
} as const satisfies Options;

export const maxVioOption = {
  type: "number",
  group: optionGroups.output,
  requiresArg: true,
  default: 0.5,
  describe:
    "Of a sweep, recommend the fastest variant whose mean MaxVio of a batch, half width included, is at most this",
} as const satisfies Options;

const backends = ["auto", "wasm", "tfjs", "tfjs-gpu"] as const;
export type BackendName = (typeof backends)[number];

export const backendOption = {
  group: optionGroups.computation,
  choices: backends,
  requiresArg: true,
  default: "auto" as const,
  describe: "Route with moesim's WebAssembly kernels (auto, wasm) or with TensorFlow.js, on WebAssembly or a GPU",
} as const satisfies Options;

/**
 * The kernels that `--backend` names; `auto` takes the fastest on a CPU. Throws `InputError` where they do not load, so
 * that a run does not begin with them.
 */
export async function chooseBackend(name: BackendName): Promise<KernelBackend> {
  if (name === "auto" || name === "wasm") return "wasm";
  const { tensorBackendOf } = await import("../core/kernels/index.ts");
  const { loadTensors } = await import("../core/kernels/tensor/load.ts");
  await loadTensors(tensorBackendOf(name));
  return name;
}

/** Checks an option that counts something. Throws `InputError`. */
export function positiveInteger(option: string, value: number, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isInteger(value) && value > 0 && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? "of 1 or more" : `from 1 to ${most}`;
  throw new InputError(`--${option}: ${value} is not allowed; an integer ${range} is expected`);
}

/** Checks an option that is a quantity above 0. Throws `InputError`. */
export function positiveNumber(option: string, value: number): number {
  if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
  throw new InputError(`--${option}: ${value} is not allowed; a number above 0 is expected`);
}
