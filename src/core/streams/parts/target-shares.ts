import { balancedness, loadCv, loadPerRank, maxVio } from "../../metrics/load.ts";
import { apportion } from "./exact-loads.ts";

/** How uneven loads shall be: exactly one of `maxVio`, `balancedness` and `cv`. */
export interface LoadTarget {
  readonly maxVio?: number | undefined;
  readonly balancedness?: number | undefined;
  readonly cv?: number | undefined;
  /** With `balancedness`: ranks with contiguous groups of experts; absent means that each expert is a rank. */
  readonly ranks?: number | undefined;
}

/** Sizes that a target depends on; tokens are those of the whole run. */
export interface TargetShape {
  readonly experts: number;
  readonly topK: number;
  readonly tokens: number;
}

/** A target counts as met within this fraction of its value. */
const tolerance = 0.02;

/** At 60, each share is less than half of the one before even with 65,536 experts, and all powers are normal numbers. */
const largestExponent = 60;

/**
 * Shares `[experts]` of a Zipf law in which no expert gets more than all tokens, descending: the expert of popularity rank r
 * is chosen by the fraction
 *
 *     π_r = min(1, c · (r + 1)^−exponent)   of the tokens, with c such that Σ π = topK
 *
 * Exponent 0 is perfect balance; as it grows, the `topK` most popular experts take everything.
 */
export function cappedZipfShares(experts: number, topK: number, exponent: number): Float64Array {
  const shares = Float64Array.from({ length: experts }, (_, rank) => (rank + 1) ** -exponent);
  const tail = new Float64Array(experts);
  for (let rank = experts - 1, sum = 0; rank >= 0; rank--) {
    sum += shares[rank];
    tail[rank] = sum;
  }
  let capped = 0;
  while (capped < topK && shares[capped] * (topK - capped) > tail[capped]) capped += 1;
  for (let rank = 0; rank < experts; rank++) {
    shares[rank] = rank < capped ? 1 : Math.min(1, ((topK - capped) / tail[capped]) * shares[rank]);
  }
  return shares;
}

/**
 * Returns the target's metric of loads or shares in the order of popularity. Ranks then hold contiguous groups of that order,
 * so that the hottest experts share a rank.
 */
function measure(target: LoadTarget, load: Float64Array | Int32Array): number {
  if (target.maxVio !== undefined) return maxVio(load);
  if (target.cv !== undefined) return loadCv(load);
  const ranks = target.ranks ?? load.length;
  return balancedness(loadPerRank(load, ranks, new Float64Array(ranks)));
}

function wantedValue({ maxVio, balancedness, cv }: LoadTarget): number {
  return (maxVio ?? balancedness ?? cv)!;
}

/**
 * Returns shares `[experts]` in the order of popularity, with Σ = topK, whose metric is the target's: those of
 * {@link cappedZipfShares} with the exponent found by bisection, since each metric only gets worse as the exponent grows.
 * The target must be reachable, see {@link targetProblem}.
 */
export function solveShares(target: LoadTarget, { experts, topK }: Omit<TargetShape, "tokens">): Float64Array {
  const wanted = wantedValue(target);
  const isTooEven = (exponent: number) => {
    const value = measure(target, cappedZipfShares(experts, topK, exponent));
    return target.balancedness === undefined ? value < wanted : value > wanted;
  };
  if (!isTooEven(0)) return cappedZipfShares(experts, topK, 0);
  let [low, high] = [0, largestExponent];
  for (let halving = 0; halving < 60; halving++) {
    const middle = (low + high) / 2;
    if (isTooEven(middle)) low = middle;
    else high = middle;
  }
  return cappedZipfShares(experts, topK, high);
}

/** Returns why no stream of this shape can have the target, and what can be had; null if it can. */
export function targetProblem(target: LoadTarget, shape: TargetShape): string | null {
  const { experts, topK, tokens } = shape;
  const wanted = wantedValue(target);
  const ends = [0, largestExponent].map((exponent) => measure(target, cappedZipfShares(experts, topK, exponent)));
  const [least, most] = [Math.min(...ends), Math.max(...ends)];
  const sizes = `with top-${topK} of ${experts} experts${target.ranks === undefined ? "" : ` on ${target.ranks} ranks`}`;
  // An exponent that is finite leaves the last digits out of reach.
  const slack = 1e-6 * Math.max(1, most);
  if (wanted < least - slack || wanted > most + slack) {
    return `${wanted} is out of reach; ${sizes} it can be from ${inDigits(least, Math.ceil)} to ${inDigits(most, Math.floor)}`;
  }
  const load = new Int32Array(experts);
  const wantedLoad = solveShares(target, shape).map((share) => share * tokens);
  apportion(wantedLoad, tokens * topK, tokens, load);
  const nearest = measure(target, load);
  if (wanted === 0 || Math.abs(nearest - wanted) <= tolerance * wanted) return null;
  return (
    `${wanted} cannot be met within 2 % by whole tokens: ${tokens} tokens in the run, ${sizes}, come to ${inDigits(nearest)}; ` +
    "give more tokens or steps"
  );
}

/** Formats a value in four significant digits. A limit is rounded inwards, so that what is shown can be had. */
function inDigits(value: number, round: (scaled: number) => number = Math.round): string {
  if (value === 0) return "0";
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(value))) - 3);
  return String(Number((round(value / unit - (round === Math.ceil ? 1e-9 : -1e-9)) * unit).toPrecision(4)));
}
