import { InputError } from "../core/input-error.ts";

/** TensorFlow.js: its operations, automatic differentiation and optimisers. */
export type Tensors = typeof import("@tensorflow/tfjs-core");

/** Where tensors are computed: `wasm` or plain `cpu`, which every machine has, or TensorFlow on a GPU. */
export const tensorBackends = ["wasm", "cpu", "tensorflow"] as const;
/** `wasm`, `cpu` or `tensorflow`. */
export type TensorBackend = (typeof tensorBackends)[number];

/**
 * TensorFlow.js computing with `backend`, loaded on first use, for most runs have no tensors. The `wasm` backend has one
 * thread, so that its sums have one order. A process has one backend at a time: that of the last call.
 *
 * Throws `InputError` where `tensorflow` is asked for and `@tensorflow/tfjs-node-gpu` is not installed or does not load.
 */
export async function loadTensors(backend: TensorBackend): Promise<Tensors> {
  const tensors = await import("@tensorflow/tfjs-core");
  // The package's build for Node leaves the gradients out, and its other files are no modules to Node; so they are bundled.
  await import(new URL("../../build/tensor-gradients.js", import.meta.url).href);
  // Without it the first use prints advice to install the native addon.
  tensors.enableProdMode();
  await register(backend);
  if (!(await tensors.setBackend(backend))) throw new Error(`TensorFlow.js backend ${backend} did not start`);
  return tensors;
}

/** The version of TensorFlow.js that {@link loadTensors} loads. */
export async function tensorVersions(): Promise<{ tfjs: string }> {
  const { version_core } = await import("@tensorflow/tfjs-core");
  return { tfjs: version_core };
}

async function register(backend: TensorBackend): Promise<void> {
  switch (backend) {
    case "wasm": {
      const { setThreadsCount } = await import("@tensorflow/tfjs-backend-wasm");
      setThreadsCount(1);
      return;
    }
    case "cpu":
      await import("@tensorflow/tfjs-backend-cpu");
      return;
    case "tensorflow":
      try {
        // Not a word the compiler can follow: the package is installed on few machines.
        const addon: string = "@tensorflow/tfjs-node-gpu";
        await import(addon);
      } catch (error) {
        throw new InputError(
          `backend tfjs-gpu: @tensorflow/tfjs-node-gpu does not load (${firstLine(error)}). ` +
            "`npm install @tensorflow/tfjs-node-gpu` on a machine with an NVIDIA GPU and CUDA, or choose auto, wasm or tfjs.",
        );
      }
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0];
}
