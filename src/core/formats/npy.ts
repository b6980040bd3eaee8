import { InputError } from "../input-error.ts";
import { readBytes, type Source } from "../source.ts";
import { type ElementType, elementTypes } from "./element-type.ts";
import { quoteName, shorten } from "./messages.ts";
import { checkPacked, packedStrides, type StoredTensor } from "./stored-tensor.ts";

const magic = "\x93NUMPY";
/** NumPy itself refuses headers over 10,000 bytes by default; a header with three dimensions takes about 100. */
const maxHeaderBytes = 1 << 16;

/** The number types of NumPy by code, without the byte order. */
export const npyElements: Readonly<Record<string, ElementType>> = {
  f2: elementTypes.float16,
  f4: elementTypes.float32,
  f8: elementTypes.float64,
  i1: elementTypes.int8,
  i2: elementTypes.int16,
  i4: elementTypes.int32,
  i8: elementTypes.int64,
  b1: elementTypes.bool,
  u1: elementTypes.uint8,
  u2: elementTypes.uint16,
  u4: elementTypes.uint32,
  u8: elementTypes.uint64,
};

interface NpyHeader {
  readonly element: ElementType;
  readonly littleEndian: boolean;
  readonly shape: readonly number[];
}

/**
 * Returns where the array of a NumPy `.npy` file lies: versions 1.0, 2.0 and 3.0, either byte order, C order, of floats (`f2`,
 * `f4`, `f8`), integers (`i1` … `i8`, `u1` … `u8`) or, if `allowsBooleans`, booleans (`b1`). Throws `InputError` for any other
 * file, before reading data.
 */
export async function storedNpy(file: Source, allowsBooleans = false): Promise<StoredTensor> {
  const { text, dataOffset } = await readHeaderText(file);
  const { element, littleEndian, shape } = parseNpyHeader(file.name, text);
  checkPacked(file.name, { element, shape, begin: dataOffset, end: file.byteLength });
  if (element.kind === "boolean" && !allowsBooleans) {
    throw new InputError(
      `${file.name}: booleans are no logits, choices or loads; a padding mask goes beside a recording`,
    );
  }
  return { source: file, element, littleEndian, shape, strides: packedStrides(shape), begin: dataOffset };
}

async function readHeaderText(file: Source): Promise<{ text: string; dataOffset: number }> {
  const prefix = await readBytes(file, 0, Math.min(12, file.byteLength));
  if (latin1(prefix.subarray(0, magic.length)) !== magic) {
    throw new InputError(`${file.name}: not a .npy file: it does not begin with \\x93NUMPY`);
  }
  if (file.byteLength < 10) throw new InputError(`${file.name}: truncated: a .npy file has at least 10 bytes`);
  const [major, minor] = [prefix[6], prefix[7]];
  if (major < 1 || major > 3 || minor !== 0) {
    throw new InputError(`${file.name}: .npy version ${major}.${minor} is not supported; expected 1.0, 2.0 or 3.0`);
  }
  const lengthBytes = major === 1 ? 2 : 4;
  if (file.byteLength < 8 + lengthBytes)
    throw new InputError(`${file.name}: truncated within the .npy header's length`);
  const view = new DataView(prefix.buffer);
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const dataOffset = 8 + lengthBytes + length;
  if (length > maxHeaderBytes) {
    throw new InputError(`${file.name}: the .npy header has ${length} bytes; the maximum is ${maxHeaderBytes}`);
  }
  if (dataOffset > file.byteLength) {
    throw new InputError(
      `${file.name}: truncated: the header should end at byte ${dataOffset}, but the file has ${file.byteLength} bytes`,
    );
  }
  const header = await readBytes(file, 8 + lengthBytes, dataOffset);
  return { text: major === 3 ? new TextDecoder().decode(header) : latin1(header), dataOffset };
}

/** One character per byte. What browsers call latin1 is Windows-1252. */
function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

const tokenPattern = /\s*(?:'([^'\\]*)'|"([^"\\]*)"|(True|False)|(0|[1-9]\d*)L?(?![\d.eEjJ_xXoObB])|([{}(),:]))/y;

/**
 * Parses the Python dictionary of a `.npy` header: a string `descr`, a boolean `fortran_order` and a tuple `shape`, in
 * any order, and nothing else.
 */
function parseNpyHeader(file: string, text: string): NpyHeader {
  const malformed = (what: string) =>
    new InputError(`${file}: malformed .npy header: ${what}; it reads ${quoteName(text)}`);
  tokenPattern.lastIndex = 0;
  function next(expected: string): { text?: string; truth?: boolean; integer?: number; mark?: string } {
    const at = tokenPattern.lastIndex;
    const match = tokenPattern.exec(text);
    if (match === null) throw malformed(`expected ${expected} at position ${at}`);
    const [, single, double, truth, integer, mark] = match;
    if (single !== undefined) return { text: single };
    if (double !== undefined) return { text: double };
    if (truth !== undefined) return { truth: truth === "True" };
    if (integer !== undefined) return { integer: Number(integer) };
    return { mark };
  }
  function expectMark(mark: string): void {
    if (next(`"${mark}"`).mark !== mark) throw malformed(`expected "${mark}"`);
  }
  function readShape(): number[] {
    expectMark("(");
    const lengths: number[] = [];
    for (;;) {
      const token = next("a dimension");
      if (token.mark === ")") return lengths;
      if (token.integer === undefined) throw malformed("shape is not a tuple of integers");
      lengths.push(token.integer);
      const after = next('"," or ")"');
      // In Python, (3) is a number and (3,) is the tuple.
      if (after.mark === ")" && lengths.length > 1) return lengths;
      if (after.mark !== ",") throw malformed("shape is not a tuple of integers");
    }
  }

  let descr: string | undefined;
  let fortranOrder: boolean | undefined;
  let shape: number[] | undefined;
  expectMark("{");
  for (;;) {
    const key = next('a key or "}"');
    if (key.mark === "}") break;
    expectMark(":");
    if (key.text === "descr" && descr === undefined) {
      descr = next("a simple dtype such as '<f4' (structured ones are not supported)").text;
      if (descr === undefined) throw malformed("descr is not a simple dtype such as '<f4'");
    } else if (key.text === "fortran_order" && fortranOrder === undefined) {
      fortranOrder = next("True or False").truth;
      if (fortranOrder === undefined) throw malformed("fortran_order is neither True nor False");
    } else if (key.text === "shape" && shape === undefined) {
      shape = readShape();
    } else {
      throw malformed("expected the keys descr, fortran_order and shape, once each");
    }
    const after = next('"," or "}"');
    if (after.mark === "}") break;
    if (after.mark !== ",") throw malformed('expected "," or "}"');
  }
  if (text.slice(tokenPattern.lastIndex).trim() !== "") throw malformed("text follows the dictionary");
  if (descr === undefined || fortranOrder === undefined || shape === undefined) {
    throw malformed("expected the keys descr, fortran_order and shape, once each");
  }

  const element = npyElements[descr.slice(1)];
  const order = descr[0];
  if (!Object.hasOwn(npyElements, descr.slice(1)) || !(order === "<" || order === ">" || order === "|")) {
    throw new InputError(
      `${file}: dtype '${shorten(descr)}' is not supported; < or > followed by one of ` +
        `${Object.keys(npyElements).join(", ")} is`,
    );
  }
  if (order === "|" && element.bytes > 1) throw malformed(`dtype '${shorten(descr)}' needs a byte order, < or >`);
  if (fortranOrder) {
    throw new InputError(
      `${file}: the array is in Fortran (column-major) order, which cannot be read in pieces; ` +
        "save numpy.ascontiguousarray(array)",
    );
  }
  return { element, littleEndian: order !== ">", shape };
}
