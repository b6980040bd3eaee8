import path from "node:path";
import { InputError } from "../core/input-error.ts";
import { printable } from "../core/results/format.ts";
import type { Scenario } from "../core/scenario/scenario.ts";
import { cellsOf } from "../node/check/checked-files.ts";
import { checkOutputFile, realPath } from "../node/files/output-folder.ts";
import { resultNames } from "../node/files/result-files.ts";
import { readRunRecord } from "../node/files/run-json.ts";

/** A file that a command reads, and so must not replace. */
export interface ReadFile {
  /** What names it: an option, or a field of the scenario. */
  readonly name: string;
  readonly file: string;
}

/**
 * The results in `folder` for people: which command wrote them, of which scenario and when; null if there are none that
 * moesim wrote.
 */
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

/** The files of the results in `folder`, whether they are there or not. */
export function filesOfResults(folder: string): ReadFile[] {
  return ["", ...cellsOf(folder)].flatMap((part) =>
    resultNames.map((name) => ({ name: `the results in ${folder}`, file: path.join(folder, part, name) })),
  );
}

/** The files that `scenarios`, which come from `scenarioFile`, are read from and read. */
export async function filesReadBy(scenarioFile: string, scenarios: readonly Scenario[]): Promise<ReadFile[]> {
  // Commands that read results alone need no scenarios.
  const { inputFileOf } = await import("../node/run/run-record.ts");
  const inputs = new Set(await Promise.all(scenarios.map(inputFileOf)));
  inputs.delete(null);
  return [
    { name: "the scenario", file: scenarioFile },
    ...Array.from(inputs, (file) => ({ name: `${scenarioFile}: stream.path`, file: file! })),
  ];
}

/**
 * Throws `InputError` where the file that `option` names cannot be written, is one of `inputs`, or has the name of a file
 * of results, be it where a link leads: such a file, of whatever folder, is replaced by `run`, `sweep` and `measure` alone.
 */
export function checkTarget(option: string, file: string, inputs: readonly ReadFile[]): void {
  if (file.endsWith("/")) throw new InputError(`--${option} ${file}: is a folder; a file is needed`);
  checkOutputFile(file);
  const target = realPath(file);
  const input = inputs.find((one) => realPath(one.file) === target);
  if (input !== undefined) throw new InputError(`--${option} and ${input.name} name the same file: ${file}`);
  if ([file, target].some((one) => resultNames.includes(path.basename(one)))) {
    throw new InputError(`--${option} ${file}: is the name of a results file; choose another`);
  }
}

/** Throws `InputError` where results that go into `folder` would take the place of one of `inputs`. */
export function checkKept(folder: string, inputs: readonly ReadFile[]): void {
  const into = realPath(folder);
  for (const { name, file } of inputs) {
    // A link that is replaced is lost as a name of the file, and a file as the end of a link.
    const places = [path.join(realPath(path.dirname(file)), path.basename(file)), realPath(file)];
    if (places.some((place) => isPlaceOfResults(path.relative(into, place)))) {
      throw new InputError(
        `${name}: ${file} would be overwritten by the results that go into ${folder}; choose another folder with --out`,
      );
    }
  }
}

/** Whether a path, relative to a folder of results, is that of a file that a run or a sweep may replace there. */
function isPlaceOfResults(relative: string): boolean {
  const { dir, base } = path.parse(relative);
  return resultNames.includes(base) && (dir === "" || /^cells[/\\]\d+$/.test(dir));
}
