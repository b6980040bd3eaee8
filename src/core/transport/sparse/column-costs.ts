import type { Kernels } from "../../kernels/kernels.ts";

/** Costs of one problem, column by column, which the parts of the sparsity-constrained solver share. */
export interface ColumnCosts {
  /** T of the problem. */
  readonly tokens: number;
  readonly experts: number;
  /** `[tokens × experts]`, minus the costs, row-major, in the kernels' memory. */
  readonly affinity: Float32Array;
  /** `[experts × tokens]`: token t's cost at expert e, minus the token's smallest cost, is entry e·tokens + t. */
  readonly cost: Float64Array;
  /** `[tokens]`, each token's smallest cost. */
  readonly rowCost: Float64Array;
}

/** {@link ColumnCosts} with buffers that are allocated once, for a maximum number of tokens. */
export interface ColumnCostBuffers extends ColumnCosts {
  /** Sets the costs to −`affinity` `[tokens × experts]`, row-major, finite. */
  read(affinity: Float32Array, tokens: number): void;
}

/**
 * A constant added to all costs of a token changes only the optimal value, so each token's smallest cost is subtracted.
 * Results then do not depend on such a constant, if floating point subtracts it exactly.
 */
export function createColumnCosts(kernels: Kernels, mostTokens: number, experts: number): ColumnCostBuffers {
  const affinity = kernels.allocateFloat32(mostTokens * experts);
  const cost = kernels.allocateFloat64(experts * mostTokens);
  const rowCost = kernels.allocateFloat64(mostTokens);
  const columnCosts = {
    tokens: 0,
    experts,
    affinity,
    cost,
    rowCost,
    read(given: Float32Array, tokens: number) {
      columnCosts.tokens = tokens;
      affinity.set(given.subarray(0, tokens * experts));
      kernels.columnCosts(affinity, tokens, experts, cost, rowCost);
      for (let t = 0; t < tokens; t++) rowCost[t] = -rowCost[t];
    },
  };
  return columnCosts;
}
