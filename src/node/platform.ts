import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync, crc32, unzipSync } from "node:zlib";
import { installPlatform } from "../core/platform.ts";
import { openInputFile } from "./files/input-file.ts";
import { loadTensors } from "./tensors.ts";

function readKernels(): Uint8Array<ArrayBuffer> {
  // The path is the same from `src/node` and `dist/node`.
  const path = fileURLToPath(new URL("../../build/kernels.wasm", import.meta.url));
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new Error(`The compiled kernels are missing: ${path}. Run \`npm run build\` to make them.`, { cause });
  }
}

// Everything that uses the core in Node imports this file first: the library's entry, the command line, each worker
// thread.
installPlatform({
  open: openInputFile,
  openAll: async (path, folder) => (await import("./files/recorded-files.ts")).openFilesOf([path], folder),
  kernels: readKernels,
  loadTensors,
  crc32,
  decompressors: {
    GZIP: (input, length) => unzipSync(input, { maxOutputLength: Math.max(1, length) }),
    BROTLI: (input, length) => brotliDecompressSync(input, { maxOutputLength: Math.max(1, length) }),
  },
});
