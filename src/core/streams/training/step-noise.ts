import type { Kernels } from "../../kernels/kernels.ts";
import type { RandomSource } from "../../random.ts";

/** Adds `deviation` times independent standard normals, freshly seeded from `random`, to all of `values`. */
export type StepNoise = (values: Float32Array, deviation: number, random: RandomSource) => void;

const stateWords = 16;

/** Noise in bulk for steps that each have their own random source. */
export function createStepNoise(kernels: Kernels): StepNoise {
  const state = kernels.allocateUint32(stateWords);
  return (values, deviation, random) => {
    for (let word = 0; word < stateWords; word++) state[word] = random.uint32();
    kernels.addNormal(state, values, deviation, values.length, values);
  };
}
