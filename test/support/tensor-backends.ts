import type { Kernels } from "../../src/core/kernels/kernels.ts";
import { createTensorKernels } from "../../src/core/kernels/tensor.ts";
import { type TensorBackend, tensorBackends } from "../../src/core/platform.ts";
import { loadTensors } from "../../src/node/tensors.ts";

/** A backend of TensorFlow.js and kernels that compute on it; null where it does not load, which `name` says. */
export interface OnTensorBackend {
  readonly backend: TensorBackend;
  readonly name: string;
  readonly kernels: Kernels | null;
}

const found: OnTensorBackend[] = [];
for (const backend of tensorBackends) {
  try {
    const kernels = createTensorKernels(await loadTensors(backend), backend === "tensorflow" ? "tfjs-gpu" : "tfjs");
    found.push({ backend, name: backend, kernels });
  } catch (error) {
    // The other two are there on every machine.
    if (backend !== "tensorflow") throw error;
    found.push({ backend, name: `${backend} (skipped without @tensorflow/tfjs-node-gpu)`, kernels: null });
  }
}

/** All of them. A process has one at a time: `loadTensors(backend)` before the tests of each. */
export const onTensorBackends: readonly OnTensorBackend[] = found;
