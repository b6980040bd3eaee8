import seedrandom from "seedrandom";

/** State of a {@link RandomSource}, serialisable as JSON. */
export type RandomState = seedrandom.State.Arc4;

/**
 * A seeded source of random numbers. Every component (stream, each kind of router) has its own, derived by name from
 * the scenario's seed, so adding one component never changes the numbers of another.
 */
export interface RandomSource {
  /** Uniform in [0, 1), 53 bits. */
  uniform(): number;
  /** Uniform over all 32-bit unsigned integers; seeds the bulk generators of the kernels. */
  uint32(): number;
  /** Standard normal (Box–Muller), for small amounts; bulk noise comes from the kernels. */
  normal(): number;
  /** Returns an independent source that depends only on this source's seed and `name`, not on what was drawn so far. */
  derive(name: string): RandomSource;
  state(): RandomState;
  restore(state: RandomState): void;
}

/** Creates the source for `seed`. The same seed gives the same numbers on every machine. */
export function createRandom(seed: string | number): RandomSource {
  const name = String(seed);
  let generator = seedrandom(name, { state: true });
  const source: RandomSource = {
    uniform: () => generator.double(),
    uint32: () => generator.int32() >>> 0,
    normal: () => {
      const radius = Math.sqrt(-2 * Math.log(1 - generator.double()));
      return radius * Math.cos(2 * Math.PI * generator.double());
    },
    derive: (component) => createRandom(`${name}/${component}`),
    state: () => generator.state(),
    restore: (state) => {
      generator = seedrandom("", { state });
    },
  };
  return source;
}
