import type { Kernels } from "../../kernels/kernels.ts";

/** The costs of one problem, column by column, as the parts of the sparsity-constrained solver share them. */
export interface ColumnCosts {
  /** T of the problem. */
  readonly tokens: number;
  readonly experts: number;
  /** `[tokens × experts]`, what the costs are minus: row-major, of the kernels. */
  readonly affinity: Float32Array;
  /** `[experts × tokens]`: token t's cost at expert e, entry e·tokens + t, less the token's smallest cost. */
  readonly cost: Float64Array;
  /** `[tokens]`, each token's smallest cost. */
  readonly rowCost: Float64Array;
}

/** {@link ColumnCosts} whose buffers are allocated once, for up to the tokens they were created for. */
export interface ColumnCostBuffers extends ColumnCosts {
  /** Makes these the costs −`affinity`, `[tokens × experts]`, row-major and finite. */
  read(affinity: Float32Array, tokens: number): void;
}

/**
 * A constant added to all costs of a token changes nothing but the optimal value, so the smallest one is subtracted:
 * what is computed from the rest is the same for any such constant that floating point subtracts exactly.
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
