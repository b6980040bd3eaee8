import { vi } from "vitest";
import { runProgram } from "../../src/cli/program.ts";
import type { ProgramResult } from "./program.ts";

/**
 * Runs `moesim` with `words` inside the test, in the folder `cwd`. This takes milliseconds where a process takes half a
 * second. `--workers` above 1 and signals need a process.
 */
export async function runInProcess(words: readonly string[], cwd = process.cwd()): Promise<ProgramResult> {
  const written = { stdout: "", stderr: "" };
  const before = process.cwd();
  const spies = (["stdout", "stderr"] as const).map((name) =>
    vi.spyOn(process[name], "write").mockImplementation((text) => {
      written[name] += String(text);
      return true;
    }),
  );
  try {
    process.chdir(cwd);
    return { code: await runProgram(words), ...written };
  } finally {
    process.chdir(before);
    for (const spy of spies) spy.mockRestore();
  }
}
