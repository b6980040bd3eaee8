import type { Kernels } from "../../kernels/kernels.ts";
import type { RandomSource } from "../../random.ts";
import { createNormalRows } from "./normal-source.ts";
import type { MixtureOptions, TokenMixture } from "./token-mixture.ts";

/** A part of a mixture that can move. Each motion starts from where the mixture started or stands. */
export interface MovingPart {
  /** One step of a random walk with standard deviation `rate`. */
  walk(rate: number): void;
  /** Jumps to an independent place. */
  jump(): void;
  /** Goes to the place at `angle`, in radians, of a closed path that starts at angle 0 where the mixture started. */
  swing(angle: number): void;
}

/**
 * The centres μ_c, with η_c and μ'_c independent standard normal vectors:
 *
 *     walk   μ_c ← μ_c + rate · η_c, so that the variance of each coordinate grows by rate² a step
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
 * The weights w_c, Zipf at first, with η_c ~ N(0, 1) and π, σ random orders of the clusters that leave none in place:
 *
 *     walk   w_c ← w_c · exp(rate · η_c) / Σ, so that the variance of log w_c grows by rate² a step, up to the common Σ
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

/** Moves every value to another place, by a random cyclic permutation in place. Sattolo 1986. */
function derange(values: Float64Array, random: RandomSource): void {
  for (let place = values.length - 1; place > 0; place--) {
    const other = Math.floor(random.uniform() * place);
    [values[place], values[other]] = [values[other], values[place]];
  }
}
