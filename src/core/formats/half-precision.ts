import { Float16Array } from "@petamoriken/float16";

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
