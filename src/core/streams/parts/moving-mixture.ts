import type { Kernels } from "../../kernels/kernels.ts";
import type { RandomSource } from "../../random.ts";
import { createNormalRows } from "./normal-source.ts";
import type { MixtureOptions, TokenMixture } from "./token-mixture.ts";

/** A part of a mixture that can move. Each motion begins at the part's initial or current position. */
export interface MovingPart {
  /** Takes one step of a random walk with standard deviation `rate`. */
  walk(rate: number): void;
  /** Jumps to an independent position. */
  jump(): void;
  /** Moves to `angle`, in radians, on a closed path whose angle 0 is the initial position. */
  swing(angle: number): void;
}

/**
 * The centres μ_c, with η_c and μ'_c independent standard normal vectors:
 *
 *     walk   μ_c ← μ_c + rate · η_c; the variance of each coordinate grows by rate² per step
 *     jump   μ_c ← η_c
 *     swing  μ_c = cos(angle) · μ_c(0) + sin(angle) · μ'_c, standard normal at every angle
 */
export function createMovingCentres(
  mixture: TokenMixture,
  { clusters, dimension }: MixtureOptions,
  kernels: Kernels,
  random: RandomSource,
): MovingPart {
  const { centres } = mixture;
  const start = Float32Array.from(centres);
  const position = Float64Array.from(centres);
  const drawn = new Float32Array(centres.length);
  const drawNormals = createNormalRows(kernels, random.derive("moves"), clusters, dimension);
  const opposite = new Float32Array(centres.length);
  createNormalRows(kernels, random.derive("opposite"), clusters, dimension)(opposite);
  return {
    walk(rate) {
      drawNormals(drawn);
      for (let i = 0; i < centres.length; i++) position[i] += rate * drawn[i];
      centres.set(position);
    },
    jump: () => drawNormals(centres),
    swing(angle) {
      const [along, across] = [Math.cos(angle), Math.sin(angle)];
      for (let i = 0; i < centres.length; i++) centres[i] = along * start[i] + across * opposite[i];
    },
  };
}

/**
 * The weights w_c, initially Zipf, with η_c ~ N(0, 1) and random derangements π, σ of the clusters:
 *
 *     walk   w_c ← w_c · exp(rate · η_c) / Σ; the variance of log w_c grows by rate² per step, up to the common Σ
 *     jump   w_c ← w_σ(c), with a new σ each time
 *     swing  w_c = (1 + cos(angle))/2 · w_c(0) + (1 − cos(angle))/2 · w_π(c)(0)
 */
export function createMovingWeights(mixture: TokenMixture, random: RandomSource): MovingPart {
  const { zipf } = mixture;
  const clusters = zipf.length;
  const moves = random.derive("moves");
  const logWeights = zipf.map((weight) => Math.log(weight));
  const weights = Float64Array.from(zipf);
  const opposite = Float64Array.from(zipf);
  derange(opposite, random.derive("opposite"));
  return {
    walk(rate) {
      let largest = Number.NEGATIVE_INFINITY;
      for (let c = 0; c < clusters; c++) {
        logWeights[c] += rate * moves.normal();
        largest = Math.max(largest, logWeights[c]);
      }
      for (let c = 0; c < clusters; c++) weights[c] = Math.exp(logWeights[c] - largest);
      mixture.setWeights(weights);
    },
    jump() {
      derange(weights, moves);
      mixture.setWeights(weights);
    },
    swing(angle) {
      const away = (1 - Math.cos(angle)) / 2;
      for (let c = 0; c < clusters; c++) weights[c] = (1 - away) * zipf[c] + away * opposite[c];
      mixture.setWeights(weights);
    },
  };
}

/** Moves every value to another index, by a random cyclic permutation in place. Sattolo 1986. */
function derange(values: Float64Array, random: RandomSource): void {
  for (let place = values.length - 1; place > 0; place--) {
    const other = Math.floor(random.uniform() * place);
    [values[place], values[other]] = [values[other], values[place]];
  }
}
