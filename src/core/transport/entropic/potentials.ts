import type { Kernels } from "../../kernels/kernels.ts";

/** The dual variables of a transport problem with T tokens, rows summing to 1, and E experts, columns summing to T/E. */
export interface Potentials {
  /** `[tokens]`, α: the price of a row. */
  readonly alpha: Float64Array;
  /** `[experts]`, β: the price of a column. */
  readonly beta: Float64Array;
  /** Sets α, and β if `x` is longer than `tokens`, from a solver's variables. */
  read(x: Float64Array, tokens: number): void;
  /** Writes α, and β if `x` is longer than `tokens`, as a solver's variables. */
  write(x: Float64Array, tokens: number): void;
}

/** Returns the scale of β in a solver's variables, √(T/E), which makes the two diagonal blocks of the dual's Hessian alike. */
export function betaScale(tokens: number, experts: number): number {
  return Math.sqrt(tokens / experts);
}

/** Returns potentials of 0 for up to `mostTokens` tokens, in the kernels' memory. */
export function createPotentials(kernels: Kernels, mostTokens: number, experts: number): Potentials {
  const alpha = kernels.allocateFloat64(mostTokens);
  const beta = kernels.allocateFloat64(experts);
  return {
    alpha,
    beta,
    read(x, tokens) {
      const scale = betaScale(tokens, experts);
      for (let t = 0; t < tokens; t++) alpha[t] = x[t];
      for (let i = tokens; i < x.length; i++) beta[i - tokens] = x[i] / scale;
    },
    write(x, tokens) {
      const scale = betaScale(tokens, experts);
      for (let t = 0; t < tokens; t++) x[t] = alpha[t];
      for (let i = tokens; i < x.length; i++) x[i] = beta[i - tokens] * scale;
    },
  };
}
