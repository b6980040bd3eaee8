import { stat } from "node:fs/promises";
import { InputError } from "../../core/input-error.ts";
import type { KernelBackend } from "../../core/kernels/index.ts";
import type { DualRegretBasis } from "../../core/results/warnings.ts";
import { type Scenario, toScenarioFile } from "../../core/scenario/scenario.ts";
import type { RouterResult } from "../../core/simulation/result.ts";
import { version } from "../../core/version.ts";
import { escapeUnprintable } from "../../core/words.ts";
import { findInputFile } from "../files/input-file.ts";
import { findRecordedFiles } from "../files/recorded-files.ts";
import { type PluginRecord, pluginRecords } from "../plugins.ts";
import { tensorVersions } from "../tensors.ts";

/** Returns the files of the recording or text that a scenario's stream reads. Throws `InputError` if they are missing. */
async function streamFilesOf({ stream, folder }: Scenario): Promise<string[]> {
  return typeof stream.options.path === "string" ? findRecordedFiles([stream.options.path], folder) : [];
}

/** Files that a scenario names. */
export interface NamedFiles {
  /** As the scenario has it: a file, or a folder or pattern of several. */
  readonly name: string;
  /** Where they are, in the order in which they are read. */
  readonly files: readonly string[];
}

/** Returns the files that a scenario's stream reads, by their names in the scenario. Throws `InputError` if one is gone. */
export async function namedFilesOf(scenario: Scenario): Promise<NamedFiles[]> {
  const { path, paddingMask } = scenario.stream.options;
  const named: NamedFiles[] = [];
  if (typeof path === "string") named.push({ name: path, files: await streamFilesOf(scenario) });
  if (typeof paddingMask === "string") {
    named.push({ name: paddingMask, files: [await findInputFile(paddingMask, scenario.folder)] });
  }
  return named;
}

/** Lists all files that a scenario's stream reads. Throws `InputError` if one is gone. */
export async function inputFilesOf(scenario: Scenario): Promise<string[]> {
  return (await namedFilesOf(scenario)).flatMap(({ files }) => files);
}

/** The files that a scenario's stream reads, as they were when the run began. */
export interface RunInput {
  /** Goes into run.json, so that a later program can tell whether the files are the same: their bytes, and the latest change. */
  readonly record: {
    readonly path: unknown;
    readonly files?: number;
    readonly bytes: number;
    readonly modifiedMs: number;
  };
  /** Throws `InputError` if another file has taken the place of one or one was written to: passes may have read both. */
  checkSame(): Promise<void>;
}

/** Looks at the files that the scenario's stream reads; null if it reads none. Throws `InputError` if one is missing. */
export async function openInput(scenario: Scenario): Promise<RunInput | null> {
  const files = await streamFilesOf(scenario);
  if (files.length === 0) return null;
  const found = await Promise.all(files.map((file) => stat(file, { bigint: true })));
  const modified = await Promise.all(files.map(async (file) => (await stat(file)).mtimeMs));
  return {
    record: {
      path: scenario.stream.options.path,
      ...(files.length > 1 && { files: files.length }),
      bytes: Number(found.reduce((sum, { size }) => sum + size, 0n)),
      modifiedMs: Math.max(...modified),
    },
    async checkSame() {
      for (const [index, { dev, ino, size, mtimeNs }] of found.entries()) {
        const now = await stat(files[index], { bigint: true }).catch(() => null);
        if (now?.dev === dev && now.ino === ino && now.size === size && now.mtimeNs === mtimeNs) continue;
        throw new InputError(
          `${escapeUnprintable(files[index])}: it was changed or replaced while it was used, so the results would be of two ` +
            "files. Leave it alone and run again",
        );
      }
    },
  };
}

/**
 * Returns run.json for a run of `input` that began at `start` and ends now with `results`: all that is needed to run it
 * again, and the precision of its dual regret. Throws `InputError` if the input is no longer what it was.
 */
export async function runRecord(
  command: "run" | "sweep",
  scenarioFile: string,
  scenario: Scenario,
  input: RunInput | null,
  backend: KernelBackend,
  start: Date,
  results: readonly RouterResult[],
): Promise<object> {
  await input?.checkSame();
  return {
    command,
    scenarioFile,
    scenario: toScenarioFile(scenario),
    input: input?.record ?? null,
    seed: scenario.seed,
    backend,
    ...pluginsOf(),
    dualRegret: dualRegretBases(results),
    ...layersRecord(scenario),
    ...provenance(start, backend === "tfjs" || backend === "tfjs-gpu" ? await tensorVersions() : {}),
  };
}

/** The layers of a run, and those of its recording that have no logits. */
function layersRecord({ layers, absentLayers }: Scenario): object {
  return { ...(layers !== undefined && { layers }), ...(absentLayers !== undefined && { absentLayers }) };
}

/** Returns the precision of the dual regret of each router that has one; with several layers, the poorest. */
export function dualRegretBases(results: readonly RouterResult[]): DualRegretBasis[] {
  const bases = new Map<string, DualRegretBasis>();
  for (const { router, dualRegret } of results) {
    if (dualRegret === null) continue;
    const { gap, keptFraction } = dualRegret;
    const known = bases.get(router.name) ?? { gap, keptFraction };
    bases.set(router.name, {
      router: router.name,
      gap: Math.max(known.gap, gap),
      keptFraction: Math.min(known.keptFraction, keptFraction),
    });
  }
  return Array.from(bases.values());
}

/** The record's field of plugins; none without any. */
export function pluginsOf(): { readonly plugins?: readonly PluginRecord[] } {
  const plugins = pluginRecords();
  return plugins.length === 0 ? {} : { plugins };
}

/** Returns the versions of the programs, `others` by name, and when the work began (`start`) and ended (now). */
export function provenance(start: Date, others: Readonly<Record<string, string>> = {}): object {
  return {
    versions: { moesim: version, node: process.version, ...others },
    start: start.toISOString(),
    end: new Date().toISOString(),
  };
}

/** Does `work`, which runs the scenario in `file`; an `InputError` that it throws names that file. */
export async function namingFile<Result>(file: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof InputError ? error.within(`${file}: `) : error;
  }
}
