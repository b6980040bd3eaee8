import { createRequire } from "node:module";
import { InputError } from "../core/input-error.ts";
import type { TensorBackend, Tensors } from "../core/platform.ts";

const core = "@tensorflow/tfjs-core";
/** Package of each backend in plain JavaScript or WebAssembly. */
const packageOf = { wasm: "@tensorflow/tfjs-backend-wasm", cpu: "@tensorflow/tfjs-backend-cpu" } as const;
/** Major version of TensorFlow.js that is tested. */
const major = 4;

/**
 * TensorFlow.js computing with `backend`. It is an optional peer dependency, loaded on first use, because most runs
 * need no tensors. The `wasm` backend has one thread, so its sums have a fixed order. A process has one backend at a
 * time: that of the last call.
 *
 * Throws `InputError`, saying what to install, if a package is missing or `@tensorflow/tfjs-node-gpu` does not load.
 */
export async function loadTensors(backend: TensorBackend): Promise<Tensors> {
  if (backend === "tensorflow") checkInstalled("backend tfjs-gpu", [core]);
  else checkInstalled("backend tfjs", [core, packageOf[backend]]);
  const tensors = await import("@tensorflow/tfjs-core");
  // The package's build for Node lacks the gradients, and Node cannot load its other files as modules; so they are
  // bundled.
  await import(new URL("../../build/tensor-gradients.js", import.meta.url).href);
  // Otherwise the first use prints advice to install the native addon.
  tensors.enableProdMode();
  await register(backend);
  if (!(await tensors.setBackend(backend))) throw new Error(`TensorFlow.js backend ${backend} did not start`);
  return tensors;
}

function checkInstalled(asked: string, packages: readonly string[]): void {
  if (packages.every(isInstalled)) return;
  throw new InputError(
    `${asked}: this needs TensorFlow.js, which is not installed. Install it beside moesim (with -g if moesim is): ` +
      `npm install ${packages.map((name) => `${name}@${major}`).join(" ")}`,
  );
}

function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** Returns the version of TensorFlow.js that {@link loadTensors} loads. */
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
        // Typed as a string so that the compiler does not resolve it: the package is installed on few machines.
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
