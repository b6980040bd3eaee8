import { InputError } from "../input-error.ts";
import { escapeUnprintable } from "../words.ts";

/** Reader options that only some formats have. */
export interface TensorOptions {
  /** Tensor to read from a `.safetensors` file; optional if the file holds exactly one. */
  readonly tensor?: string | undefined;
  /** List column to read from a `.parquet` file; optional if the file holds exactly one. */
  readonly column?: string | undefined;
  /** Whether each number of a `.npy` or `.safetensors` file is a row, so that one long row is read in pieces too. */
  readonly flat?: boolean | undefined;
}

/**
 * A recorded file that is read from front to back, some rows at a time; memory does not grow with the file. The last
 * dimension of `shape` is the columns; all dimensions before it, in row-major order, are the rows.
 */
export interface TensorReader {
  /** Name of the file in messages. */
  readonly file: string;
  /** Type of the numbers according to the header, e.g. `float16`, `int64`; `text` for CSV. */
  readonly dtype: string;
  /** `number` for CSV, whose cells have no type. */
  readonly kind: "float" | "integer" | "boolean" | "number";
  /** One to four dimensions, each ≥ 1. */
  readonly shape: readonly number[];
  readonly rows: number;
  readonly columns: number;
  /**
   * Reads the next rows into the front of `into`, `[count × columns]` row-major, and returns how many there were:
   * `count`, or fewer at the end, and 0 after it. Rounds float64 and integers to float32 if `into` is a `Float32Array`;
   * a `Float64Array` holds every integer up to 2^53 exactly. Do not call it again before it has resolved. Throws
   * `InputError` if the data is malformed.
   */
  read(into: Float32Array | Float64Array, count: number): Promise<number>;
  close(): Promise<void>;
}

/** Dimensions of a tensor as rows and columns. */
export interface TensorSize {
  readonly rows: number;
  readonly columns: number;
}

/**
 * Splits `shape` into rows (all dimensions but the last) and columns (the last). Throws `InputError` if a dimension is
 * not an integer, if one is zero, if there are none or more than four, or if their product is not an exact double.
 */
export function tensorSize(file: string, shape: readonly number[]): TensorSize {
  const printed = shapeText(shape);
  for (const length of shape) {
    if (!Number.isSafeInteger(length) || length < 0) {
      throw new InputError(`${file}: the shape ${printed} is malformed; dimensions must be integers ≥ 0`);
    }
  }
  if (shape.length < 1 || shape.length > 4) {
    throw new InputError(`${file}: the shape ${printed} has ${shape.length} dimensions; 1 to 4 are allowed`);
  }
  if (shape.includes(0)) {
    throw new InputError(`${file}: empty stream: the shape ${printed} has no values; every dimension must be ≥ 1`);
  }
  const values = shape.reduce((product, length) => product * length, 1);
  if (!Number.isSafeInteger(values)) {
    throw new InputError(`${file}: the shape ${printed} promises more values than any file can hold`);
  }
  const columns = shape[shape.length - 1];
  return { rows: values / columns, columns };
}

/**
 * Maximum dimensions of a shape, names of a list and characters of a name in a message: a damaged header has millions.
 */
const [mostLengths, mostNames, mostCharacters] = [8, 20, 120];

/** Formats a shape for messages, `[3, 4]`. */
export function shapeText(shape: readonly number[]): string {
  if (shape.length <= mostLengths) return `[${shape.join(", ")}]`;
  return `[${shape.slice(0, mostLengths).join(", ")}, … (${shape.length} in all)]`;
}

/** Returns the beginning of `text` from a file, fit for a message of one line. */
export function shorten(text: string): string {
  return escapeUnprintable(text.length > mostCharacters ? `${text.slice(0, mostCharacters)}…` : text);
}

/** Returns the beginning of a name or text from a file, quoted. */
export function quoteName(name: string): string {
  return escapeUnprintable(JSON.stringify(name.length > mostCharacters ? `${name.slice(0, mostCharacters)}…` : name));
}

/** Returns the first `names`, and the total number if there are more. */
export function listNames(names: readonly string[]): string {
  if (names.length <= mostNames) return names.join(", ");
  return `${names.slice(0, mostNames).join(", ")}, … (${names.length} in all)`;
}
