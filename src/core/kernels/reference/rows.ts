import { goldenStep, mixWord } from "../mix-word.ts";

export function addOffsets(
  values: Float32Array,
  offset: Float64Array,
  tokens: number,
  experts: number,
  out: Float32Array,
): void {
  for (let row = 0; row < tokens * experts; row += experts) {
    for (let e = 0; e < experts; e++) out[row + e] = values[row + e] + offset[e];
  }
}

export function gatherRows(
  table: Float32Array,
  index: Int32Array,
  rows: number,
  columns: number,
  out: Float32Array,
): void {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      out[row * columns + column] = table[index[row] * columns + column];
    }
  }
}

export function hashRows(values: Float32Array, seed: number, tokens: number, experts: number, hash: Int32Array): void {
  const words = new Int32Array(values.buffer, values.byteOffset, tokens * experts);
  for (let t = 0; t < tokens; t++) {
    let rowHash = seed | 0;
    for (let word = t * experts; word < (t + 1) * experts; word++) {
      rowHash = (mixWord(rowHash ^ words[word]) + goldenStep) | 0;
    }
    hash[t] = rowHash;
  }
}
