/** See `Kernels.gatherRows`. */
export function gatherRows(table: usize, index: usize, rows: i32, columns: i32, out: usize): void {
  const width = (<usize>columns) << 2;
  const vectors = width & ~15;
  for (let row: usize = 0; row < <usize>rows; row++) {
    const from = table + <usize>load<i32>(index + (row << 2)) * width;
    const to = out + row * width;
    let at: usize = 0;
    for (; at < vectors; at += 16) v128.store(to + at, v128.load(from + at));
    for (; at < width; at += 4) store<f32>(to + at, load<f32>(from + at));
  }
}
