/** Types of the compact protocol in Parquet; the low four bits of a field's or list's header. */
const stop = 0;
const byte = 3;
const double = 7;
const binary = 8;
const list = 9;
const struct = 12;

/** Maximum nesting of structs and lists. Parquet's own metadata needs eight. */
const maxDepth = 24;
/** Bytes of a 64-bit number at seven bits each. */
const maxVarintBytes = 10;
/** A struct becomes an object with all fields of its type, which takes more memory than its bytes. */
const structWeight = 4;
/** About 100,000 column chunks, at most about 200 MB of objects. */
const maxWeight = 1 << 22;

/**
 * Walks one struct of Thrift's compact protocol from `bytes[start]` without building anything, and returns the offset
 * after it. hyparquet's decoder trusts every length: five bytes can make it allocate gigabytes, and nested lists can
 * make it loop for hours. After this walk its work and memory are bounded by the bytes walked. Throws `Error` if the
 * struct is cut off, nests too deeply, holds too many values or has a type that Parquet does not use.
 */
export function checkThrift(bytes: Uint8Array, start: number): number {
  let offset = start;
  let weight = 0;

  function take(count: number): void {
    if (!(count <= bytes.length - offset)) throw new Error(`its metadata is cut off at byte ${bytes.length - start}`);
    offset += count;
  }
  function readByte(): number {
    take(1);
    return bytes[offset - 1];
  }
  function readVarint(): number {
    let value = 0;
    for (let place = 0; place < maxVarintBytes; place++) {
      const next = readByte();
      value += (next & 0x7f) * 2 ** (7 * place);
      if (next < 0x80) return value;
    }
    throw new Error("its metadata holds a number of more than 64 bits");
  }
  function count(amount: number): void {
    weight += amount;
    if (weight > maxWeight) throw new Error(`its metadata has more than ${maxWeight} values`);
  }

  function walkValue(type: number, depth: number): void {
    if (type === byte) take(1);
    else if (type > byte && type < double) readVarint();
    else if (type === double) take(8);
    else if (type === binary) take(readVarint());
    else if (type === list) walkList(depth + 1);
    else if (type === struct) walkStruct(depth + 1);
    else throw new Error(`its metadata has a value of unknown type ${type}`);
  }

  function walkList(depth: number): void {
    if (depth > maxDepth) throw new Error(`its metadata nests more than ${maxDepth} levels deep`);
    const header = readByte();
    const elementType = header & 0x0f;
    const short = header >> 4;
    const length = short === 15 ? readVarint() : short;
    // Every element takes at least one byte.
    if (length > bytes.length - offset) {
      throw new Error(
        `its metadata promises a list of ${length} elements, but only ${bytes.length - offset} bytes remain`,
      );
    }
    count(length);
    const isTruth = elementType === 1 || elementType === 2;
    for (let i = 0; i < length; i++) walkValue(isTruth ? byte : elementType, depth);
  }

  function walkStruct(depth: number): void {
    if (depth > maxDepth) throw new Error(`its metadata nests more than ${maxDepth} levels deep`);
    count(structWeight);
    for (;;) {
      const header = readByte();
      const type = header & 0x0f;
      if (type === stop) return;
      if (header >> 4 === 0) readVarint();
      count(1);
      // In a struct, the type itself encodes the boolean.
      if (type > 2) walkValue(type, depth);
    }
  }

  walkStruct(0);
  return offset;
}
