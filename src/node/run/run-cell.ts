import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import type { KernelBackend } from "../../core/kernels/index.ts";
import type { Scenario } from "../../core/scenario/scenario.ts";
import { openRegularFile } from "../files/input-file.ts";
import { resultFiles, writeRunRecord } from "../files/result-files.ts";
import { namingFile } from "./naming-file.ts";
import type { RouterProgress } from "./run-part.ts";
import { openInput, runRecord } from "./run-record.ts";
import { runScenario } from "./run-scenario.ts";

/** One cell of a sweep, for one thread to run. Plain data. */
export interface CellTask {
  readonly scenario: Scenario;
  readonly scenarioFile: string;
  /** The command line that runs the cell again, for its run.json. */
  readonly rerun?: readonly string[];
  /** Where the cell's files go; does not exist, and appears whole or not at all. */
  readonly folder: string;
  /** A folder on the same file system in which the files are made. */
  readonly workFolder: string;
  readonly backend: KernelBackend;
}

/** What of a sweep was done since the last time it was told. Plain data. */
export interface CellProgress {
  /** Of the cell's `cellWork`. */
  readonly work: number;
  /** Cells finished. */
  readonly cells: number;
}

/** How much there is to do in a cell, next to others: logits to route, over all steps and routers. */
export function cellWork({ steps, tokens, experts, routers }: Scenario): number {
  return steps * tokens * experts * routers.length;
}

/** Runs a cell and writes the same files as a run of its scenario into its folder. */
export async function runCell(
  { scenario, scenarioFile, rerun, folder, workFolder, backend }: CellTask,
  onProgress: (progress: CellProgress) => void,
): Promise<void> {
  const start = new Date();
  const files = mkdtempSync(path.join(workFolder, "cell-"));
  const onSteps = ({ steps }: RouterProgress) =>
    onProgress({ work: steps * scenario.tokens * scenario.experts, cells: 0 });
  try {
    const record = await namingFile(scenarioFile, async () => {
      const input = await openInput(scenario);
      const results = await runScenario(scenario, files, { workers: 1, backend, onProgress: onSteps });
      return runRecord("sweep", scenarioFile, scenario, input, backend, start, results);
    });
    writeRunRecord(files, { ...record, ...(rerun !== undefined && { rerun }), sha256: await cellDigests(files) });
    mkdirSync(path.dirname(folder), { recursive: true });
    renameSync(files, folder);
    onProgress({ work: 0, cells: 1 });
  } catch (error) {
    try {
      rmSync(files, { recursive: true, force: true });
    } catch {
      // It is in the staging folder of the sweep, which is removed as a whole.
    }
    throw error;
  }
}

/**
 * The SHA-256 of each file of the cell in `folder`, as hexadecimal digits; without run.json, which they stand in. They
 * tell whether a file has been cut off or changed since. Rejects if one is missing.
 */
export async function cellDigests(folder: string): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  for (const name of resultFiles.filter((file) => file !== "run.json")) {
    const hash = createHash("sha256");
    await pipeline(createReadStream("", { fd: openRegularFile(path.join(folder, name)) }), hash);
    digests[name] = hash.digest("hex");
  }
  return digests;
}
