import path from "node:path";
import { InputError } from "../core/input-error.ts";
import { printable } from "../core/results/format.ts";
import type { Scenario } from "../core/scenario/scenario.ts";
import { cellsOf } from "../node/check/checked-files.ts";
import { checkOutputFile, realPath } from "../node/files/output-folder.ts";
import { resultNames } from "../node/files/result-files.ts";
import { readRunRecord } from "../node/files/run-json.ts";

/** A file that a command reads and therefore must not overwrite. */
export interface ReadFile {
  /** The option or the scenario's field that names it. */
  readonly name: string;
  readonly file: string;
}

/** Describes the results in `folder` by command, scenario and time; null if there are none that moesim wrote. */
export function describeResults(folder: string): string | null {
  const record = readRunRecord(folder) ?? readRunRecord(path.join(folder, "cells", "0"));
  if (record === undefined) return null;
  const { command, scenario, file, end } = record as Readonly<Record<string, unknown>>;
  const name = (scenario as { name?: unknown } | null | undefined)?.name ?? file;
  const date = new Date(String(end));
  const time = Number.isNaN(date.getTime()) ? "" : ` of ${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  const seed = Number.isInteger(record.seed) && command === "run" ? `, seed ${record.seed}` : "";
  return `the ${printable(String(command))}${time} (${printable(String(name))}${seed})`;
}

/** Lists the result files of `folder`, whether or not they exist. */
export function filesOfResults(folder: string): ReadFile[] {
  return ["", ...cellsOf(folder)].flatMap((part) =>
    resultNames.map((name) => ({ name: `the results in ${folder}`, file: path.join(folder, part, name) })),
  );
}

/** Lists `scenarioFile`, and the files that its `scenarios` read. */
export async function filesReadBy(scenarioFile: string, scenarios: readonly Scenario[]): Promise<ReadFile[]> {
  // Commands that only read results need no scenarios.
  const { inputFileOf } = await import("../node/run/run-record.ts");
  const inputs = new Set(await Promise.all(scenarios.map(inputFileOf)));
  inputs.delete(null);
  return [
    { name: "the scenario", file: scenarioFile },
    ...Array.from(inputs, (file) => ({ name: `${scenarioFile}: stream.path`, file: file! })),
  ];
}

/**
 * Throws `InputError` if the `file` that `option` names cannot be written, is one of `inputs`, or has the name of a result file,
 * also after following links: only `run`, `sweep` and `measure` may replace those, in any folder.
 */
export function checkTarget(option: string, file: string, inputs: readonly ReadFile[]): void {
  if (file.endsWith("/")) throw new InputError(`--${option} ${file}: is a folder; name a file`);
  checkOutputFile(file);
  const target = realPath(file);
  const input = inputs.find((one) => realPath(one.file) === target);
  if (input !== undefined)
    throw new InputError(`--${option} and ${input.name} name the same file: ${file}; choose another`);
  if ([file, target].some((one) => resultNames.includes(path.basename(one)))) {
    throw new InputError(`--${option} ${file}: has the name of a result file; choose another`);
  }
}

/** Throws `InputError` if results in `folder` would overwrite one of `inputs`. */
export function checkKept(folder: string, inputs: readonly ReadFile[]): void {
  const into = realPath(folder);
  for (const { name, file } of inputs) {
    // Replacing a link loses a name of the file; replacing the file loses what the link leads to.
    const places = [path.join(realPath(path.dirname(file)), path.basename(file)), realPath(file)];
    if (places.some((place) => isPlaceOfResults(path.relative(into, place)))) {
      throw new InputError(
        `${name}: the results in ${folder} would overwrite ${file}; choose another folder with --out`,
      );
    }
  }
}

/** Whether a path relative to a results folder is that of a file that a run or sweep may replace. */
function isPlaceOfResults(relative: string): boolean {
  const { dir, base } = path.parse(relative);
  return resultNames.includes(base) && (dir === "" || /^cells[/\\]\d+$/.test(dir));
}
