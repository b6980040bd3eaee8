import pickleparser from "pickleparser";
import { InputError } from "../input-error.ts";
import { bytesSource, readBytes, type Source } from "../source.ts";
import { type ElementType, elementTypes } from "./element-type.ts";
import { shorten } from "./messages.ts";
import { npyElements } from "./npy.ts";
import { checkedTensor, packedStrides, type StoredTensor } from "./stored-tensor.ts";
import { type ArchivedFile, openZip } from "./zip.ts";

/** Maximum bytes of a pickle, which is read whole; what PyTorch saves has its numbers outside of it. */
const maxPickleBytes = 1 << 27;

/**
 * A value of a pickle or a JSON document: a dictionary is a `Map`, lists and tuples are arrays. Whatever else a pickle may
 * hold is an {@link Opaque}.
 */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Value[]
  | Map<Value, Value>
  | Tensor
  | Opaque;

/** A tensor or NumPy array among the values. */
export class Tensor {
  readonly stored: StoredTensor;
  constructor(stored: StoredTensor) {
    this.stored = stored;
  }
}

/** Something that a pickle names and that holds no numbers: a type, a device. */
export class Opaque {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** Where a tensor of a PyTorch file has its numbers. */
class Storage extends Opaque {
  readonly source: Source;
  readonly element: ElementType;
  constructor(source: Source, element: ElementType) {
    super("storage");
    this.source = source;
    this.element = element;
  }
}

/** What a NumPy array is made of while its pickle is read: first without contents, then filled. */
class Unfilled extends Opaque {
  tensor: Tensor | null = null;
  __setstate__(state: unknown): void {
    const [, shape, type, isFortran, data] = state as unknown[];
    this.tensor = arrayOf(shape, type, isFortran, data);
  }
}

/** A NumPy number type while its pickle is read; its state tells the byte order. */
class NumberType extends Opaque {
  littleEndian = true;
  __setstate__(state: unknown): void {
    this.littleEndian = (state as unknown[])[1] !== ">";
  }
}

const torchElements: Readonly<Record<string, ElementType>> = {
  HalfStorage: elementTypes.float16,
  BFloat16Storage: elementTypes.bfloat16,
  FloatStorage: elementTypes.float32,
  DoubleStorage: elementTypes.float64,
  CharStorage: elementTypes.int8,
  ByteStorage: elementTypes.uint8,
  BoolStorage: elementTypes.uint8,
  ShortStorage: elementTypes.int16,
  IntStorage: elementTypes.int32,
  LongStorage: elementTypes.int64,
  UInt16Storage: elementTypes.uint16,
  UInt32Storage: elementTypes.uint32,
  UInt64Storage: elementTypes.uint64,
};

function fail(what: string): never {
  throw new Error(what);
}

/** Makes the array of shape `shape` whose bytes a pickle holds. */
function arrayOf(shape: unknown, type: unknown, isFortran: unknown, data: unknown): Tensor {
  if (!(type instanceof NumberType) || !Array.isArray(shape)) fail("it holds a malformed NumPy array");
  const element = Object.hasOwn(npyElements, type.name)
    ? npyElements[type.name]
    : fail("it holds an array of no numbers");
  if (isFortran === true && shape.length > 1) fail("it holds an array in Fortran order");
  if (!(data instanceof Uint8Array)) fail("it holds a malformed NumPy array");
  const source = bytesSource(new Uint8Array(data), "an array of the pickle");
  const { littleEndian } = type;
  return new Tensor(
    checkedTensor({ source, element, littleEndian, shape, strides: packedStrides(shape as number[]), begin: 0 }),
  );
}

function isList(value: unknown): value is unknown[] {
  return Array.isArray(value);
}

/** Makes the tensor that PyTorch describes by storage, first number, shape and strides. */
function torchTensor(storage: unknown, offset: unknown, shape: unknown, strides: unknown): Tensor {
  if (!(storage instanceof Storage) || typeof offset !== "number" || !isList(shape) || !isList(strides)) {
    fail("it holds a malformed tensor");
  }
  const { source, element } = storage;
  const begin = offset * element.bytes;
  return new Tensor(
    checkedTensor({
      source,
      element,
      littleEndian: true,
      shape: shape as number[],
      strides: strides as number[],
      begin,
    }),
  );
}

/**
 * The closed table of names: what a pickle may call, and what that makes. Nothing of Python is run. Each function takes
 * what the pickle passes, so none trusts its arguments.
 */
const callables: Readonly<Record<string, (...values: unknown[]) => unknown>> = {
  "collections.OrderedDict": (items) => mapOf(items),
  "collections.Counter": (items) => mapOf(items),
  "collections.defaultdict": (_factory, items) => mapOf(items),
  "torch._utils._rebuild_tensor": torchTensor,
  "torch._utils._rebuild_tensor_v2": torchTensor,
  "torch._utils._rebuild_parameter": (tensor) =>
    tensor instanceof Tensor ? tensor : fail("it holds a malformed tensor"),
  "torch.Size": (lengths) => (isList(lengths) ? lengths : fail("it holds a malformed shape")),
  "torch.device": () => new Opaque("device"),
  "_codecs.encode": (text, encoding) => {
    if (typeof text !== "string" || encoding !== "latin1") fail("it holds malformed bytes");
    return Uint8Array.from(text, (character) => character.charCodeAt(0));
  },
  "numpy.dtype": (code) => {
    if (typeof code !== "string") fail("it holds a malformed number type");
    return new NumberType(code);
  },
  ...Object.fromEntries(
    ["numpy.core.multiarray", "numpy._core.multiarray"].flatMap((module) => [
      [`${module}._reconstruct`, () => new Unfilled("array")],
      [`${module}.scalar`, scalarOf],
    ]),
  ),
  "numpy.core.numeric._frombuffer": arrayFromBuffer,
  "numpy._core.numeric._frombuffer": arrayFromBuffer,
};

/** Names that stand for themselves, to be passed to one of the functions. */
const markers: ReadonlySet<string> = new Set([
  "numpy.ndarray",
  "builtins.int",
  "builtins.float",
  "builtins.list",
  "builtins.dict",
  "torch.storage.UntypedStorage",
  ...["float16", "bfloat16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"].map(
    (type) => `torch.${type}`,
  ),
]);

function mapOf(items: unknown): Map<unknown, unknown> {
  if (items === undefined) return new Map();
  if (items instanceof Map) return new Map(items);
  if (isList(items) && items.every((item) => isList(item) && item.length === 2))
    return new Map(items as [unknown, unknown][]);
  return fail("it holds a malformed dictionary");
}

/** A NumPy number as one of JavaScript. */
function scalarOf(type: unknown, data: unknown): unknown {
  if (!(type instanceof NumberType) || !(data instanceof Uint8Array)) fail("it holds a malformed number");
  const element = Object.hasOwn(npyElements, type.name) ? npyElements[type.name] : fail("it holds a malformed number");
  if (data.length !== element.bytes) fail("it holds a malformed number");
  const bytes = type.littleEndian ? new Uint8Array(data) : new Uint8Array(data).reverse();
  const number = new Float64Array(1);
  element.decode(bytes.buffer, 1, number, 0);
  return number[0];
}

/** An array whose bytes stand beside it, as NumPy writes it with pickle's protocol 5. */
function arrayFromBuffer(data: unknown, type: unknown, shape: unknown, order: unknown): unknown {
  return arrayOf(shape, type, order === "F", data);
}

/** Reads no byte twice, so that a damaged length cannot send the parser back. */
class ForwardReader extends pickleparser.BufferReader {
  override skip(bytes: number): void {
    if (!(bytes >= 0)) throw new Error("it holds a negative length");
    super.skip(bytes);
  }
}

/**
 * Reads a pickle of protocol 0 to 5. Only names of a closed table may appear in it; nothing is executed. Throws
 * `InputError` for any other name, and if the pickle is damaged or too large.
 *
 * @param persistent returns the storage with an identifier of PyTorch's
 */
function parsePickle(name: string, bytes: Uint8Array, persistent?: (identifier: unknown) => Storage): Value {
  const parser = new pickleparser.Parser({
    unpicklingTypeOfDictionary: "Map",
    nameResolver: {
      resolve(module, global) {
        const path = `${module}.${global}`;
        if (Object.hasOwn(callables, path)) return Object.freeze((...values: unknown[]) => callables[path](...values));
        const isStorage = module === "torch" && Object.hasOwn(torchElements, global);
        // The library returns what it gets; only functions of the table can be called.
        if (isStorage || markers.has(path)) return Object.freeze(new Opaque(isStorage ? global : path)) as never;
        throw new InputError(
          `${name}: refused: it names ${shorten(path)}, which is not on the list of what routing data needs. Nothing ` +
            "was executed; save tensors, lists, dictionaries and numbers only",
        );
      },
    },
    persistentResolver: {
      resolve: (identifier: unknown) =>
        persistent === undefined ? fail("it refers to storages outside of it") : persistent(identifier),
    },
  });
  // The library warns of numbers beyond 2^53 by printing them. They are no counts, and nothing of a file is to be printed.
  const { warn } = console;
  console.warn = () => {};
  try {
    return filled(parser.read(new ForwardReader(bytes)), { left: 4 * bytes.length + 64 });
  } catch (error) {
    if (error instanceof InputError) throw error.message.startsWith(name) ? error : error.within(`${name}: `);
    // Whatever a damaged pickle makes of its pieces ends here: the parser checks none of them.
    throw new InputError(`${name}: malformed pickle: ${shorten((error as Error).message)}`);
  } finally {
    console.warn = warn;
  }
}

/** Maximum depth of lists within lists. */
const maxDepth = 16;

/**
 * Returns `value` with finished arrays. Throws `Error` if it nests deeper than data does, or refers to its own parts so
 * often that it has far more values than bytes.
 */
function filled(value: unknown, budget: { left: number }, depth = 0): Value {
  budget.left -= 1;
  if (budget.left < 0) fail("it repeats its own parts");
  if (depth > maxDepth) fail("it nests too deeply");
  if (value instanceof Unfilled) return value.tensor ?? fail("it holds an array without contents");
  if (isList(value)) return value.map((each) => filled(each, budget, depth + 1));
  if (value instanceof Map) {
    if (Object.keys(value).length > 0) fail("it holds a dictionary in a form that is not supported");
    return new Map(
      Array.from(value, ([key, each]) => [filled(key, budget, depth + 1), filled(each, budget, depth + 1)] as const),
    );
  }
  if (typeof value === "function" || typeof value === "symbol") return new Opaque("name");
  if (typeof value === "object" && value !== null && !(value instanceof Uint8Array || value instanceof Tensor)) {
    return value instanceof Opaque ? value : new Opaque("object");
  }
  return (value ?? null) as Value;
}

async function readPickle(file: Source): Promise<Uint8Array> {
  if (file.byteLength > maxPickleBytes) {
    throw new InputError(`${file.name}: the pickle has ${file.byteLength} bytes; the maximum is ${maxPickleBytes}`);
  }
  return readBytes(file, 0, file.byteLength);
}

/** Whether `head` begins like a pickle of protocol 2 or later. */
export function isPickle(head: Uint8Array): boolean {
  return head[0] === 0x80 && head[1] >= 2 && head[1] <= 5;
}

/** What a PyTorch file before version 1.6 begins with: a pickle of one long number. */
const legacyTorch = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/** Reads a pickle file (`.pkl`). Throws `InputError`. */
export async function openPickle(file: Source): Promise<Value> {
  const bytes = await readPickle(file);
  if (legacyTorch.every((byte, i) => bytes[2 + i] === byte)) {
    throw new InputError(
      `${file.name}: PyTorch's old format, before 1.6; load it there and torch.save it again, and it can be read`,
    );
  }
  return parsePickle(file.name, bytes);
}

/** Returns the pickle of a PyTorch file among the files of an archive; undefined if it is none. */
export function torchPickle(files: readonly ArchivedFile[]): ArchivedFile | undefined {
  return files.find(({ path }) => /^[^/]+\/data\.pkl$/.test(path));
}

/**
 * Reads a PyTorch file (`.pt`, 1.6 and later): a stored zip archive of a pickle and of storages, which stay in the file
 * until they are read. Throws `InputError`.
 */
export async function openTorch(file: Source, files?: readonly ArchivedFile[]): Promise<Value> {
  const archived = files ?? (await openZip(file));
  const pickle = torchPickle(archived);
  if (pickle === undefined) throw new InputError(`${file.name}: not a PyTorch file: it has no data.pkl`);
  const folder = pickle.path.slice(0, -"data.pkl".length);
  const byPath = new Map(archived.map((each) => [each.path, each]));
  const order = byPath.get(`${folder}byteorder`);
  if (order !== undefined && (await textOf(order)) === "big") {
    throw new InputError(`${file.name}: it was written on a big-endian machine, which is not supported`);
  }
  const bytes = await readPickle(await pickle.open());
  // The parser cannot wait for storages, so it gets sources that open theirs when they are read.
  return parsePickle(file.name, bytes, (identifier) => {
    if (!isList(identifier) || identifier.length < 5) fail("it refers to a malformed storage");
    const [kind, type, key, , count] = identifier;
    const element = type instanceof Opaque && Object.hasOwn(torchElements, type.name) ? torchElements[type.name] : null;
    if (kind !== "storage" || element === null) fail("it refers to a storage of a type that is not supported");
    const entry = byPath.get(`${folder}data/${String(key)}`);
    if (entry === undefined)
      throw new InputError(`${file.name}: truncated: the storage ${shorten(String(key))} is missing`);
    if (!(Number(count) * element.bytes <= entry.byteLength)) {
      throw new InputError(
        `${file.name}: truncated: the storage ${shorten(String(key))} has ${entry.byteLength} bytes; ` +
          `${Number(count) * element.bytes} are promised`,
      );
    }
    return new Storage(lazySource(file.name, entry), element);
  });
}

async function textOf(file: ArchivedFile): Promise<string> {
  const source = await file.open();
  return new TextDecoder().decode(await readBytes(source, 0, Math.min(source.byteLength, 16)));
}

/** Opens an archived file when it is read for the first time. */
function lazySource(name: string, entry: ArchivedFile): Source {
  let opened: Promise<Source> | null = null;
  const open = () => {
    opened ??= entry.open();
    return opened;
  };
  return {
    name,
    byteLength: entry.byteLength,
    slice: async (start, end) => (await open()).slice(start, end),
    async fill(into, start) {
      const source = await open();
      if (source.fill !== undefined) await source.fill(into, start);
      else into.set(await readBytes(source, start, start + into.length));
    },
  };
}
