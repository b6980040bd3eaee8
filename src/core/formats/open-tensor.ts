import { InputError } from "../input-error.ts";
import { platform } from "../platform.ts";
import { closeOnError, type Source } from "../source.ts";
import { shorten, type TensorOptions, type TensorReader } from "./tensor-reader.ts";

/**
 * Readers by file name extension. Each is loaded on first use: most commands open no recorded file, and the
 * decompressors of .parquet reserve memory.
 */
const openers: Readonly<Record<string, (file: Source, options: TensorOptions) => Promise<TensorReader>>> = {
  ".npy": async (file, { flat }) => (await import("./npy.ts")).openNpy(file, flat),
  ".csv": async (file) => (await import("./csv.ts")).openCsv(file),
  ".parquet": async (file, { column }) => (await import("./parquet.ts")).openParquet(file, column),
  ".safetensors": async (file, { tensor, flat }) =>
    (await import("./safetensors.ts")).openSafetensors(file, tensor, flat),
};

/** By extension: how to convert the file at `path` to `.npy` in Python. */
const conversions: Readonly<Record<string, (path: string) => string>> = {
  ".pt": torchConversion,
  ".pth": torchConversion,
  ".bin": torchConversion,
  ".npz": (path) => {
    const archive = `numpy.load(${pythonText(path)})`;
    return `import numpy; numpy.save(${npyName(path)}, ${archive}["NAME"]), where ${archive}.files lists the names`;
  },
};

function torchConversion(path: string): string {
  // NumPy has no bfloat16.
  return `import numpy, torch; numpy.save(${npyName(path)}, torch.load(${pythonText(path)}, weights_only=True).float().numpy())`;
}

function npyName(path: string): string {
  return pythonText(`${path.slice(0, path.length - extensionOf(path).length)}.npy`);
}

/** Returns `text` as a Python string literal; Python reads those of JSON. */
function pythonText(text: string): string {
  return JSON.stringify(text);
}

/** Returns the extension, `.npy` for `a.b/c.npy`; empty if the name has none. */
function extensionOf(name: string): string {
  return /[^/](\.[^./\\]*)$/.exec(name)?.[1] ?? "";
}

/**
 * Opens a recorded file by its extension, in upper or lower case: a source, or the file that the platform finds at a
 * path. Sizes and type are known and checked against the file's size before any data is read. Throws `InputError` if
 * the file is missing, malformed or of an unknown kind, or if an option is given that its format does not have.
 */
export async function openTensor(file: Source | string, options: TensorOptions = {}): Promise<TensorReader> {
  const source = typeof file === "string" ? await platform().open(file) : file;
  return closeOnError(source, async () => {
    const { name } = source;
    const extension = extensionOf(name).toLowerCase();
    if (!Object.hasOwn(openers, extension)) {
      const way = Object.hasOwn(conversions, extension) ? conversions[extension](name) : undefined;
      throw new InputError(
        `${shorten(name)}: ${extension === "" ? "the file name has no extension" : `files that end with "${shorten(extension)}" cannot be read`}; ` +
          `${Object.keys(openers).join(", ")} can${way === undefined ? "" : `. To convert it, in Python: ${way}`}`,
      );
    }
    if (options.tensor !== undefined && extension !== ".safetensors") {
      throw new InputError(`${name}: "tensor" selects a tensor of a .safetensors file; this is a ${extension} file`);
    }
    if (options.column !== undefined && extension !== ".parquet") {
      throw new InputError(`${name}: "column" selects a list column of a .parquet file; this is a ${extension} file`);
    }
    return openers[extension](source, options);
  });
}
