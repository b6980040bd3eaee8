import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

/**
 * Gives all tests, and the programs that they start, one folder for temporary files, and removes it after the last of
 * them: thousands of results would stay otherwise.
 */
export default function setup(): () => void {
  const folder = mkdtempSync(path.join(tmpdir(), "moesim-tests-"));
  process.env.TMPDIR = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}
