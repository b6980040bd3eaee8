import { extname } from "node:path";
import { type InputFile, openInputFile, withInputFile } from "../../node/files/input-file.ts";
import { InputError } from "../input-error.ts";
import { shorten } from "./message-parts.ts";
import type { TensorOptions, TensorReader } from "./tensor-reader.ts";

/**
 * What can be read, by file name extension. Each reader is loaded on first use: most commands open no recorded file, and
 * the decompressors of .parquet reserve memory of their own.
 */
const openers: Readonly<Record<string, (file: InputFile, options: TensorOptions) => Promise<TensorReader>>> = {
  ".npy": async (file) => (await import("./npy.ts")).openNpy(file),
  ".csv": async (file) => (await import("./csv.ts")).openCsv(file),
  ".parquet": async (file, { column }) => (await import("./parquet.ts")).openParquet(file, column),
  ".safetensors": async (file, { tensor }) => (await import("./safetensors.ts")).openSafetensors(file, tensor),
};

const torchConversion =
  'import numpy, torch; numpy.save("logits.npy", torch.load("logits.pt", weights_only=True).float().numpy())';

/** A line of Python that makes a file that can be read of one that cannot. */
const conversions: Readonly<Record<string, string>> = {
  ".pt": torchConversion,
  ".pth": torchConversion,
  ".bin": torchConversion,
  ".npz": 'import numpy; numpy.save("logits.npy", numpy.load("logits.npz")["NAME"])',
};

/**
 * Opens a recorded file by its extension, whatever its case. Sizes and type are known and checked against the file's size
 * before any data is read. Throws `InputError` when the file is missing, malformed, of an unknown kind, or when an option
 * is given that its format does not have. Reading throws it when the file was written to meanwhile.
 */
export async function openTensor(path: string, options: TensorOptions = {}): Promise<TensorReader> {
  const extension = extname(path).toLowerCase();
  if (!Object.hasOwn(openers, extension)) {
    // A missing file or a folder deserves to be called that.
    await (await openInputFile(path)).close();
    const way = conversions[extension];
    throw new InputError(
      `${shorten(path)}: ${extension === "" ? "the file name has no extension" : `files that end with "${shorten(extension)}" cannot be read`}; ` +
        `${Object.keys(openers).join(", ")} can${way === undefined ? "" : `. To convert it, in Python: ${way}`}`,
    );
  }
  if (options.tensor !== undefined && extension !== ".safetensors") {
    throw new InputError(`${path}: "tensor" names a tensor of a .safetensors file; this is a ${extension} file`);
  }
  if (options.column !== undefined && extension !== ".parquet") {
    throw new InputError(`${path}: "column" names a list column of a .parquet file; this is a ${extension} file`);
  }
  return withInputFile(path, async (file) => {
    const reader = await openers[extension](file, options);
    return {
      ...reader,
      async read(into, count) {
        const rows = await reader.read(into, count);
        await file.checkUnchanged();
        return rows;
      },
    };
  });
}
