import { Float16Array } from "@petamoriken/float16";

type Decode = (raw: ArrayBuffer, count: number, into: Float32Array | Float64Array, start: number) => void;

/** How a binary file stores one number. */
export interface ElementType {
  readonly name: string;
  readonly bytes: number;
  readonly kind: "float" | "integer" | "boolean";
  /** Converts the first `count` numbers of `raw`, in the machine's byte order, to `into[start …]`. */
  readonly decode: Decode;
}

const machineIsLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** The number types that the machine has arrays of. */
type Numbers = new (raw: ArrayBuffer, offset: number, count: number) => ArrayLike<number>;

function fromNumbers(Numbers: Numbers): Decode {
  return (raw, count, into, start) => into.set(new Numbers(raw, 0, count), start);
}

function fromTable(table: () => Float32Array): Decode {
  return (raw, count, into, start) => {
    const bits = new Uint16Array(raw, 0, count);
    const values = table();
    for (let i = 0; i < count; i++) into[start + i] = values[bits[i]];
  };
}

/** Reads 64-bit integers from their 32-bit halves: exact up to 2^53 and far faster than through BigInt. */
function fromHalves(High: typeof Int32Array | typeof Uint32Array): Decode {
  const low = machineIsLittleEndian ? 0 : 1;
  return (raw, count, into, start) => {
    const lowHalves = new Uint32Array(raw, 0, 2 * count);
    const highHalves = new High(raw, 0, 2 * count);
    for (let i = 0; i < count; i++) {
      into[start + i] = highHalves[2 * i + 1 - low] * 4_294_967_296 + lowHalves[2 * i + low];
    }
  };
}

/** Every number type of the binary readers, by name. */
export const elementTypes = {
  float16: { name: "float16", bytes: 2, kind: "float", decode: fromTable(float16Table) },
  bfloat16: { name: "bfloat16", bytes: 2, kind: "float", decode: fromTable(bfloat16Table) },
  float32: { name: "float32", bytes: 4, kind: "float", decode: fromNumbers(Float32Array) },
  float64: { name: "float64", bytes: 8, kind: "float", decode: fromNumbers(Float64Array) },
  int8: { name: "int8", bytes: 1, kind: "integer", decode: fromNumbers(Int8Array) },
  int16: { name: "int16", bytes: 2, kind: "integer", decode: fromNumbers(Int16Array) },
  int32: { name: "int32", bytes: 4, kind: "integer", decode: fromNumbers(Int32Array) },
  int64: { name: "int64", bytes: 8, kind: "integer", decode: fromHalves(Int32Array) },
  bool: { name: "bool", bytes: 1, kind: "boolean", decode: fromNumbers(Uint8Array) },
  uint8: { name: "uint8", bytes: 1, kind: "integer", decode: fromNumbers(Uint8Array) },
  uint16: { name: "uint16", bytes: 2, kind: "integer", decode: fromNumbers(Uint16Array) },
  uint32: { name: "uint32", bytes: 4, kind: "integer", decode: fromNumbers(Uint32Array) },
  uint64: { name: "uint64", bytes: 8, kind: "integer", decode: fromHalves(Uint32Array) },
} as const satisfies Record<string, ElementType>;

/** Converts `raw`'s numbers of `bytes` bytes each from the file's byte order to the machine's, in place. */
export function toMachineOrder(raw: Uint8Array, bytes: number, littleEndian: boolean): void {
  if (littleEndian === machineIsLittleEndian) return;
  for (let begin = 0; begin < raw.length; begin += bytes) {
    for (let low = begin, high = begin + bytes - 1; low < high; low++, high--) {
      const byte = raw[low];
      raw[low] = raw[high];
      raw[high] = byte;
    }
  }
}

let float16Values: Float32Array | null = null;
let bfloat16Values: Float32Array | null = null;

/** `[65536]`, the exact float32 value of each IEEE binary16 bit pattern. A look-up is faster than decoding bits. */
export function float16Table(): Float32Array {
  if (float16Values === null) {
    const patterns = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);
    float16Values = Float32Array.from(new Float16Array(patterns.buffer));
  }
  return float16Values;
}

/** `[65536]`, the float32 value of each bfloat16 bit pattern: the upper half of a float32. */
export function bfloat16Table(): Float32Array {
  if (bfloat16Values === null) {
    bfloat16Values = new Float32Array(Uint32Array.from({ length: 65_536 }, (_, bits) => bits << 16).buffer);
  }
  return bfloat16Values;
}
