import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "csv-parse/sync";

const root = fileURLToPath(new URL("../../", import.meta.url));
const main = path.join(root, "dist/cli/main.js");

/** Where the project's scenarios and fixtures are. */
export function projectPath(...parts: string[]): string {
  return path.join(root, ...parts);
}

/** A fresh empty folder. */
export function temporaryFolder(): string {
  return mkdtempSync(path.join(tmpdir(), "moesim-test-"));
}

export interface ProgramResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `moesim` with `words` as a process, in the folder `cwd`. */
export function moesim(words: readonly string[], cwd = root): ProgramResult {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...words], { cwd, encoding: "utf8" });
  return { code: status, stdout, stderr };
}

/** Starts `moesim` and leaves it running. */
export function startMoesim(words: readonly string[], cwd: string) {
  return spawn(process.execPath, [main, ...words], { cwd, stdio: ["ignore", "ignore", "pipe"] });
}

/** The rows of a CSV file as objects, by column. */
export function readCsv(file: string): Record<string, string>[] {
  return parse(readFileSync(file), { columns: true });
}

/** Every file and folder below `folder`, sorted. */
export function listFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
}
