import type { Source } from "./source.ts";

/** TensorFlow.js: its operations, automatic differentiation and optimisers. */
export type Tensors = typeof import("@tensorflow/tfjs-core");

/** Where tensors are computed: `wasm` or plain `cpu`, which every machine has, or TensorFlow on a GPU. */
export const tensorBackends = ["wasm", "cpu", "tensorflow"] as const;
export type TensorBackend = (typeof tensorBackends)[number];

/** Decompresses `input` to `length` bytes at most, and always ends, whatever the bytes. Throws `Error` if they are damaged. */
export type Decompress = (input: Uint8Array, length: number) => Uint8Array;

/** What the core needs from where it runs: Node, a browser's tab, a worker. Each has one file that installs its own. */
export interface Platform {
  /**
   * Opens what is called `path`. With a `folder`, a relative path starts there or, if nothing is there, where the program
   * was started. Throws `InputError` if it is missing or cannot be read.
   */
  open(path: string, folder?: string): Promise<Source>;
  /** The bytes of `build/kernels.wasm`, which are asked for once per thread. Throws `Error` if they are missing. */
  kernels(): Uint8Array<ArrayBuffer>;
  /**
   * TensorFlow.js computing with `backend`, loaded on first use. Throws `InputError`, saying what to install, if it is
   * missing or does not load.
   */
  loadTensors(backend: TensorBackend): Promise<Tensors>;
  /** Throws `InputError`, as {@link loadTensors} does, if a stream cannot train here. Loads nothing. */
  checkCanTrain(): void;
  /** Decompressors that are faster or stricter than those in plain JavaScript, by Parquet's name of the codec. */
  readonly decompressors?: Readonly<Partial<Record<"GZIP" | "BROTLI", Decompress>>>;
}

let installed: Platform | null = null;

/** Makes `platform` that of this thread. Called once, before anything else of the core. */
export function installPlatform(platform: Platform): void {
  installed = platform;
}

/** The platform of this thread. Throws `Error` if none is installed. */
export function platform(): Platform {
  if (installed === null)
    throw new Error("No platform is installed: import src/node/platform.ts or src/browser.ts first.");
  return installed;
}
