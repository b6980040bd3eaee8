import type { Kernels } from "../../src/kernels/kernels.ts";
import { createTensorKernels } from "../../src/kernels/tensor.ts";
import { loadTensors, type TensorBackend, tensorBackends } from "../../src/tensors/load.ts";

/** The tensor programs on one backend of TensorFlow.js; null where that does not load. */
async function kernelsOn(backend: TensorBackend): Promise<Kernels | null> {
  try {
    return createTensorKernels(await loadTensors(backend), backend === "tensorflow" ? "tfjs-gpu" : "tfjs");
  } catch (error) {
    if (backend !== "tensorflow") throw error;
    return null;
  }
}

/**
 * Every backend of TensorFlow.js with kernels that compute on it, once `loadTensors(backend)` has set it: a process has one
 * at a time. A name for test titles says where there is none.
 */
export const onTensorBackends: readonly { backend: TensorBackend; name: string; kernels: Kernels | null }[] =
  await (async () => {
    const all = [];
    for (const backend of tensorBackends) {
      const kernels = await kernelsOn(backend);
      all.push({ backend, name: kernels === null ? `${backend}, which does not load here` : backend, kernels });
    }
    return all;
  })();
