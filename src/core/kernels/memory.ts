const pageBytes = 65536;
// One page less than 4 GiB, so that the address after the last byte is still a 32-bit number.
const maximumPages = 65535;

/**
 * Hands out 16-byte aligned pieces of a WebAssembly memory and never takes one back. The memory is shared because
 * growing it then leaves every earlier view valid: a shared buffer cannot be detached.
 */
export interface LinearMemory {
  /** Address of `bytes` zero bytes. Throws `RangeError` when the memory's 4 GiB do not hold them. */
  allocate(bytes: number): number;
  /** The buffer that reaches at least to the end of everything allocated so far. */
  buffer(): ArrayBufferLike;
  /** The address of `array`, whose buffer must be one that {@link buffer} returned. Throws `TypeError` otherwise. */
  addressOf(array: ArrayBufferView): number;
}

/** What is needed of a shared `WebAssembly.Memory`. */
export interface GrowableMemory {
  readonly buffer: ArrayBufferLike;
  grow(pages: number): number;
}

/** @param start the first free byte */
export function createLinearMemory(memory: GrowableMemory, start: number): LinearMemory {
  // Every growth makes a new buffer object over the same bytes.
  const buffers = new WeakSet<ArrayBufferLike>([memory.buffer]);
  let end = start;
  let current: ArrayBufferLike = memory.buffer;
  return {
    allocate(bytes) {
      const address = Math.ceil(end / 16) * 16;
      const pages = Math.ceil((address + bytes) / pageBytes);
      if (pages > maximumPages) {
        throw new RangeError(
          `The kernels' memory is limited to 4 GiB: ${bytes} bytes were asked for, ` +
            `${maximumPages * pageBytes - address} are left.`,
        );
      }
      const missing = pages - current.byteLength / pageBytes;
      if (missing > 0) {
        try {
          memory.grow(missing);
        } catch (cause) {
          throw new RangeError(`The system has no memory for the ${bytes} bytes that the kernels asked for.`, {
            cause,
          });
        }
        current = memory.buffer;
        buffers.add(current);
      }
      end = address + bytes;
      return address;
    },
    buffer: () => current,
    addressOf(array) {
      if (!buffers.has(array.buffer)) {
        throw new TypeError("A kernel was given an array that its own instance did not allocate.");
      }
      return array.byteOffset;
    },
  };
}
