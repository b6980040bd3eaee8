/** The golden ratio's fraction in 32 bits, the step of SplitMix. */
export const goldenStep = 0x9e3779b9;

/**
 * The finaliser of MurmurHash3 (Appleby 2011): every bit of a 32-bit word reaches every bit of the result. Signed, since
 * larger numbers would be allocated.
 */
export function mixWord(word: number): number {
  let mixed = word;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
