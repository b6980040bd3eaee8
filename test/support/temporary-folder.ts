import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const prefix = "moesim-tests-";

/**
 * Gives all tests, and the programs that they start, one folder for temporary files, and removes it after the last of
 * them: thousands of results would stay otherwise. Vitest calls this for each of its projects; a folder within a folder
 * within a folder would make the path of Chromium's socket too long.
 */
export default function setup(): (() => void) | undefined {
  if (path.basename(tmpdir()).startsWith(prefix)) return undefined;
  const folder = mkdtempSync(path.join(tmpdir(), prefix));
  process.env.TMPDIR = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}
