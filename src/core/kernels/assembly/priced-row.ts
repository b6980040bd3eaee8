// A row of values v_e = score[e] − price[e] in float64, of which only the largest matter: bounds from below that leave
// few of them, and those few, packed.

/** The groups of {@link groupBound}: a power of two, at least twice `topK`. */
function groupsFor(topK: i32): i32 {
  let groups = 16;
  while (groups < 2 * topK) groups <<= 1;
  return groups;
}

/** Bytes of scratch that {@link groupBound} needs. */
export function groupScratch(topK: i32): usize {
  return (<usize>(groupsFor(topK) + topK)) << 3;
}

/**
 * A number that at least `topK` values reach, or −∞: the `topK`-th largest of the maxima of equally many values each.
 * With twice as many maxima as `topK` about 1.4·topK values reach it.
 */
export function groupBound(row: usize, price: usize, experts: i32, topK: i32, scratch: usize): f64 {
  const groups = groupsFor(topK);
  if (groups > experts) return -Infinity;
  const size = (<usize>groups) << 3;
  const end = (<usize>experts) << 3;
  for (let at: usize = 0; at < size; at += 16) {
    v128.store(scratch + at, f64x2.sub(v128.load(row + at), v128.load(price + at)));
  }
  let from = size;
  for (; from + size <= end; from += size) {
    for (let at: usize = 0; at < size; at += 16) {
      const v = f64x2.sub(v128.load(row + from + at), v128.load(price + from + at));
      v128.store(scratch + at, f64x2.pmax(v128.load(scratch + at), v));
    }
  }
  for (let at: usize = 0; from + at < end; at += 8) {
    const v = load<f64>(row + from + at) - load<f64>(price + from + at);
    store<f64>(scratch + at, max(load<f64>(scratch + at), v));
  }
  return lastOfLargest(scratch, groups, topK, scratch + size);
}

/** The `rank`-th largest of `count` ≥ `rank` numbers; `sorted` has room for `rank`. */
export function lastOfLargest(values: usize, count: i32, rank: i32, sorted: usize): f64 {
  let filled = 0;
  for (let i = 0; i < count; i++) {
    const value = load<f64>(values + ((<usize>i) << 3));
    if (filled == rank && value <= load<f64>(sorted + ((<usize>(rank - 1)) << 3))) continue;
    let place = filled < rank ? filled++ : rank - 1;
    for (; place > 0; place--) {
      const before = load<f64>(sorted + ((<usize>(place - 1)) << 3));
      if (before >= value) break;
      store<f64>(sorted + ((<usize>place) << 3), before);
    }
    store<f64>(sorted + ((<usize>place) << 3), value);
  }
  return load<f64>(sorted + ((<usize>(rank - 1)) << 3));
}

/** Which of two values reach the bound, as all ones or zeros. */
// @ts-ignore: decorator
@inline
function reach(row: usize, price: usize, bound: v128): v128 {
  return f64x2.ge(f64x2.sub(v128.load(row), v128.load(price)), bound);
}

/**
 * Packs the values that are at least `bound` into `value`, in the order of their experts, and the experts into `expert`
 * (int32); returns how many there are.
 */
export function packAbove(row: usize, price: usize, experts: i32, bound: f64, value: usize, expert: usize): i32 {
  const least = f64x2.splat(bound);
  let count: usize = 0;
  let e = 0;
  for (; e + 8 <= experts; e += 8) {
    const at = (<usize>e) << 3;
    const from = row + at;
    const cost = price + at;
    const first = reach(from, cost, least);
    const second = reach(from + 16, cost + 16, least);
    const third = reach(from + 32, cost + 32, least);
    const fourth = reach(from + 48, cost + 48, least);
    if (!v128.any_true(v128.or(v128.or(first, second), v128.or(third, fourth)))) continue;
    let bits =
      i64x2.bitmask(first) | (i64x2.bitmask(second) << 2) | (i64x2.bitmask(third) << 4) | (i64x2.bitmask(fourth) << 6);
    for (; bits != 0; bits &= bits - 1) {
      const lane = ctz(bits);
      const entry = (<usize>lane) << 3;
      store<f64>(value + (count << 3), load<f64>(from + entry) - load<f64>(cost + entry));
      store<i32>(expert + (count << 2), e + lane);
      count++;
    }
  }
  for (; e < experts; e++) {
    const at = (<usize>e) << 3;
    const v = load<f64>(row + at) - load<f64>(price + at);
    if (v < bound) continue;
    store<f64>(value + (count << 3), v);
    store<i32>(expert + (count << 2), e);
    count++;
  }
  return <i32>count;
}
