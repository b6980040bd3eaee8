import type { TensorBackend } from "../tensors/load.ts";
import type { Kernels } from "./kernels.ts";
import { createReferenceKernels } from "./reference.ts";
import { createWasmKernels } from "./wasm.ts";

export type { Kernels, KeyKind } from "./kernels.ts";

/** `wasm`, compiled, or `reference`, the same in plain TypeScript. */
export type KernelBackend = Kernels["backend"];

/** A new instance with memory of its own. `wasm` throws `Error` when the compiled kernels are missing. */
export function createKernels(backend: KernelBackend = "wasm"): Kernels {
  return backend === "wasm" ? createWasmKernels() : createReferenceKernels();
}

/** Where a stream that trains computes its tensors beside kernels of `backend`. */
export function tensorBackendOf(_backend: KernelBackend): TensorBackend {
  return "wasm";
}
