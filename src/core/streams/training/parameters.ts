import type { Kernels } from "../../kernels/kernels.ts";
import type { RandomSource } from "../../random.ts";
import { createNormalRows } from "../parts/normal-source.ts";

/** One named parameter. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
  /** Where a model writes ∂loss/∂values. */
  readonly gradient: Float32Array;
}

/**
 * Parameters that are updated together, one after the other in memory: an expert's, say. All arrays belong to the kernels
 * and are equally long. Parameters have the same names and the same order in a block as when it was created.
 */
export interface ParameterBlock {
  readonly parameters: readonly Parameter[];
  readonly values: Float32Array;
  readonly gradient: Float32Array;
  /** Adam's moments. */
  readonly first: Float32Array;
  readonly second: Float32Array;
}

/** A parameter to create: normal numbers with `deviation`, drawn from a random source of its own name; 0 for all 0. */
export interface ParameterChoice {
  readonly name: string;
  readonly shape: readonly number[];
  readonly deviation: number;
}

/** The parameters of a model. */
export interface ParameterStore {
  readonly blocks: readonly ParameterBlock[];
  /**
   * Appends a block. It shares its gradient with `like`, an equally long block, if that is given: then only one of the
   * two has its gradient at a time.
   */
  create(choices: readonly ParameterChoice[], like?: ParameterBlock): ParameterBlock;
  /** Returns all parameters and their moments by name; the arrays are those of the model. */
  named(): Map<string, Float32Array>;
}

export function createParameters(kernels: Kernels, random: RandomSource): ParameterStore {
  const blocks: ParameterBlock[] = [];
  return {
    blocks,
    create(choices, like) {
      const length = choices.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
      const allocate = () => kernels.allocateFloat32(length);
      const block = {
        values: allocate(),
        gradient: like?.gradient ?? allocate(),
        first: allocate(),
        second: allocate(),
      };
      let start = 0;
      const parameters = choices.map(({ name, shape, deviation }): Parameter => {
        const columns = shape.at(-1)!;
        const end = start + sizeOf(shape);
        const values = block.values.subarray(start, end);
        if (deviation > 0) {
          createNormalRows(kernels, random.derive(name), values.length / columns, columns)(values);
          for (let i = 0; i < values.length; i++) values[i] *= deviation;
        }
        const gradient = block.gradient.subarray(start, end);
        start = end;
        return { name, shape, values, gradient };
      });
      blocks.push({ parameters, ...block });
      return blocks.at(-1)!;
    },
    named() {
      const all = new Map<string, Float32Array>();
      for (const { parameters, values, first, second } of blocks) {
        for (const { name, values: own } of parameters) {
          const start = (own.byteOffset - values.byteOffset) / own.BYTES_PER_ELEMENT;
          all.set(name, own);
          all.set(`${name}/first moment`, first.subarray(start, start + own.length));
          all.set(`${name}/second moment`, second.subarray(start, start + own.length));
        }
      }
      return all;
    },
  };
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

/** Moves parameters along their gradients by Adam (see `Kernels.adam`). */
export interface Adam {
  /** Sets the rates of update number `count`, counted from 1. */
  begin(count: number): void;
  /** Moves `block` against its gradient. */
  update(block: ParameterBlock): void;
}

const firstDecay = 0.9;
const secondDecay = 0.999;

export function createAdam(kernels: Kernels, learningRate: number): Adam {
  let rate = 0;
  let secondScale = 0;
  return {
    begin(count) {
      rate = learningRate / (1 - firstDecay ** count);
      secondScale = 1 / (1 - secondDecay ** count);
    },
    update({ values, first, second, gradient }) {
      kernels.adam(values, first, second, gradient, values.length, rate, secondScale);
    },
  };
}
