/**
 * What chance alone does to balance: the imbalance that perfectly balanced routing shows in a batch of finite size. Measured
 * imbalance is only worth a remedy as far as it exceeds this.
 */

/** Units that share the pairs of a batch: experts, or the GPUs that hold them. */
export interface ChanceShape {
  /** Experts that a token can have. */
  readonly experts: number;
  /** How many of these experts each unit holds, with sum `experts`. */
  readonly unitSizes: readonly number[];
  /** Distinct experts per token; 1 if only loads are known, whose pairs are then drawn one by one. */
  readonly topK: number;
}

/** Terms of the distribution below this fraction of the largest one do not matter. */
const leastTerm = 1e-20;
/** Above this many tokens the largest load is normal, so the imbalance falls with the root of their number. */
const mostTokens = 2 ** 22;

/**
 * Returns a function of `tokens` that gives the expected largest load of a unit / the mean load of a unit − 1, ≥ 0, if each
 * token has `topK` distinct experts, every set of them equally likely. With experts as units this is their expected MaxVio.
 *
 * The load of a unit with s of E experts is taken as a binomial with the mean μ = T·K·s/E and the variance
 * μ·(1 − s/E)·(E − K)/(E − 1) of the hypergeometric draws, which is exact for single experts. Units are taken as independent,
 * and the expected distance of their maximum from the mean is then multiplied by √(U/(U − 1)) for U units, since their loads
 * have a fixed sum: exact in the limit of many tokens. Against sampling the result is within 3 % for loads of at least 1.
 * Results are kept for sizes that agree in three digits.
 */
export function createChanceImbalance({ experts, unitSizes, topK }: ChanceShape): (tokens: number) => number {
  const units = unitSizes.length;
  const counts = new Map<number, number>();
  for (const size of unitSizes) counts.set(size, (counts.get(size) ?? 0) + 1);
  const known = new Map<number, number>();

  function imbalance(tokens: number): number {
    if (units === 1 || topK >= experts || tokens === 0) return fixedImbalance(unitSizes);
    if (tokens > mostTokens) return imbalance(mostTokens) * Math.sqrt(mostTokens / tokens);
    const mean = (tokens * topK) / units;
    const distributions = Array.from(counts, ([size, count]) => {
      const share = size / experts;
      const spread = ((1 - share) * (experts - topK)) / (experts - 1);
      return { count, ...binomial(tokens * topK * share, spread) };
    });
    const end = Math.max(...distributions.map(({ first, cumulative }) => first + cumulative.length));
    // The expectation of a maximum M ≥ 0 is Σ over m ≥ 0 of 1 − P(M ≤ m).
    let expected = 0;
    for (let m = Math.min(...distributions.map(({ first }) => first)), isFirst = true; m < end; m++, isFirst = false) {
      if (isFirst) expected = m;
      let below = 1;
      for (const { first, cumulative, count } of distributions) {
        const place = m - first;
        below *= place < 0 ? 0 : place >= cumulative.length ? 1 : cumulative[place] ** count;
      }
      expected += 1 - below;
    }
    return Math.max(0, (Math.sqrt(units / (units - 1)) * (expected - mean)) / mean);
  }

  return (tokens) => {
    const rounded = Number(tokens.toPrecision(3));
    let value = known.get(rounded);
    if (value === undefined) {
      value = imbalance(rounded);
      known.set(rounded, value);
    }
    return value;
  };
}

/** The imbalance of units in which nothing is left to chance, since every token has all experts. */
function fixedImbalance(unitSizes: readonly number[]): number {
  const total = unitSizes.reduce((sum, size) => sum + size, 0);
  return total === 0 ? 0 : (Math.max(...unitSizes) * unitSizes.length) / total - 1;
}

/** P(X ≤ first + i) in `cumulative[i]`; practically 0 before and 1 after. */
interface Distribution {
  readonly first: number;
  readonly cumulative: Float64Array;
}

/**
 * Returns a binomial distribution with this mean and variance / mean, whose number of draws need not be whole: terms follow
 * from their neighbours, beginning with the likeliest.
 */
function binomial(mean: number, spread: number): Distribution {
  const probability = 1 - spread;
  if (!(mean > 0) || spread <= 0) return { first: Math.max(0, Math.round(mean)), cumulative: Float64Array.of(1) };
  const draws = mean / probability;
  const odds = probability / spread;
  const mode = Math.min(Math.floor((draws + 1) * probability), Math.floor(draws));
  const below: number[] = [];
  for (let m = mode, term = 1; m > 0; m--) {
    term *= m / ((draws - m + 1) * odds);
    if (term < leastTerm) break;
    below.push(term);
  }
  const terms = below.reverse();
  const first = mode - terms.length;
  terms.push(1);
  for (let m = mode, term = 1; m < draws; m++) {
    term *= ((draws - m) * odds) / (m + 1);
    if (!(term >= leastTerm)) break;
    terms.push(term);
  }
  const cumulative = new Float64Array(terms.length);
  let total = 0;
  for (let i = 0; i < terms.length; i++) {
    total += terms[i];
    cumulative[i] = total;
  }
  for (let i = 0; i < terms.length; i++) cumulative[i] /= total;
  return { first, cumulative };
}
