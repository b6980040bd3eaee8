import { createKernels, type Kernels } from "../../src/core/kernels/index.ts";

/** One instance of each implementation of the kernels, for a test file to allocate from as it likes. */
export const backends: readonly Kernels[] = [createKernels("reference"), createKernels("wasm")];
