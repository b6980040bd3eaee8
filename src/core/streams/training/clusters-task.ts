import type { Kernels } from "../../kernels/kernels.ts";
import type { RandomSource } from "../../random.ts";
import { createAliasTable } from "../parts/alias-table.ts";
import { createNormalRows } from "../parts/normal-source.ts";
import { createUniformSource } from "../parts/uniform-source.ts";
import { zipfWeights } from "../parts/zipf.ts";
import { createStepNoise } from "./step-noise.ts";
import type { ClustersBatch, Task } from "./task.ts";

export interface ClustersTaskOptions {
  readonly clusters: number;
  /** Zipf exponent of the clusters' weights. */
  readonly exponent: number;
  /** Standard deviation of tokens around their centre, per coordinate. */
  readonly spread: number;
  /** Standard deviation of the noise on each target. */
  readonly noise: number;
  /** Steps from which the clusters have their weights in a new random order. */
  readonly shift: readonly number[];
}

export interface ClustersTask extends Task {
  createBatch(tokens: number): ClustersBatch;
}

/**
 * A regression in which specialising pays, because every cluster has its own map:
 *
 *     c_t ~ Zipf(clusters, exponent)
 *     x_t = (μ_{c_t} + spread · ξ_t) / √(1 + spread²),        μ_cd, ξ_td ~ N(0, 1)
 *     y_t = x_t · M_{c_t} / √width + noise · ζ_t,             M_cij, ζ_td ~ N(0, 1)
 *     loss = mean over tokens and coordinates of (ŷ − y)²
 *
 * where ŷ is the output of the experts. Centres and maps are drawn once, and all other numbers again for every batch, so that
 * no token of an evaluation was seen in training. Experts that return 0 have a loss of about 1 + noise²; the best possible is
 * noise². At a shift the clusters exchange their weights; centres and maps stay.
 */
export function createClustersTask(
  kernels: Kernels,
  random: RandomSource,
  width: number,
  { clusters, exponent, spread, noise, shift }: ClustersTaskOptions,
): ClustersTask {
  const centres = kernels.allocateFloat32(clusters * width);
  createNormalRows(kernels, random.derive("centres"), clusters, width)(centres);
  const maps = kernels.allocateFloat32(clusters * width * width);
  createNormalRows(kernels, random.derive("maps"), clusters * width, width)(maps);
  for (let entry = 0; entry < maps.length; entry++) maps[entry] /= Math.sqrt(width);

  const weights = zipfWeights(clusters, exponent);
  const table = createAliasTable(weights);
  const addNoise = createStepNoise(kernels);
  const moved = new Float64Array(clusters);
  const first = new Int32Array(clusters + 1);
  const next = new Int32Array(clusters + 1);

  /** Each shift up to `step` has shuffled the weights once. */
  function weightsAt(step: number): Float64Array {
    moved.set(weights);
    for (const start of shift) if (start <= step) shuffle(moved, random.derive(`shift ${start}`).uniform);
    return moved;
  }

  function createBatch(tokens: number): ClustersBatch {
    const cluster = new Int32Array(tokens);
    const sorted = kernels.allocateInt32(tokens);
    const place = kernels.allocateInt32(tokens);
    const byCluster = { x: kernels.allocateFloat32(tokens * width), y: kernels.allocateFloat32(tokens * width) };
    const x = kernels.allocateFloat32(tokens * width);
    const y = kernels.allocateFloat32(tokens * width);

    /** Tokens are made cluster by cluster, so that each map is one matrix product, and then put in random order. */
    function draw(source: RandomSource, step: number): void {
      table.setWeights(weightsAt(step));
      const uniform = createUniformSource(source);
      for (let token = 0; token < tokens; token++) cluster[token] = table.draw(uniform());
      placesByCluster(cluster, place, first, next);
      for (let token = 0; token < tokens; token++) sorted[place[token]] = cluster[token];
      kernels.gatherRows(centres, sorted, tokens, width, byCluster.x);
      addNoise(byCluster.x, spread, source);
      const scale = 1 / Math.sqrt(1 + spread ** 2);
      for (let entry = 0; entry < tokens * width; entry++) byCluster.x[entry] *= scale;
      for (let c = 0; c < clusters; c++) {
        const rows = first[c + 1] - first[c];
        if (rows === 0) continue;
        const [from, end] = [first[c] * width, first[c + 1] * width];
        const map = maps.subarray(c * width * width, (c + 1) * width * width);
        kernels.multiply(
          byCluster.x.subarray(from, end),
          map,
          byCluster.y.subarray(from, end),
          rows,
          width,
          width,
          false,
        );
      }
      addNoise(byCluster.y, noise, source);
      kernels.gatherRows(byCluster.x, place, tokens, width, x);
      kernels.gatherRows(byCluster.y, place, tokens, width, y);
    }

    return { task: "clusters", tokens, draw, x, y, cluster };
  }

  return { createBatch };
}

/**
 * Groups the tokens by cluster: writes each token's destination to `place` `[tokens]` and where each cluster begins to
 * `first` `[clusters + 1]`; `next` `[clusters + 1]` is working memory.
 */
function placesByCluster(cluster: Int32Array, place: Int32Array, first: Int32Array, next: Int32Array): void {
  first.fill(0);
  for (const c of cluster) first[c + 1] += 1;
  for (let c = 1; c < first.length; c++) first[c] += first[c - 1];
  next.set(first);
  for (let token = 0; token < cluster.length; token++) place[token] = next[cluster[token]]++;
}

/** Fisher–Yates. */
function shuffle(values: Float64Array, uniform: () => number): void {
  for (let last = values.length - 1; last > 0; last--) {
    const other = Math.floor(uniform() * (last + 1));
    [values[last], values[other]] = [values[other], values[last]];
  }
}
