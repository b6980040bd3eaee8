import { exp64 } from "./exp";
import { hostLog } from "./host";

// Every term is off the diagonal and of one sign, so that no entry suffers from cancellation: only the upper triangle
// of −Σ_t p̃_i·p̃_j/σ is summed, and a diagonal entry is minus the sum of its row. Rows of the plan that keep few entries
// add theirs singly; fuller ones are gathered by fours and added as whole rows of the triangle.

/**
 * Bytes of scratch that {@link entropicHessian} needs: experts and masses of a row's kept entries, four full rows, each
 * with a factor.
 */
export function entropicHessianScratch(experts: i32): usize {
  return 12 * (<usize>experts) + 32 * (<usize>experts) + 48;
}

/**
 * Writes the experts of a row's entries with log p ≥ `least`, ascending, and their masses; returns how many there are.
 */
function keepEntries(
  row: usize,
  inverse: f64,
  potential: usize,
  rowLogSum: f64,
  least: f64,
  experts: i32,
  mass: usize,
  kept: usize,
): i32 {
  const factor = f64x2.splat(inverse);
  const origin = f64x2.splat(rowLogSum);
  const limit = f64x2.splat(least);
  let count = 0;
  for (let e = 0; e < experts; e += 2) {
    const single = e + 1 == experts;
    const from = row + ((<usize>e) << 2);
    const column = potential + ((<usize>e) << 3);
    const z = f64x2.promote_low_f32x4(single ? v128.load32_zero(from) : v128.load64_zero(from));
    const g = single ? v128.load64_zero(column) : v128.load(column);
    const x = f64x2.sub(f64x2.add(f64x2.mul(z, factor), g), origin);
    const lanes = i64x2.bitmask(f64x2.ge(x, limit));
    if (lanes == 0) continue;
    const p = exp64(x);
    if (lanes & 1) {
      store<f64>(mass + ((<usize>count) << 3), f64x2.extract_lane(p, 0));
      store<i32>(kept + ((<usize>count) << 2), e);
      count++;
    }
    if (lanes & 2 && !single) {
      store<f64>(mass + ((<usize>count) << 3), f64x2.extract_lane(p, 1));
      store<i32>(kept + ((<usize>count) << 2), e + 1);
      count++;
    }
  }
  return count;
}

/** Takes mass_i·mass_j/σ of each pair of kept entries from the upper triangle. */
function subtractPairs(mass: usize, kept: usize, count: i32, inverseSum: f64, experts: i32, hessian: usize): void {
  const masses = mass + ((<usize>count) << 3);
  for (let i = mass, entry = kept; i < masses; i += 8, entry += 4) {
    const scale = load<f64>(i) * inverseSum;
    const row = hessian + ((<usize>load<i32>(entry) * <usize>experts) << 3);
    for (let j = i + 8, other = entry + 4; j < masses; j += 8, other += 4) {
      const at = row + ((<usize>load<i32>(other)) << 3);
      store<f64>(at, load<f64>(at) - scale * load<f64>(j));
    }
  }
}

/** Takes Σ_r factor_r·row_r[i]·row_r[j] of four full rows from the upper triangle. */
function subtractRows(rows: usize, factors: usize, experts: i32, hessian: usize): void {
  const width = (<usize>experts) << 3;
  for (let i: usize = 0; i < width; i += 8) {
    const s0 = load<f64>(factors) * load<f64>(rows + i);
    const s1 = load<f64>(factors, 8) * load<f64>(rows + width + i);
    const s2 = load<f64>(factors, 16) * load<f64>(rows + 2 * width + i);
    const s3 = load<f64>(factors, 24) * load<f64>(rows + 3 * width + i);
    if (s0 == 0 && s1 == 0 && s2 == 0 && s3 == 0) continue;
    const to = hessian + i * (<usize>experts);
    const f0 = f64x2.splat(s0);
    const f1 = f64x2.splat(s1);
    const f2 = f64x2.splat(s2);
    const f3 = f64x2.splat(s3);
    let j = i + 8;
    for (; j + 16 <= width; j += 16) {
      let row = rows + j;
      const low = f64x2.add(f64x2.mul(f0, v128.load(row)), f64x2.mul(f1, v128.load((row += width))));
      const high = f64x2.add(f64x2.mul(f2, v128.load((row += width))), f64x2.mul(f3, v128.load(row + width)));
      v128.store(to + j, f64x2.sub(v128.load(to + j), f64x2.add(low, high)));
    }
    if (j < width) {
      const row = rows + j;
      const low = s0 * load<f64>(row) + s1 * load<f64>(row + width);
      const high = s2 * load<f64>(row + 2 * width) + s3 * load<f64>(row + 3 * width);
      store<f64>(to + j, load<f64>(to + j) - (low + high));
    }
  }
}

/** Mirrors the upper triangle and makes every row sum to 0. */
function completeLaplacian(experts: i32, hessian: usize): void {
  const width = (<usize>experts) << 3;
  for (let i: usize = 0; i < width; i += 8) {
    const row = hessian + i * (<usize>experts);
    let sum: f64 = 0;
    for (let j: usize = 0; j < i; j += 8) {
      const value = load<f64>(hessian + j * (<usize>experts) + i);
      store<f64>(row + j, value);
      sum -= value;
    }
    for (let j = i + 8; j < width; j += 8) sum -= load<f64>(row + j);
    store<f64>(row + i, sum);
  }
}

export function entropicHessian(
  logits: usize,
  epsilon: f64,
  potential: usize,
  rowLogSum: usize,
  threshold: f64,
  tokens: i32,
  experts: i32,
  hessian: usize,
  scratch: usize,
): void {
  const width = (<usize>experts) << 3;
  const rows = scratch;
  const factors = rows + 4 * width;
  const mass = factors + 32;
  const kept = mass + width;
  const least = hostLog(threshold);
  memory.fill(hessian, 0, width * (<usize>experts));
  let gathered: usize = 0;
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = logits + t * (width >> 1);
    const count = keepEntries(row, 1 / epsilon, potential, load<f64>(rowLogSum + (t << 3)), least, experts, mass, kept);
    if (count < 2) continue;
    let sum: f64 = 0;
    for (let i: usize = 0; i < <usize>count; i++) sum += load<f64>(mass + (i << 3));
    if (2 * count <= experts) {
      subtractPairs(mass, kept, count, 1 / sum, experts, hessian);
      continue;
    }
    const full = rows + gathered * width;
    memory.fill(full, 0, width);
    for (let i: usize = 0; i < <usize>count; i++) {
      store<f64>(full + ((<usize>load<i32>(kept + (i << 2))) << 3), load<f64>(mass + (i << 3)));
    }
    store<f64>(factors + (gathered << 3), 1 / sum);
    if (++gathered == 4) {
      subtractRows(rows, factors, experts, hessian);
      gathered = 0;
    }
  }
  if (gathered > 0) {
    memory.fill(rows + gathered * width, 0, (4 - gathered) * width);
    subtractRows(rows, factors, experts, hessian);
  }
  completeLaplacian(experts, hessian);
}
