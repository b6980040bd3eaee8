import type { Source } from "./source.ts";

/** TensorFlow.js: its operations, automatic differentiation and optimisers. */
export type Tensors = typeof import("@tensorflow/tfjs-core");

/** Where tensors are computed: `wasm` or plain `cpu`, available on every machine, or TensorFlow on a GPU. */
export const tensorBackends = ["wasm", "cpu", "tensorflow"] as const;
export type TensorBackend = (typeof tensorBackends)[number];

/** Decompresses `input` to at most `length` bytes and always terminates. Throws `Error` if the bytes are damaged. */
export type Decompress = (input: Uint8Array, length: number) => Uint8Array;

/** What the core needs from its environment: Node, a browser tab, a worker. Each has one file that installs its own. */
export interface Platform {
  /**
   * Opens `path`. With a `folder`, a relative path is resolved against it or, if nothing is there, against the
   * program's working directory. Throws `InputError` if it is missing or cannot be read.
   */
  open(path: string, folder?: string): Promise<Source>;
  /**
   * Opens all files of the recording that `path` names: a file, a folder of files, or a pattern such as `*rank*.jsonl`.
   * Those of a folder or pattern come in the order of the numbers in their names. `folder` is that of {@link open}.
   * Throws `InputError` if there is none, or one cannot be read.
   */
  openAll(path: string, folder?: string): Promise<readonly Source[]>;
  /** Returns the bytes of `build/kernels.wasm`; called once per thread. Throws `Error` if they are missing. */
  kernels(): Uint8Array<ArrayBuffer>;
  /**
   * Loads TensorFlow.js with `backend` on first use. Throws `InputError`, saying what to install, if it is missing or
   * does not load.
   */
  loadTensors(backend: TensorBackend): Promise<Tensors>;
  /** CRC-32 of `bytes` after those with the checksum `previous`, if there is one faster than plain JavaScript. */
  readonly crc32?: (bytes: Uint8Array, previous: number) => number;
  /** Decompressors that are faster or stricter than those in plain JavaScript, by Parquet's codec name. */
  readonly decompressors?: Readonly<Partial<Record<"GZIP" | "BROTLI", Decompress>>>;
}

let installed: Platform | null = null;

/** Makes `platform` this thread's platform. Call it once, before anything else in the core. */
export function installPlatform(platform: Platform): void {
  installed = platform;
}

/** Returns this thread's platform. Throws `Error` if none is installed. */
export function platform(): Platform {
  if (installed === null)
    throw new Error("No platform is installed: import src/node/platform.ts or src/browser.ts first.");
  return installed;
}
