import { confidenceInterval, type Interval } from "../results/interval.ts";

/** Blocks that a series ends with, at most. */
const mostBlocks = 16;

/** The mean of a series, and how precisely it is known although neighbours resemble each other. */
export interface BlockMeans {
  /** Takes the next value; NaN is left out. */
  add(value: number): void;
  /** Returns the mean of all values and its 95 % confidence interval over the blocks; null without values. */
  interval(): Interval | null;
}

/**
 * Collects a series of unknown length in at most 16 blocks of consecutive values. Batches that follow each other come from the
 * same texts and are no independent draws; means of long blocks nearly are, so the interval is Student's over these (batch
 * means: Law and Kelton 2000, section 9.5.3). With up to 16 values each is a block of its own.
 *
 * When there are too many blocks, neighbours are joined. A last block of less than half the length of the others joins the
 * one before it. Memory does not grow with the series.
 */
export function createBlockMeans(): BlockMeans {
  const sums = new Float64Array(mostBlocks);
  let size = 1;
  let blocks = 0;
  /** Values in the last block. */
  let inLast = 0;
  let count = 0;
  let total = 0;

  function joinNeighbours(): void {
    for (let i = 0; i < mostBlocks / 2; i++) sums[i] = sums[2 * i] + sums[2 * i + 1];
    sums.fill(0, mostBlocks / 2);
    blocks = mostBlocks / 2;
    size *= 2;
    inLast = size;
  }

  return {
    add(value) {
      if (Number.isNaN(value)) return;
      if (blocks === 0 || inLast === size) {
        if (blocks === mostBlocks) joinNeighbours();
        blocks += 1;
        inLast = 0;
      }
      sums[blocks - 1] += value;
      inLast += 1;
      count += 1;
      total += value;
    },
    interval() {
      if (count === 0) return null;
      const isShort = blocks > 1 && 2 * inLast < size;
      const means = Array.from(sums.subarray(0, blocks), (sum, i) => sum / (i === blocks - 1 ? inLast : size));
      if (isShort) {
        means.pop();
        means[means.length - 1] = (sums[blocks - 2] + sums[blocks - 1]) / (size + inLast);
      }
      const { halfWidth } = confidenceInterval(means)!;
      return { mean: total / count, halfWidth, count };
    },
  };
}
