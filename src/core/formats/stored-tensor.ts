import { InputError } from "../input-error.ts";
import { bytesSource, fillBytes, type Source } from "../source.ts";
import { type ElementType, elementTypes, toMachineOrder } from "./element-type.ts";
import { shapeText } from "./messages.ts";

/** Maximum bytes read at once, unless one row is longer. */
const pieceBytes = 1 << 20;
/** Rows that lie further apart than this are read one by one: what lies between costs more than a call. */
const maxGapBytes = 1 << 15;
/** Maximum columns of a row: those of the experts of any model. */
const maxColumns = 1 << 16;

/** Numbers that lie somewhere in a source and have not been read. */
export interface StoredTensor {
  readonly source: Source;
  readonly element: ElementType;
  readonly littleEndian: boolean;
  readonly shape: readonly number[];
  /** Numbers from an entry to the next along each dimension. */
  readonly strides: readonly number[];
  /** Byte of the first number. */
  readonly begin: number;
}

/** Returns the strides of a tensor without gaps in row-major order. */
export function packedStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1] * shape[i + 1];
  return strides;
}

/** Returns the number of values in `shape`; 1 if it has no dimensions. */
export function valuesOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

/**
 * Returns `tensor` if its bytes lie within its source. Throws `InputError` if they do not, if a dimension is not an
 * integer ≥ 0, or if it shows the same number twice, as a few bytes could then promise billions of values.
 */
export function checkedTensor(tensor: StoredTensor): StoredTensor {
  const { source, element, shape, strides, begin } = tensor;
  const printed = shapeText(shape);
  const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0;
  if (shape.length > 8 || shape.length !== strides.length || ![...shape, ...strides, begin].every(isCount)) {
    throw new InputError(`${source.name}: a tensor with the malformed shape ${printed}`);
  }
  if (shape.includes(0)) return tensor;
  const last = shape.reduce((sum, length, i) => sum + (length - 1) * strides[i], 0);
  if (!(begin + (last + 1) * element.bytes <= source.byteLength)) {
    throw new InputError(
      `${source.name}: truncated: a tensor ${element.name} ${printed} reaches beyond the ${source.byteLength} bytes of its data`,
    );
  }
  if (valuesOf(shape) > last + 1) {
    throw new InputError(`${source.name}: a tensor ${printed} repeats its numbers; save its .contiguous() instead`);
  }
  return tensor;
}

/** Throws `InputError` unless the bytes from `begin` to `end` are exactly those that a tensor without gaps takes. */
export function checkPacked(
  file: string,
  { element, shape, begin, end }: Pick<StoredTensor, "element" | "shape" | "begin"> & { readonly end: number },
): void {
  const needed = valuesOf(shape) * element.bytes;
  const held = end - begin;
  if (needed === held) return;
  const problem = needed > held ? "truncated" : `${held - needed} bytes follow the data`;
  throw new InputError(
    `${file}: ${problem}: the header promises ${element.name} ${shapeText(shape)}, which takes ${needed} bytes, but the ` +
      `file has ${held}`,
  );
}

/** Numbers that a tensor in memory can hold. */
export type TensorNumbers =
  | Int8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>;

/** Returns a tensor of `values`, held in memory. */
export function tensorOf(values: TensorNumbers, shape: readonly number[], name: string): StoredTensor {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const { int8, int16, int32, float64 } = elementTypes;
  const element =
    values instanceof Float64Array
      ? float64
      : [int8, int16, int32].find((each) => each.bytes === values.BYTES_PER_ELEMENT)!;
  return {
    source: bytesSource(bytes, name),
    element,
    littleEndian: machineIsLittleEndian,
    shape,
    strides: packedStrides(shape),
    begin: 0,
  };
}

const machineIsLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Returns the part of `tensor` with `index` along `dimension`, which it loses. */
export function selected(tensor: StoredTensor, dimension: number, index: number): StoredTensor {
  const { element, shape, strides, begin } = tensor;
  return {
    ...tensor,
    shape: shape.filter((_, i) => i !== dimension),
    strides: strides.filter((_, i) => i !== dimension),
    begin: begin + index * strides[dimension] * element.bytes,
  };
}

/** Returns `tensor` with its dimensions in another order. */
export function transposed(tensor: StoredTensor, order: readonly number[]): StoredTensor {
  return {
    ...tensor,
    shape: order.map((dimension) => tensor.shape[dimension]),
    strides: order.map((dimension) => tensor.strides[dimension]),
  };
}

/** A tensor as rows, in memory only what is being read. */
export interface StoredRows {
  readonly name: string;
  readonly element: ElementType;
  readonly rows: number;
  readonly columns: number;
  /**
   * Reads `count` rows from row `row` on into `into[start …]`, `[count × columns]`. Throws `InputError` if they cannot
   * be read.
   */
  read(into: Float32Array | Float64Array, start: number, row: number, count: number): Promise<void>;
}

/** Buffers that no read uses: a recording can have thousands of tensors, of which few are being read. */
const scratch: ArrayBuffer[] = [];
const maxScratch = 4;

/** Returns a buffer of at least `bytes` bytes, of any content. */
function takeScratch(bytes: number): ArrayBuffer {
  const index = scratch.findIndex(({ byteLength }) => byteLength >= bytes);
  return index < 0 ? new ArrayBuffer(bytes) : scratch.splice(index, 1)[0];
}

function giveScratch(buffer: ArrayBuffer): void {
  if (scratch.length === maxScratch) {
    // The largest serve most tensors.
    scratch.sort((a, b) => b.byteLength - a.byteLength);
    if (buffer.byteLength <= scratch[maxScratch - 1].byteLength) return;
    scratch.length = maxScratch - 1;
  }
  scratch.push(buffer);
}

/**
 * Returns the rows of `tensor`: its last dimension is the columns, and one or two dimensions before it are the rows. Throws
 * `InputError` if it has more, or if the numbers of a row do not lie side by side.
 */
export function rowsOf(tensor: StoredTensor): StoredRows {
  const { source, element, littleEndian, begin } = tensor;
  const { name } = source;
  const { bytes } = element;
  const shape = [...tensor.shape];
  const strides = [...tensor.strides];
  const columns = shape.pop() ?? 1;
  const columnStride = strides.pop() ?? 1;
  if (columns > maxColumns) {
    throw new InputError(`${name}: ${shapeText(tensor.shape)} has ${columns} columns; the maximum is ${maxColumns}`);
  }
  if (columnStride !== 1 && columns > 1) {
    throw new InputError(
      `${name}: the array is in Fortran (column-major) order or transposed, which cannot be read in pieces; ` +
        "save numpy.ascontiguousarray(array) or tensor.contiguous()",
    );
  }
  // Neighbouring dimensions become one where the step between their entries is the same.
  for (let i = shape.length - 2; i >= 0; i--) {
    if (strides[i] !== strides[i + 1] * shape[i + 1] && shape[i] !== 1 && shape[i + 1] !== 1) continue;
    const stride = shape[i + 1] === 1 ? strides[i] : strides[i + 1];
    shape.splice(i, 2, shape[i] * shape[i + 1]);
    strides.splice(i, 2, stride);
  }
  if (shape.length > 2) {
    throw new InputError(
      `${name}: the strides of ${shapeText(tensor.shape)} cannot be read in pieces; save a copy of it`,
    );
  }
  const inner = shape.at(-1) ?? 1;
  const innerStride = strides.at(-1) ?? columns;
  const outerStride = shape.length === 2 ? strides[0] : 0;
  const rows = valuesOf(shape);

  const gap = innerStride * bytes;
  const atOnce =
    gap > Math.max(maxGapBytes, columns * bytes)
      ? 1
      : Math.max(1, Math.floor((pieceBytes - columns * bytes) / gap) + 1);
  const spanValues = (count: number) => (count - 1) * innerStride + columns;
  const most = spanValues(Math.min(atOnce, inner));

  async function readSpan(into: Float32Array | Float64Array, start: number, row: number, count: number): Promise<void> {
    const values = spanValues(count);
    const offset = Math.floor(row / inner) * outerStride + (row % inner) * innerStride;
    const raw = takeScratch(most * bytes);
    try {
      const piece = new Uint8Array(raw, 0, values * bytes);
      await fillBytes(source, piece, begin + offset * bytes);
      toMachineOrder(piece, bytes, littleEndian);
      if (innerStride === columns || count === 1) {
        element.decode(raw, values, into, start);
        return;
      }
      const spread = new Float64Array(takeScratch(8 * values), 0, values);
      element.decode(raw, values, spread, 0);
      for (let i = 0; i < count; i++) {
        const from = i * innerStride;
        for (let column = 0; column < columns; column++) into[start + i * columns + column] = spread[from + column];
      }
      giveScratch(spread.buffer);
    } finally {
      giveScratch(raw);
    }
  }

  return {
    name,
    element,
    rows,
    columns,
    async read(into, start, row, count) {
      for (let done = 0; done < count; ) {
        const now = Math.min(count - done, atOnce, inner - ((row + done) % inner));
        await readSpan(into, start + done * columns, row + done, now);
        done += now;
      }
    },
  };
}
