/**
 * Four experts at a time; the sums are compared in float64, and the movers follow the comparison's mask, narrowed to 32
 * bits a lane.
 */
export function leastLosses(
  joining: usize,
  held: usize,
  first: i32,
  next: usize,
  topK: i32,
  experts: i32,
  loss: usize,
  mover: usize,
): void {
  const whole = experts & ~3;
  for (let e: usize = 0; e <= <usize>experts; e++) {
    store<f64>(loss + (e << 3), Infinity);
    store<i32>(mover + (e << 2), -1);
  }
  const groundLoss = loss + ((<usize>experts) << 3);
  const groundMover = mover + ((<usize>experts) << 2);
  for (let pair = first; pair >= 0; pair = load<i32>(next + ((<usize>pair) << 2))) {
    const row = joining + (((<usize>(pair / topK)) * experts) << 3);
    const score = load<f64>(held + ((<usize>pair) << 3));
    const from = f64x2.splat(score);
    const own = i32x4.splat(pair);
    let e = 0;
    for (; e < whole; e += 4) {
      const at = (<usize>e) << 3;
      const least0 = v128.load(loss + at);
      const least1 = v128.load(loss + at, 16);
      const lost0 = f64x2.sub(from, v128.load(row + at));
      const lost1 = f64x2.sub(from, v128.load(row + at, 16));
      const less0 = f64x2.lt(lost0, least0);
      const less1 = f64x2.lt(lost1, least1);
      if (!v128.any_true(v128.or(less0, less1))) continue;
      v128.store(loss + at, v128.bitselect(lost0, least0, less0));
      v128.store(loss + at, v128.bitselect(lost1, least1, less1), 16);
      const movers = mover + ((<usize>e) << 2);
      const less = v128.shuffle<i32>(less0, less1, 0, 2, 4, 6);
      v128.store(movers, v128.bitselect(own, v128.load(movers), less));
    }
    for (; e < experts; e++) {
      const at = (<usize>e) << 3;
      const lost = score - load<f64>(row + at);
      if (lost >= load<f64>(loss + at)) continue;
      store<f64>(loss + at, lost);
      store<i32>(mover + ((<usize>e) << 2), pair);
    }
    if (score < load<f64>(groundLoss)) {
      store<f64>(groundLoss, score);
      store<i32>(groundMover, pair);
    }
  }
}
