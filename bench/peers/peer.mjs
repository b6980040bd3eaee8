import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** For {@link startPeer}: keeps BLAS and OpenMP to one thread. */
export const oneThread = { OMP_NUM_THREADS: "1", OPENBLAS_NUM_THREADS: "1" };

/**
 * Starts the Python program `script` of this folder. Returns what it prints first, and `ask`, which sends a request and gives
 * the answer; both are one line of JSON.
 */
export async function startPeer(script, words, env = {}) {
  const file = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(process.env.PYTHON ?? "python3", [file, ...words.map(String)], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${script} ended; has install.sh been run?`);
    return JSON.parse(value);
  };
  return {
    ...(await next()),
    ask(request = null) {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      return next();
    },
    stop: () => child.stdin.end(),
  };
}
