/** Options of a reader that only some formats know. */
export interface TensorOptions {
  /** The tensor to read from a `.safetensors` file; may be left out when the file holds exactly one. */
  readonly tensor?: string | undefined;
  /** The list column to read from a `.parquet` file; may be left out when there is exactly one. */
  readonly column?: string | undefined;
}

/**
 * A recorded file that is read from front to back, some rows at a time, so that memory does not grow with the file. The
 * last dimension of `shape` are the columns; all the dimensions before it, in row-major order, are the rows.
 */
export interface TensorReader {
  /** The file as messages name it. */
  readonly file: string;
  /** What the header says the numbers are, e.g. `float16`, `int64`; `text` for CSV. */
  readonly dtype: string;
  /** `number` for CSV, whose cells carry no type. */
  readonly kind: "float" | "integer" | "number";
  /** One to three dimensions, each ≥ 1. */
  readonly shape: readonly number[];
  readonly rows: number;
  readonly columns: number;
  /**
   * Reads the next rows into the front of `into`, `[count × columns]` row-major, and returns how many there were: `count`,
   * or fewer at the end, 0 after it. float64 and integers are rounded to float32 when `into` is a `Float32Array`; a
   * `Float64Array` holds every integer up to 2^53 exactly. Not to be called again before it has resolved. Throws
   * `InputError` when the data is malformed.
   */
  read(into: Float32Array | Float64Array, count: number): Promise<number>;
  close(): Promise<void>;
}
