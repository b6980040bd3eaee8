/** See `mix-word.ts`. */
// @ts-ignore: decorator
@inline
function mixWord(word: i32): i32 {
  let mixed = <u32>word;
  mixed = (mixed ^ (mixed >> 16)) * 0x85ebca6b;
  mixed = (mixed ^ (mixed >> 13)) * 0xc2b2ae35;
  return <i32>(mixed ^ (mixed >> 16));
}

// @ts-ignore: decorator
@inline
function step(hash: i32, at: usize): i32 {
  return mixWord(hash ^ load<i32>(at)) + 0x9e3779b9;
}

/** Four rows at a time: each step of a row waits for the one before it, those of other rows do not. */
export function hashRows(values: usize, seed: i32, tokens: i32, experts: i32, hash: usize): void {
  const width = (<usize>experts) << 2;
  let t: usize = 0;
  for (; t + 4 <= <usize>tokens; t += 4) {
    const row = values + t * width;
    let h0 = seed, h1 = seed, h2 = seed, h3 = seed;
    for (let at = row; at < row + width; at += 4) {
      h0 = step(h0, at);
      h1 = step(h1, at + width);
      h2 = step(h2, at + 2 * width);
      h3 = step(h3, at + 3 * width);
    }
    const to = hash + (t << 2);
    store<i32>(to, h0);
    store<i32>(to, h1, 4);
    store<i32>(to, h2, 8);
    store<i32>(to, h3, 12);
  }
  for (; t < <usize>tokens; t++) {
    const row = values + t * width;
    let h = seed;
    for (let at = row; at < row + width; at += 4) h = step(h, at);
    store<i32>(hash + (t << 2), h);
  }
}
