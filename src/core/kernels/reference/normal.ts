const generators = 4;

/** Advances generator `g` of `state` (word w at `4·w + g`) and returns its 32-bit output: xoshiro128++. */
function nextWord(state: Uint32Array, g: number): number {
  const [first, second, third, fourth] = [g, generators + g, 2 * generators + g, 3 * generators + g];
  const sum = (state[first] + state[fourth]) | 0;
  const word = (((sum << 7) | (sum >>> 25)) + state[first]) >>> 0;
  const shifted = state[second] << 9;
  state[third] ^= state[first];
  state[fourth] ^= state[second];
  state[second] ^= state[third];
  state[first] ^= state[fourth];
  state[third] ^= shifted;
  state[fourth] = (state[fourth] << 11) | (state[fourth] >>> 21);
  return word;
}

/**
 * Standard normals in rounds of eight: every generator draws a radius, then every generator an angle, and generator g
 * gives `out[g] = radius·cos` and `out[4 + g] = radius·sin`. A round that is only partly needed is drawn whole.
 *
 * The radius is that of a uniform from (0, 1] of 31 bits. Of the angle's word the highest bit chooses the half circle,
 * the others the angle within it. Both are rounded to float32 as in the WebAssembly kernel.
 */
export function fillNormal(state: Uint32Array, out: Float32Array, length: number): void {
  const radius = new Float64Array(generators);
  for (let start = 0; start < length; start += 2 * generators) {
    for (let g = 0; g < generators; g++) {
      const uniform = Math.fround(Math.fround(nextWord(state, g) >>> 1) + 1) * 2 ** -31;
      radius[g] = Math.sqrt(-2 * Math.log(uniform));
    }
    for (let g = 0; g < generators; g++) {
      const word = nextWord(state, g);
      const angle = 2 * Math.PI * Math.fround(word << 1) * 2 ** -33;
      const side = word < 2 ** 31 ? 1 : -1;
      if (start + g < length) out[start + g] = radius[g] * side * Math.cos(angle);
      if (start + generators + g < length) out[start + generators + g] = radius[g] * Math.sin(angle);
    }
  }
}

export function addNormal(
  state: Uint32Array,
  values: Float32Array,
  deviation: number,
  length: number,
  out: Float32Array,
): void {
  const normals = new Float32Array(length);
  fillNormal(state, normals, length);
  for (let i = 0; i < length; i++) out[i] = values[i] + Math.fround(deviation) * normals[i];
}
