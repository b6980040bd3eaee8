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

/** What a recorded file holds: logits, or whole numbers such as choices and loads, which stay as they are. */
export type RecordedContent = "logits" | "integers";

/** By extension: how to make, in Python, a `.npy` file of the file at `path`. */
const conversions: Readonly<Record<string, (path: string, content: RecordedContent) => string>> = {
  ".pt": torchConversion,
  ".pth": torchConversion,
  ".bin": torchConversion,
  ".npz": (path) => {
    const archive = `numpy.load(${pythonText(path)})`;
    return `import numpy; numpy.save(${npyName(path)}, ${archive}["NAME"]), where ${archive}.files lists the names`;
  },
};

function torchConversion(path: string, content: RecordedContent): string {
  // NumPy has no bfloat16.
  const cast = content === "logits" ? ".float()" : "";
  return `import numpy, torch; numpy.save(${npyName(path)}, torch.load(${pythonText(path)}, weights_only=True)${cast}.numpy())`;
}

function npyName(path: string): string {
  return pythonText(`${path.slice(0, -extname(path).length)}.npy`);
}

/** `text` as a string literal of Python, which reads those of JSON. */
function pythonText(text: string): string {
  return JSON.stringify(text);
}

/**
 * Opens a recorded file by its extension, whatever its case. Sizes and type are known and checked against the file's size
 * before any data is read. Throws `InputError` when the file is missing, malformed, of an unknown kind, or when an option
 * is given that its format does not have. Reading throws it when the file was written to meanwhile.
 *
 * @param content decides what the message about a file of an unknown kind advises
 */
export async function openTensor(
  path: string,
  options: TensorOptions = {},
  content: RecordedContent = "logits",
): Promise<TensorReader> {
  const extension = extname(path).toLowerCase();
  if (!Object.hasOwn(openers, extension)) {
    // A missing file or a folder deserves to be called that.
    await (await openInputFile(path)).close();
    const way = Object.hasOwn(conversions, extension) ? conversions[extension](path, content) : undefined;
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
