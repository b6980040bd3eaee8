import { vi } from "vitest";
import { runProgram } from "../../src/cli/program.ts";
import type { ProgramResult } from "./program.ts";

/** Runs `moesim` with `words` inside the test, which takes milliseconds where a process takes half a second. */
export async function runInProcess(words: readonly string[]): Promise<ProgramResult> {
  const written = { stdout: "", stderr: "" };
  const spies = (["stdout", "stderr"] as const).map((name) =>
    vi.spyOn(process[name], "write").mockImplementation((text) => {
      written[name] += String(text);
      return true;
    }),
  );
  try {
    return { code: await runProgram(words), ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
