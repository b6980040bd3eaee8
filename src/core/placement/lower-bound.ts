/** Relative rounding error of sums and quotients of loads. */
const roundingError = 1e-12;

/** A load within this fraction above a lower bound is proven to be the least: the difference is rounding. */
export const provenError = 1e-9;

/**
 * Returns a proven lower bound on the load of the heaviest GPU, in pairs, over all placements on `gpus` GPUs with `slots`
 * slots, however many replicas each expert gets. It is the largest of
 *
 *     mean            Σ load / gpus
 *     heaviest split  the heaviest slot holds at least the λ of dealing every spare slot to the expert with the largest load
 *                     per replica, and the other slots of its GPU at least the lightest replicas of any numbers
 *     fixed replicas  with one slot per expert, {@link fixedReplicasBound}; integer loads then have an integer optimum
 *     counting        the largest λ that counting rules out. If no GPU exceeds λ, expert e has at least b_e = max(1, ⌈load_e / λ⌉)
 *                     replicas, and slots − Σ b spare replicas are left, which may be used in any way:
 *       crowded       no GPU has k + 1 replicas above λ / (k + 1), so at most k · gpus of all are, which costs an expert
 *                     ⌈(k + 1) · load_e / λ⌉ replicas or leaves it b_e such replicas; k = 1: two of the gpus + 1 heaviest share one
 *       company       a replica above λ − t, t ≤ λ / 2, shares its GPU with others below t only, so that there must be
 *                     slots / gpus − 1 of these for each; tried with up to four slots per GPU
 *                     Both are knapsacks over the spare replicas; their fractional optima bound them.
 *
 * It also holds with nodes and groups, which only narrow the choice.
 *
 * @param load `[experts]`, finite and ≥ 0
 * @param slots at least the number of experts, a multiple of `gpus`
 */
export function lowerBound(load: ArrayLike<number>, gpus: number, slots: number): number {
  const sorted = new Float64Array(load).sort().reverse();
  const total = sorted.reduce((sum, each) => sum + each, 0);
  if (total === 0) return 0;
  const heaviest = heaviestSplit(sorted, slots);
  let bound = Math.max(total / gpus, heaviest + lightest(sorted, slots - sorted.length, slots / gpus - 1));
  if (slots === sorted.length) bound = Math.max(bound, fixedReplicasBound(sorted, gpus));
  bound = leastRuledIn(sorted, gpus, slots, bound);
  return slots === sorted.length && sorted.every(Number.isInteger) ? Math.ceil(bound * (1 - roundingError)) : bound;
}

/** Returns `bound` or, by bisection, a higher load that counting replicas rules out, up to rounding the highest. */
function leastRuledIn(sorted: Float64Array, gpus: number, slots: number, bound: number): number {
  if (!isRuledOut(sorted, gpus, slots, bound)) return bound;
  let low = bound;
  let high = 2 * bound;
  while (isRuledOut(sorted, gpus, slots, high)) {
    low = high;
    high *= 2;
  }
  while (high - low > roundingError * high) {
    const middle = (low + high) / 2;
    if (isRuledOut(sorted, gpus, slots, middle)) low = middle;
    else high = middle;
  }
  return low;
}

/** The least possible load of the heaviest slot: each spare slot goes to the expert with the largest load per replica. */
function heaviestSplit(sorted: Float64Array, slots: number): number {
  const replicas = new Int32Array(sorted.length).fill(1);
  let heaviest = 0;
  for (let spare = slots - sorted.length; spare >= 0; spare--) {
    heaviest = 0;
    for (let e = 1; e < sorted.length; e++) {
      if (sorted[e] / replicas[e] > sorted[heaviest] / replicas[heaviest]) heaviest = e;
      // Later experts are lighter and have one replica as well.
      if (replicas[e] === 1) break;
    }
    if (spare > 0) replicas[heaviest] += 1;
  }
  return sorted[heaviest] / replicas[heaviest];
}

/**
 * The least possible load of `count` replicas of any counts that share `spare` replicas besides one per expert. For every
 * θ, Σ of the lightest `count` ≥ count·θ − Σ_e (θ·n_e − load_e)⁺, whose sum is convex in the counts n, so that it is largest
 * if one expert has all spare replicas. The best θ is one of the loads per replica.
 */
function lightest(sorted: Float64Array, spare: number, count: number): number {
  const experts = sorted.length;
  let best = 0;
  let below = 0;
  for (let e = experts - 1; e >= 0 && experts - e <= count + 1; e--) {
    const level = sorted[e];
    // `below` = Σ of (level − load) over lighter experts.
    if (e < experts - 1) below += (experts - 1 - e) * (level - sorted[e + 1]);
    let gain = 0;
    for (let other = experts - 1; other >= 0 && spare > 0; other--) {
      const alone = Math.max(0, level - sorted[other]);
      gain = Math.max(gain, Math.max(0, level * (1 + spare) - sorted[other]) - alone);
    }
    best = Math.max(best, count * level - below - gain);
  }
  return best;
}

/**
 * Returns a proven lower bound on the load of the heaviest GPU if the replicas are given, the heaviest first, and every GPU
 * takes equally many. The i heaviest, i ≤ gpus, are either on i GPUs, together with the lightest others at best, of which one
 * GPU has at least the mean and one has the heaviest; or two of them share a GPU. Of the k · gpus + 1 heaviest, k + 1 share one.
 */
export function fixedReplicasBound(sorted: Float64Array, gpus: number): number {
  const slotsPerGpu = sorted.length / gpus;
  const lightestSum = new Float64Array(sorted.length + 1);
  for (let n = 1; n <= sorted.length; n++) lightestSum[n] = lightestSum[n - 1] + sorted[sorted.length - n];
  let bound = 0;
  for (let i = 1; i <= gpus && slotsPerGpu > 1; i++) {
    const others = (slotsPerGpu - 1) * i;
    const heaviestOther = sorted[sorted.length - others] + lightestSum[slotsPerGpu - 2];
    const apart = sorted[i - 1] + Math.max(lightestSum[others] / i, heaviestOther);
    const shared = i === 1 ? Number.POSITIVE_INFINITY : 2 * sorted[i - 1] + lightestSum[slotsPerGpu - 2];
    bound = Math.max(bound, Math.min(apart, shared));
  }
  for (let k = 1; k < slotsPerGpu; k++) {
    let sum = lightestSum[slotsPerGpu - k - 1];
    for (let item = k * gpus - k; item <= k * gpus; item++) sum += sorted[item];
    bound = Math.max(bound, sum);
  }
  return bound;
}

/** Whether counting replicas proves that some GPU exceeds `limit`. */
function isRuledOut(sorted: Float64Array, gpus: number, slots: number, limit: number): boolean {
  const slotsPerGpu = slots / gpus;
  let spare = slots;
  for (const load of sorted) spare -= needs(load, limit);
  if (spare < 0) return true;
  for (let k = 1; k < slotsPerGpu; k++) if (isCrowded(sorted, k, gpus, spare, limit)) return true;
  return slotsPerGpu > 1 && slotsPerGpu <= mostCompanySlots && lacksCompany(sorted, slotsPerGpu, spare, limit);
}

/** Whether more than k · gpus replicas stay above `limit` / (k + 1), however `spare` replicas are used. */
function isCrowded(sorted: Float64Array, k: number, gpus: number, spare: number, limit: number): boolean {
  let excess = -k * gpus;
  const steps: Step[] = [];
  for (let e = 0; e < sorted.length && (k + 1) * sorted[e] > limit * (1 + roundingError); e++) {
    const count = needs(sorted[e], limit);
    const cost = needs((k + 1) * sorted[e], limit) - count;
    if (cost <= 0) continue;
    steps.push({ gain: count, cost });
    excess += count;
  }
  return excess > 0 && mostGain(steps, spare) < excess - 1e-9;
}

/**
 * Whether replicas above `limit` − t, each of which leaves room only for others below t, have too little company for some
 * t ≤ `limit` / 2, however `spare` replicas are used. Each spare replica of a light expert is one more light replica.
 */
function lacksCompany(sorted: Float64Array, slotsPerGpu: number, spare: number, limit: number): boolean {
  const heavy = Array.from(sorted, (load) => load / needs(load, limit))
    .filter((share) => 2 * share > limit * (1 + roundingError))
    .sort((a, b) => b - a);
  const stride = Math.max(1, Math.ceil(heavy.length / mostThresholds));
  for (let i = stride - 1; i < heavy.length; i += stride) {
    const light = limit - heavy[i] * (1 - 3 * roundingError);
    let missing = -spare;
    const steps: Step[] = [];
    for (const load of sorted) {
      const count = needs(load, limit);
      const toMedium = Math.max(count, needs(load, limit - light));
      const toLight = Math.floor((load / light) * (1 - roundingError)) + 1;
      if (load <= (limit - light) * (1 + roundingError) * count) {
        if (toLight <= count) missing -= count;
        else steps.push({ gain: count, cost: toLight - count });
        continue;
      }
      missing += (slotsPerGpu - 1) * count;
      // Medium on the way to light, unless light alone is the better bargain.
      const medium: Step = { gain: (slotsPerGpu - 1) * count - (toMedium - count), cost: toMedium - count };
      const whole: Step = { gain: slotsPerGpu * count, cost: toLight - count };
      if (medium.gain * whole.cost > whole.gain * medium.cost) {
        steps.push(medium, { gain: whole.gain - medium.gain, cost: whole.cost - medium.cost });
      } else steps.push(whole);
    }
    if (missing > 0 && mostGain(steps, spare) < missing - 1e-9) return true;
  }
  return false;
}

/** With more slots per GPU than this, the mean is almost always the best bound. */
const mostCompanySlots = 4;
/** How many thresholds are tried. */
const mostThresholds = 24;

/** Further replicas of one expert, and by how much they lower what must be lowered. */
interface Step {
  readonly gain: number;
  readonly cost: number;
}

/** Returns the most that `spare` replicas gain if steps can be taken in part: at least what they gain otherwise. */
function mostGain(steps: Step[], spare: number): number {
  steps.sort((a, b) => b.gain * a.cost - a.gain * b.cost);
  let [gained, left] = [0, spare];
  for (const { gain, cost } of steps) {
    if (left <= 0 || gain <= 0) break;
    const part = Math.min(1, left / cost);
    gained += part * gain;
    left -= part * cost;
  }
  return gained;
}

/** The fewest replicas with which none of them is above `limit`. */
function needs(load: number, limit: number): number {
  return Math.max(1, Math.ceil((load / limit) * (1 - roundingError)));
}
