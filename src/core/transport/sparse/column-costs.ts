import type { Kernels } from "../../kernels/kernels.ts";

/** The costs of one problem, column by column, as the parts of the sparsity-constrained solver share them. */
export interface ColumnCosts {
  /** T of the problem. */
  readonly tokens: number;
  readonly experts: number;
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

/** Tokens whose costs are written together, while a block of them is in cache. */
const blockTokens = 16;

/**
 * A constant added to all costs of a token changes nothing but the optimal value, so the smallest one is subtracted:
 * what is computed from the rest is the same for any such constant that floating point subtracts exactly.
 */
export function createColumnCosts(kernels: Kernels, mostTokens: number, experts: number): ColumnCostBuffers {
  const cost = kernels.allocateFloat64(experts * mostTokens);
  const rowCost = new Float64Array(mostTokens);
  const columnCosts = {
    tokens: 0,
    experts,
    cost,
    rowCost,
    read(affinity: Float32Array, tokens: number) {
      columnCosts.tokens = tokens;
      for (let t = 0; t < tokens; t++) {
        const row = t * experts;
        let largest = affinity[row];
        for (let e = 1; e < experts; e++) largest = Math.max(largest, affinity[row + e]);
        rowCost[t] = -largest;
      }
      for (let first = 0; first < tokens; first += blockTokens) {
        const end = Math.min(first + blockTokens, tokens);
        for (let e = 0; e < experts; e++) {
          const column = e * tokens;
          for (let t = first; t < end; t++) cost[column + t] = -rowCost[t] - affinity[t * experts + e];
        }
      }
    },
  };
  return columnCosts;
}
