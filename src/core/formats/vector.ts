/** Numbers that stand in a file of their own beside logits or a scenario: a padding mask, the biases of experts. */
import { InputError } from "../input-error.ts";
import { closeOnError, readBytes, type Source } from "../source.ts";
import { denseTensor } from "./arrange.ts";
import { openCsvTable, roleOf } from "./csv.ts";
import { listNames, quoteName } from "./messages.ts";
import { storedNpy } from "./npy.ts";
import { openParquetTable } from "./parquet/parquet.ts";
import { isPickle, openPickle, openTorch, Tensor, torchPickle } from "./pickle.ts";
import { isSafetensors, storedSafetensors } from "./safetensors.ts";
import { checkedTensor, packedStrides, rowsOf, type StoredTensor, valuesOf } from "./stored-tensor.ts";
import { openZip } from "./zip.ts";

/** An array of any shape as one number after another, in row-major order. Memory does not grow with the file. */
export interface Vector {
  /** Name of the file in messages. */
  readonly file: string;
  /** Type of the numbers according to the header, e.g. `float16`, `int64`; `text` for CSV, whose cells have no type. */
  readonly dtype: string;
  readonly kind: "float" | "integer" | "boolean" | "number";
  readonly shape: readonly number[];
  /** At least 1. */
  readonly length: number;
  /**
   * Reads the next numbers into `into` and returns how many there were: all of `into`, or fewer at the end, and 0 after it.
   * Throws `InputError` if the data is malformed.
   */
  read(into: Float64Array): Promise<number>;
  close(): Promise<void>;
}

/**
 * Opens the one array of a file, which its content tells: `.npy`, `.npz`, `.safetensors`, `.pt`, pickle, CSV or Parquet. Owns
 * `file` from then on. Throws `InputError` if it is malformed, empty or of another kind, or has several arrays.
 */
export function openVector(file: Source): Promise<Vector> {
  return closeOnError(file, async () => {
    const { name, byteLength } = file;
    if (byteLength === 0) throw new InputError(`${name}: empty stream: the file is empty`);
    const head = await readBytes(file, 0, Math.min(byteLength, 16));
    const begins = (text: string) => Array.from(text).every((character, i) => head[i] === character.charCodeAt(0));
    if (begins("\x93NUMPY")) return tensorVector(file, await storedNpy(file, true));
    if (begins("PK\x03\x04")) return tensorVector(file, await archivedTensor(file));
    if (begins("PAR1")) return parquetVector(file);
    if (isSafetensors(head, byteLength)) {
      return tensorVector(file, onlyTensor(name, await storedSafetensors(file, true)));
    }
    if (isPickle(head)) return tensorVector(file, pickledTensor(name, await openPickle(file)));
    if (head.includes(0) && !begins("\xff\xfe")) {
      throw new InputError(
        `${name}: of no known kind, or damaged; .npy, .npz, .safetensors, .pt, .csv and .parquet can be read`,
      );
    }
    return textVector(file);
  });
}

function onlyTensor(name: string, tensors: ReadonlyMap<string, StoredTensor>): StoredTensor {
  if (tensors.size === 0) throw new InputError(`${name}: empty stream: the file has no tensors of numbers`);
  const [[, tensor]] = tensors;
  if (tensors.size === 1) return tensor;
  const names = listNames([...tensors.keys()].map(quoteName));
  throw new InputError(`${name}: the file has ${tensors.size} tensors, ${names}; save the one that is meant alone`);
}

/** Returns the array of a `.npz` file or of a PyTorch file. */
async function archivedTensor(file: Source): Promise<StoredTensor> {
  const archived = await openZip(file);
  if (torchPickle(archived) !== undefined) return pickledTensor(file.name, await openTorch(file, archived));
  const arrays = new Map<string, StoredTensor>();
  for (const each of archived) {
    if (each.path.endsWith(".npy")) arrays.set(each.path, await storedNpy(await each.open(), true));
  }
  return onlyTensor(file.name, arrays);
}

/** Returns the tensor that a pickle holds by itself, or as the only one of a dictionary. */
function pickledTensor(name: string, value: unknown): StoredTensor {
  const inner = value instanceof Map && value.size === 1 ? [...value.values()][0] : value;
  const tensor = inner instanceof Tensor ? inner.stored : denseTensor(inner, name);
  if (tensor !== null) return tensor;
  throw new InputError(
    `${name}: expected one tensor, or a list of numbers; save it alone: torch.save(tensor, "FILE.pt")`,
  );
}

function tensorVector(file: Source, tensor: StoredTensor): Vector {
  const { element, shape, strides } = checkedTensor(tensor);
  const packed = packedStrides(shape);
  const length = valuesOf(shape);
  if (length === 0) throw new InputError(`${file.name}: empty stream: the array has no values`);
  if (shape.some((size, i) => size > 1 && strides[i] !== packed[i])) {
    throw new InputError(`${file.name}: the tensor is transposed, or a part of another; save its .contiguous()`);
  }
  const rows = rowsOf({ ...tensor, shape: [length, 1], strides: [1, 1] });
  let next = 0;
  return {
    file: file.name,
    dtype: element.name,
    kind: element.kind,
    shape,
    length,
    async read(into) {
      const count = Math.min(into.length, length - next);
      await rows.read(into, 0, next, count);
      next += count;
      return count;
    },
    close: async () => file.close?.(),
  };
}

/** The numbers of a table row by row. Columns that number the rows are left out. */
function tableVector(
  file: Source,
  { dtype, kind, shape }: Pick<Vector, "dtype" | "kind" | "shape">,
  rows: () => AsyncGenerator<Float64Array>,
): Vector {
  let source: AsyncGenerator<Float64Array> | null = null;
  let row: Float64Array = new Float64Array(0);
  let used = 0;
  return {
    file: file.name,
    dtype,
    kind,
    shape,
    length: valuesOf(shape),
    async read(into) {
      source ??= rows();
      let count = 0;
      while (count < into.length) {
        if (used === row.length) {
          const { value, done } = await source.next();
          if (done) break;
          [row, used] = [value, 0];
        }
        const now = Math.min(into.length - count, row.length - used);
        into.set(row.subarray(used, used + now), count);
        count += now;
        used += now;
      }
      return count;
    },
    async close() {
      await source?.return(undefined);
      await file.close?.();
    },
  };
}

const numbersOfRows: readonly string[] = ["index", "token"];

async function textVector(file: Source): Promise<Vector> {
  const table = await openCsvTable(file);
  const chosen = Array.from({ length: table.columns }, (_, column) => column).filter(
    (column) => table.names === null || !numbersOfRows.includes(roleOf(table.names[column])),
  );
  let rows = 0;
  for await (const _ of table.rows(chosen)) rows++;
  if (rows * chosen.length === 0) throw new InputError(`${file.name}: empty stream: the file has no rows of numbers`);
  return tableVector(file, { dtype: "text", kind: "number", shape: [rows, chosen.length] }, () => table.rows(chosen));
}

async function parquetVector(file: Source): Promise<Vector> {
  const table = await openParquetTable(file);
  const lists = table.columns.filter(({ shape }) => shape.length > 0);
  const plain = table.columns.filter(({ shape, name }) => shape.length === 0 && !numbersOfRows.includes(roleOf(name)));
  const chosen = lists.length === 1 ? lists : plain;
  const isMixed = chosen.some(({ kind }) => kind !== chosen[0].kind);
  if (chosen.length === 0 || isMixed || lists.length > 1 || (table.others.length > 0 && lists.length === 0)) {
    const names = [
      ...table.columns.map(
        ({ name, dtype, shape }) => `${quoteName(name)} (${shape.length > 0 ? "list of " : ""}${dtype})`,
      ),
      ...table.others.map((name) => `${quoteName(name)} (not numbers)`),
    ];
    throw new InputError(
      `${file.name}: expected one list column of numbers, or only columns of one number each, all integers or all floats; the ` +
        `file has ${listNames(names)}`,
    );
  }
  const [{ dtype, kind }] = chosen;
  const width = chosen.reduce((sum, column) => sum + column.width, 0);
  return tableVector(file, { dtype, kind, shape: [table.rows, width] }, () => table.values(chosen));
}
