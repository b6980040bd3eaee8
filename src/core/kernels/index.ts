import { platform } from "../platform.ts";
import { type Kernels, tensorBackendOf } from "./kernels.ts";
import { createReferenceKernels } from "./reference.ts";
import { createTensorKernels } from "./tensor.ts";
import { createWasmKernels } from "./wasm.ts";

export { type Kernels, tensorBackendOf } from "./kernels.ts";

/**
 * `wasm`, compiled; `reference`, the same in plain TypeScript; `tfjs`, TensorFlow.js programs on its WebAssembly backend,
 * or `tfjs-gpu`, on TensorFlow and a GPU.
 */
export type KernelBackend = Kernels["backend"];

export const kernelBackends: readonly KernelBackend[] = ["wasm", "reference", "tfjs", "tfjs-gpu"];

/** A new instance with memory of its own. `wasm` throws `Error` when the compiled kernels are missing. */
export function createKernels(backend: "wasm" | "reference" = "wasm"): Kernels {
  return backend === "wasm" ? createWasmKernels() : createReferenceKernels();
}

/**
 * As {@link createKernels}, of any backend: TensorFlow.js is loaded where `backend` needs it. Throws `InputError` for
 * `tfjs-gpu` where `@tensorflow/tfjs-node-gpu` does not load.
 */
export async function loadKernels(backend: KernelBackend): Promise<Kernels> {
  if (backend === "wasm" || backend === "reference") return createKernels(backend);
  return createTensorKernels(await platform().loadTensors(tensorBackendOf(backend)), backend);
}
