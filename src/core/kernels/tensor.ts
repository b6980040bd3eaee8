import type { Tensors } from "../platform.ts";
import type { Kernels } from "./kernels.ts";
import { gatePrograms } from "./tensor/gates.ts";
import { selectPrograms } from "./tensor/select.ts";
import { transportPrograms } from "./tensor/transport.ts";
import { createWasmKernels } from "./wasm.ts";

/**
 * The kernels of top-K and Sinkhorn routing as TensorFlow.js programs, the same ones on every backend of it. Programs are
 * `scores`, `selectTopK`, `selectByPlan`, `gates`, `gibbsSweep`, `sinkhornSweep`, `logSinkhornSweep` and `entropicPlan`; all
 * else is left to the WebAssembly kernels: memory, random numbers, `multiply`, `selectGroupedTopK`, `selectTokens`,
 * `loadGradient`, the Hessian of Sinkhorn–Newton–Sparse, exact assignment, and what metrics are made of.
 *
 * A program carries its matrices to the backend and its results back, with nothing kept in between, takes any typed
 * array, and computes in float32, the only type of number that tensors have. So where the contract of {@link Kernels}
 * says float64 these hold:
 *
 * - `selectTopK` without a bias makes the same choice. With one, it may differ where two keys are closer than
 *   4 · 2⁻²⁴ of their distance to the row's largest and, where keys are affinities, than the errors of these.
 * - Affinities, gates, Gibbs entries and plans p have a relative error below 2e-6 + 4 · 2⁻²⁴·|log p|, and may be 0 below
 *   2⁻¹²⁶; column sums one below 5e-6, and that of their entries.
 * - `logSinkhornSweep` has rows with an absolute error below 5e-6 and columns with one of 4 · 2⁻²⁴·|logColumnSum| more,
 *   for |Z| ≤ 1e4 and ε ≥ 1e-3, and stays finite for |Z| ≤ 1e30 and ε ≥ 1e-6. So the marginal error is known to about
 *   1e-6, and a solver's tolerance below that is one it can miss.
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
