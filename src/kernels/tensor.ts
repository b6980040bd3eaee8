import type { Tensors } from "../tensors/load.ts";
import type { Kernels } from "./kernels.ts";
import { gatePrograms } from "./tensor/gates.ts";
import { selectPrograms } from "./tensor/select.ts";
import { transportPrograms } from "./tensor/transport.ts";
import { createWasmKernels } from "./wasm.ts";

/**
 * The kernels of top-K and Sinkhorn routing as TensorFlow.js programs, the same ones on every backend of it. Programs are
 * `scores`, `selectTopK`, `gates`, `planGates`, `gibbsSweep`, `sinkhornSweep`, `logSinkhornSweep` and `entropicPlan`; all
 * else is left to the WebAssembly kernels: memory, random numbers, `selectGroupedTopK`, `selectTokens`, `loadGradient`, the
 * Hessian of Sinkhorn–Newton–Sparse, exact assignment, and what metrics are made of.
 *
 * A program carries its matrices to the backend and its results back, with nothing kept in between, takes any typed
 * array, and computes in float32, the only type of number that tensors have. So where the contract of {@link Kernels}
 * says float64 these hold:
 *
 * - `selectTopK` without a bias makes the same choice. With one, a choice may differ where two keys differ by less than
 *   2⁻²² of the largest |key|, |bias| or 1.
 * - Affinities, gates and plans have a relative error below 2e-6, column sums below 5e-6; Gibbs entries, and plans of
 *   ε < 1, one of 4 · 2⁻²⁴·|x| more, x the exponent of the entry or of a larger one in its row.
 * - `logSinkhornSweep` stays finite for |Z| ≤ 1e30 and ε ≥ 1e-6. Its sums have an absolute error below 5e-6 for
 *   |Z|/ε ≤ 1e7, columns one of 4 · 2⁻²⁴·|logColumnSum| more. A tolerance of the marginal error below 1e-5 is therefore
 *   not one to ask for.
 *
 * `tensors` computes with the backend that `loadTensors` set last.
 */
export function createTensorKernels(tensors: Tensors, backend: "tfjs" | "tfjs-gpu"): Kernels {
  return {
    ...createWasmKernels(),
    ...selectPrograms(tensors),
    ...gatePrograms(tensors),
    ...transportPrograms(tensors),
    backend,
  };
}
