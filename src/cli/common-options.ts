import type { Options, PositionalOptions } from "yargs";
import { InputError } from "../core/input-error.ts";
import type { KernelBackend } from "../kernels/index.ts";

/** What every command is given besides its own options. */
export interface CommonArguments {
  quiet: boolean;
  verbose: boolean;
}

export const outOption = {
  type: "string",
  describe: "Folder for the files; made if need be",
  requiresArg: true,
} as const satisfies Options;

export const scenarioPositional = {
  type: "string",
  demandOption: true,
  describe: "Scenario file, YAML or JSON",
} as const satisfies PositionalOptions;

export const setOption = {
  type: "string",
  array: true,
  default: [] as string[],
  describe: "path=value: change the scenario, e.g. routers.alf-lb.updateRate=0.01",
} as const satisfies Options;

const backends = ["auto", "wasm", "tfjs", "tfjs-gpu"] as const;
export type BackendName = (typeof backends)[number];

export const backendOption = {
  choices: backends,
  default: "auto" as const,
  describe: "What computes the kernels",
} as const satisfies Options;

/**
 * The kernels that `--backend` names; `auto` takes the fastest. Throws `InputError` for the tensor backends: they serve
 * routers inside a training run, and open-loop routing runs on the WebAssembly kernels alone.
 */
export function chooseBackend(name: BackendName): KernelBackend {
  if (name === "auto" || name === "wasm") return "wasm";
  throw new InputError(
    `--backend ${name}: this version routes with the WebAssembly kernels only. Allowed: auto, wasm.`,
  );
}

/** Checks an option that counts something. Throws `InputError`. */
export function positiveInteger(option: string, value: number, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isInteger(value) && value > 0 && value <= most) return value;
  throw new InputError(`--${option}: ${value} is not allowed, an integer from 1 to ${most} is expected`);
}
