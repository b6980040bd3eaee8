/** Reader options that only some formats have. */
export interface TensorOptions {
  /** Tensor to read from a `.safetensors` file; optional if the file holds exactly one. */
  readonly tensor?: string | undefined;
  /** List column to read from a `.parquet` file; optional if the file holds exactly one. */
  readonly column?: string | undefined;
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
  readonly kind: "float" | "integer" | "number";
  /** One to three dimensions, each ≥ 1. */
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
