/**
 * moesim's engine in a browser's tab or worker: the library without files of a disk. Call {@link install} first.
 *
 * @module
 */
import { InputError } from "./core/input-error.ts";
import { installPlatform, type Platform } from "./core/platform.ts";
import { blobSource, type Source } from "./core/source.ts";

export {
  type LayerReader,
  openRecording,
  type Recording,
  type RecordingOptions,
} from "./core/formats/recording.ts";
export { InputError } from "./core/input-error.ts";
export { diagnose } from "./core/library/diagnose.ts";
export { measure } from "./core/library/measure.ts";
export { expandSweep, type RouterInput, type ScenarioInput, type StreamInput } from "./core/library/scenario-input.ts";
export {
  createSimulation,
  type SimulateOptions,
  type Simulation,
  type SimulationOptions,
  type SimulationResult,
  type SimulationState,
  simulate,
} from "./core/library/simulate.ts";
export { blobSource, bytesSource, type Source } from "./core/source.ts";
export { version } from "./core/version.ts";

/** What the page brings along. */
export interface BrowserParts {
  /** The bytes of `build/kernels.wasm`. */
  readonly kernels: Uint8Array<ArrayBuffer>;
  /** The files that scenarios may name as `stream.path`, such as those that were chosen or dropped, by that name. */
  readonly files?: ReadonlyMap<string, Blob> | undefined;
}

/** Makes this tab or worker run the core. */
export function install({ kernels, files = new Map() }: BrowserParts): void {
  const noTensors = (): never => {
    throw new InputError("this needs TensorFlow.js, which moesim does not load in a browser");
  };
  async function open(path: string): Promise<Source> {
    // A file that a person chooses in a browser has no folder.
    const blob = files.get(path) ?? files.get(path.slice(path.lastIndexOf("/") + 1));
    if (blob !== undefined) return blobSource(blob, path);
    throw new InputError(`${path}: this file is not loaded; choose it or drop it on the page`);
  }
  const platform: Platform = {
    open,
    openAll: async (path) => [await open(path)],
    kernels: () => kernels,
    loadTensors: async () => noTensors(),
  };
  installPlatform(platform);
}
