import { InputError } from "../input-error.ts";
import { fillBytes, type Source } from "../source.ts";
import { type ElementType, toMachineOrder } from "./element-type.ts";
import { shapeText, type TensorReader, tensorSize } from "./tensor-reader.ts";

/** Bytes read at once; a multiple of every element size. */
const pieceBytes = 1 << 20;

/** Location of a tensor's numbers in a file, contiguous and row-major. */
export interface PackedLayout {
  readonly element: ElementType;
  readonly littleEndian: boolean;
  readonly shape: readonly number[];
  /** First byte of the data, and the first byte after it. */
  readonly begin: number;
  readonly end: number;
  /** Whether each number is a row of its own, whatever the shape. */
  readonly isFlat?: boolean;
}

/** Returns the bytes that the tensor takes. Throws `InputError` if they are not exactly those from `begin` to `end`. */
export function checkPacked(file: string, { element, shape, begin, end }: Omit<PackedLayout, "littleEndian">): number {
  const needed = shape.reduce((product, length) => product * length, 1) * element.bytes;
  const held = end - begin;
  if (needed === held) return needed;
  const problem = needed > held ? "truncated" : `${held - needed} bytes follow the data`;
  throw new InputError(
    `${file}: ${problem}: the header promises ${element.name} ${shapeText(shape)}, which takes ${needed} bytes, but the ` +
      `file has ${held}`,
  );
}

/**
 * Reads a tensor of contiguous numbers through one buffer of at most 1 MiB. Owns `file` from then on. Throws
 * `InputError` if the bytes from `begin` to `end` are not exactly those that the shape needs.
 */
export function readPackedTensor(file: Source, layout: PackedLayout): TensorReader {
  const { element, littleEndian, shape, begin, isFlat = false } = layout;
  const size = tensorSize(file.name, shape);
  const { rows, columns } = isFlat ? { rows: size.rows * size.columns, columns: 1 } : size;
  const needed = checkPacked(file.name, layout);

  const piece = new ArrayBuffer(Math.min(pieceBytes, needed));
  const valuesPerPiece = piece.byteLength / element.bytes;
  let row = 0;
  return {
    file: file.name,
    dtype: element.name,
    kind: element.kind,
    shape,
    rows,
    columns,
    async read(into, count) {
      const rowsNow = Math.min(count, rows - row);
      const values = rowsNow * columns;
      const offset = begin + row * columns * element.bytes;
      for (let done = 0; done < values; ) {
        const valuesNow = Math.min(valuesPerPiece, values - done);
        const raw = new Uint8Array(piece, 0, valuesNow * element.bytes);
        await fillBytes(file, raw, offset + done * element.bytes);
        toMachineOrder(raw, element.bytes, littleEndian);
        element.decode(piece, valuesNow, into, done);
        done += valuesNow;
      }
      row += rowsNow;
      return rowsNow;
    },
    close: async () => file.close?.(),
  };
}
