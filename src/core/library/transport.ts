/**
 * The transport problems of the routers, solved one at a time. Matrices are flat and row-major, `[tokens × experts]`;
 * inputs are copied, and outputs are never reused.
 *
 * @module
 */
import { z } from "zod";
import { createKernels } from "../kernels/index.ts";
import { createAssignmentSolver, mostAssignmentExperts } from "../transport/assignment/exact-assignment.ts";
import { createEntropicSolver, entropicFields } from "../transport/entropic/entropic.ts";
import { createSparseRowsSolver } from "../transport/sparse/sparse-rows.ts";
import {
  createSparsityConstrainedSolver,
  sparsityConstrainedFields,
} from "../transport/sparse/sparsity-constrained.ts";
import { checked, copyFinite, rowsOf } from "./checked.ts";

/** max Σ S·x over x ∈ {0, 1} with at most `topK` experts per token and at most `capacity` tokens per expert. */
export interface AssignmentInput {
  /** S `[tokens × experts]`, finite; negative entries are never assigned. */
  readonly scores: ArrayLike<number>;
  /** At most 4096. */
  readonly experts: number;
  readonly topK: number;
  /** Maximum tokens of an expert; a non-negative integer. */
  readonly capacity: number;
  /** Stop when `upperBound` − `value` is at most this for each of tokens · topK pairs; default 0, the optimum itself. */
  readonly gap?: number | undefined;
}

/** The best assignment, with its proof. */
export interface AssignmentResult {
  /** `[tokens × topK]`, distinct within a token, −1 if there is none. */
  readonly expert: Int32Array;
  /** `[experts]`, each at most the capacity. */
  readonly load: Int32Array;
  /** Σ S of the assigned pairs. */
  readonly value: number;
  /** No assignment is worth more: Σ_t Σ over the K largest of max(0, S_te − price_e) + capacity · Σ price. */
  readonly upperBound: number;
  /** Whether `value` and `upperBound` are equal except for rounding of the sums. */
  readonly exact: boolean;
  /** `[experts]`, ≥ 0: the value of one more seat on each expert. */
  readonly price: Float64Array;
}

/** max over P of ⟨Z, P⟩ + ε·H(P), with rows that sum to 1 and columns that sum to tokens / experts. */
export interface EntropicInput {
  /** Z `[tokens × experts]`, finite, rounded to float32. */
  readonly logits: ArrayLike<number>;
  readonly experts: number;
  /** ε, in units of the logits; at least 1e-6, default 1. */
  readonly epsilon?: number | undefined;
  /** Alternating scaling (default), or Sinkhorn–Newton–Sparse, which needs far fewer iterations if ε is small. */
  readonly solver?: "sinkhorn" | "sns" | undefined;
  /** Default 100. */
  readonly maxIterations?: number | undefined;
  /** Maximum `marginalError`; default 1e-4. */
  readonly tolerance?: number | undefined;
}

/** An entropic plan, and how accurately its columns sum. */
export interface EntropicResult {
  /** P `[tokens × experts]`, rows that sum to 1. */
  readonly plan: Float32Array;
  /** g `[experts]`, in units of ε: row t of the plan is softmax(Z_t / ε + g). */
  readonly columnPotential: Float64Array;
  /** Number of updates of g. */
  readonly iterations: number;
  /** ‖Pᵀ1 − T/E‖₁ / T. */
  readonly marginalError: number;
  /** Whether `marginalError` is at most the tolerance. */
  readonly converged: boolean;
}

/** min over P of −⟨S, P⟩ + (γ/2)·‖P‖², with the same rows and columns and at most `maxTokens` non-zeros per column. */
export interface SparsityConstrainedInput {
  /** S `[tokens × experts]`, finite, rounded to float32. */
  readonly affinity: ArrayLike<number>;
  readonly experts: number;
  /** At least tokens / experts, or the columns cannot hold their mass; tokens or more is no constraint. */
  readonly maxTokens: number;
  /** Weight of the squared norm, in units of S; at least 1e-6, default 1. */
  readonly gamma?: number | undefined;
  /** Which concave function is maximised; default `dual`. */
  readonly formulation?: "dual" | "semi-dual" | undefined;
  /** L-BFGS to the tolerance (default), or Adam, which always takes `maxIterations` steps from 0. */
  readonly solver?: "lbfgs" | "adam" | undefined;
  /** Of Adam; default 0.01. */
  readonly learningRate?: number | undefined;
  /** Default 200. */
  readonly maxIterations?: number | undefined;
  /** Tolerance of the rows' and columns' sums; default 1e-5. */
  readonly tolerance?: number | undefined;
}

/** A sparsity-constrained plan, and its quality. */
export interface SparsityConstrainedResult {
  /** P `[tokens × experts]`, rows that sum to 1, except all-zero rows. */
  readonly plan: Float64Array;
  /** `[experts]`, number of non-zeros in each column. */
  readonly columnCardinality: Int32Array;
  /** Steps on the dual, and on the supports that were searched for. */
  readonly iterations: number;
  /** (‖P·1 − 1‖₁ + ‖Pᵀ·1 − T/E‖₁) / T. */
  readonly marginalError: number;
  /** Whether `marginalError` is at most the tolerance. */
  readonly converged: boolean;
  /** −⟨S, P⟩ + (γ/2)·‖P‖² of this plan. */
  readonly primal: number;
  /** A lower bound on the objective of every plan that keeps its marginals. */
  readonly dual: number;
}

/** min over P of −⟨S, P⟩ + (γ/2)·‖P‖², with the same rows and columns and at most `topK` non-zeros per row. */
export interface SparseRowsInput {
  /** S `[tokens × experts]`, finite, rounded to float32. */
  readonly affinity: ArrayLike<number>;
  readonly experts: number;
  /** At most `experts`, which is no constraint. */
  readonly topK: number;
  /** Weight of the squared norm, in units of S; at least 1e-6, default 1. */
  readonly gamma?: number | undefined;
  /** L-BFGS to the tolerance (default), or Adam, which always takes `maxIterations` steps from 0. */
  readonly solver?: "lbfgs" | "adam" | undefined;
  /** Of Adam; default 0.01. */
  readonly learningRate?: number | undefined;
  /** Default 200. */
  readonly maxIterations?: number | undefined;
  /** Tolerance of the columns' sums, relative to tokens / experts; default 1e-5. */
  readonly tolerance?: number | undefined;
}

/** A plan with sparse rows, the prices it follows from, and its quality. */
export interface SparseRowsResult {
  /** P `[tokens × experts]`, rows that sum to 1: the projection of the `topK` largest (S − price)/γ on the simplex. */
  readonly plan: Float64Array;
  /** `[experts]`, in units of S, with mean 0. */
  readonly price: Float64Array;
  /** Steps on the semi-dual. */
  readonly iterations: number;
  /** ‖Pᵀ·1 − T/E‖₁ / T. */
  readonly marginalError: number;
  /** Whether `marginalError` is at most the tolerance. */
  readonly converged: boolean;
  /** −⟨S, P⟩ + (γ/2)·‖P‖² of this plan. */
  readonly primal: number;
  /** A lower bound on the objective of every plan that keeps its marginals. */
  readonly dual: number;
}

const matrix = z.custom<ArrayLike<number>>(
  (value) => Array.isArray(value) || (ArrayBuffer.isView(value) && "length" in value),
  "expected an array of numbers, row by row",
);
const count = z.int().positive();

const assignmentInput = z.strictObject({
  scores: matrix,
  experts: count.max(mostAssignmentExperts),
  topK: count,
  capacity: z.int().nonnegative(),
  gap: z.number().nonnegative().default(0),
});
const entropicInput = z.strictObject({
  logits: matrix,
  experts: count,
  ...entropicFields({ epsilon: 1, unit: "the logits", maxIterations: 100 }),
});
const sparsityConstrainedInput = z.strictObject({
  affinity: matrix,
  experts: count,
  maxTokens: count,
  ...sparsityConstrainedFields,
});
const { formulation: _, ...sparseRowsFields } = sparsityConstrainedFields;
const sparseRowsInput = z.strictObject({ affinity: matrix, experts: count, topK: count, ...sparseRowsFields });

/** Returns the optimum of one batch, exact or within `gap`. Throws `InputError`. */
export function solveAssignment(problem: AssignmentInput): AssignmentResult {
  const where = "transport.solveAssignment";
  const schema = assignmentInput.refine(({ topK, experts }) => topK <= experts, {
    path: ["topK"],
    message: "expected at most one of each expert",
  });
  const { scores, experts, topK, capacity, gap } = checked(where, schema, problem);
  const tokens = rowsOf(`${where}: scores`, scores, experts);
  const kernels = createKernels();
  const own = kernels.allocateFloat64(scores.length);
  copyFinite(`${where}: scores`, scores, experts, own);
  const solver = createAssignmentSolver(kernels, tokens, experts, topK, { gap });
  const { expert, load, value, upperBound, exact, price } = solver.solve({ scores: own, tokens, capacity });
  return { expert, load: load.slice(), value, upperBound, exact, price: price.slice() };
}

/**
 * Returns the entropic plan of one batch, by `solver` `sinkhorn` (default) or `sns`, as the router `sinkhorn` does.
 * Throws `InputError`.
 */
export function solveEntropic(problem: EntropicInput): EntropicResult {
  const where = "transport.solveEntropic";
  const { logits, experts, ...options } = checked(where, entropicInput, problem);
  const tokens = rowsOf(`${where}: logits`, logits, experts);
  const kernels = createKernels();
  const own = kernels.allocateFloat32(logits.length);
  copyFinite(`${where}: logits`, logits, experts, own);
  const plan = kernels.allocateFloat32(logits.length);
  const solver = createEntropicSolver(kernels, tokens, experts, options);
  const { columnPotential, iterations, marginalError, converged } = solver.solve({ logits: own, tokens });
  solver.writePlan({ logits: own, tokens }, plan);
  return { iterations, marginalError, converged, plan: plan.slice(), columnPotential: columnPotential.slice() };
}

/** Returns the plan with sparse columns of one batch, as the router `scot` does. Throws `InputError`. */
export function solveSparsityConstrained(problem: SparsityConstrainedInput): SparsityConstrainedResult {
  const where = "transport.solveSparsityConstrained";
  const schema = sparsityConstrainedInput.refine(
    ({ affinity, experts, maxTokens }) => maxTokens * experts * experts >= affinity.length,
    { path: ["maxTokens"], message: "expected at least tokens / experts, or a column cannot hold its mass" },
  );
  const { affinity, experts, maxTokens, ...options } = checked(where, schema, problem);
  const tokens = rowsOf(`${where}: affinity`, affinity, experts);
  const own = new Float32Array(affinity.length);
  copyFinite(`${where}: affinity`, affinity, experts, own);
  const solver = createSparsityConstrainedSolver(createKernels(), tokens, experts, maxTokens, options);
  const { plan, columnCardinality, iterations, marginalError, converged, primal, dual } = solver.solve({
    affinity: own,
    tokens,
    maxTokens,
  });
  const dense = new Float64Array(tokens * experts);
  for (let e = 0; e < experts; e++) {
    for (let entry = plan.columnStart[e]; entry < plan.columnStart[e + 1]; entry++) {
      dense[plan.token[entry] * experts + e] = plan.mass[entry];
    }
  }
  return { plan: dense, columnCardinality, iterations, marginalError, converged, primal, dual };
}

/** Returns the plan with sparse rows of one batch, as `scot` with `sparsity: tokens` does. Throws `InputError`. */
export function solveSparseRows(problem: SparseRowsInput): SparseRowsResult {
  const where = "transport.solveSparseRows";
  const schema = sparseRowsInput.refine(({ topK, experts }) => topK <= experts, {
    path: ["topK"],
    message: "expected at most one of each expert",
  });
  const { affinity, experts, topK, ...options } = checked(where, schema, problem);
  const tokens = rowsOf(`${where}: affinity`, affinity, experts);
  const kernels = createKernels();
  const own = kernels.allocateFloat32(affinity.length);
  copyFinite(`${where}: affinity`, affinity, experts, own);
  const solver = createSparseRowsSolver(kernels, tokens, experts, topK, options);
  const solution = solver.solve({ affinity: own, tokens });
  const { expert, mass, potential, iterations, marginalError, converged, primal, dual } = solution;
  const plan = new Float64Array(tokens * experts);
  for (let slot = 0; slot < tokens * topK; slot++) {
    plan[Math.floor(slot / topK) * experts + expert[slot]] = mass[slot];
  }
  const price = Float64Array.from(potential, (own) => 0 - own);
  return { plan, price, iterations, marginalError, converged, primal, dual };
}
