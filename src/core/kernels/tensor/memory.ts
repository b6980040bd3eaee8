import { InputError } from "../../input-error.ts";

/**
 * Runs `work`, which computes tensors. Throws `InputError`, with `message`, where it needs more memory than TensorFlow.js
 * has on WebAssembly, which are 4 GiB: all that TensorFlow.js says is that it aborts. It computes nothing afterwards.
 */
export function withTensorMemory<Result>(message: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw error instanceof WebAssembly.RuntimeError ? new InputError(message, { cause: error }) : error;
  }
}
