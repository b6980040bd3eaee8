import { cross } from "d3-array";
import { InputError } from "../input-error.ts";
import { resolveScenario } from "./load.ts";
import { withModel } from "./models.ts";
import { type Override, parsePath, withOverride, withOverrides } from "./overrides.ts";
import { describeIssues, problemsError } from "./problems.ts";
import type { Scenario } from "./scenario.ts";
import { beginsAsFormula, formulaProblem, scenarioSchema } from "./schema.ts";

/** One cell of a sweep: a scenario, and the values that distinguish it, by the paths in `sweep:`. */
export interface SweepCell {
  readonly scenario: Scenario;
  readonly parameters: readonly { readonly path: string; readonly value: unknown }[];
}

/** Default maximum number of cells; a sweep with more is probably a mistake. */
export const defaultMaxCells = 1000;

/** The `sweep:` and `seeds:` of scenario data that the schema accepted. */
interface SweepFields {
  /** Dotted paths, each with the values to try. */
  readonly lists: readonly (readonly [path: string, values: readonly unknown[]])[];
  /** Default: the scenario's own seed. */
  readonly seeds: readonly number[];
}

/**
 * Returns the cells of the scenario data `written`: every combination of the values in its `sweep:` lists (the last
 * path changes fastest), each with all `seeds` (default: the scenario's own seed). Checks all cells. Throws
 * `InputError`, whose message begins with `where`, the source of the data, if there are more than `maxCells` (before
 * making any) or if one is invalid. Relative paths are resolved against `folder`.
 */
export async function sweepCells(
  written: unknown,
  where: string,
  maxCells: number,
  folder = ".",
): Promise<SweepCell[]> {
  const { lists, seeds } = sweepFields(written, await resolveScenario(written, where, folder));
  checkLists({ lists, seeds }, written, where);
  const count = countCells({ lists, seeds });
  if (count > maxCells) {
    const factors = [...lists.map(([path, values]) => `${values.length} of ${path}`), `${seeds.length} seeds`];
    throw new InputError(
      `${where}: sweep: ${count} cells (${factors.join(" × ")}) are more than --max-cells ${maxCells} allows`,
    );
  }
  const axes = [...lists.map(([path, values]) => values.map((value) => ({ path, value }))), seeds.map(seedOverride)];
  const combinations = (cross as (...axes: unknown[]) => { path: string; value: unknown }[][])(...axes);
  const cells: SweepCell[] = [];
  const seen = new Set<string>();
  for (const combination of combinations) {
    const overrides = combination.map(({ path, value }): Override => ({ path: parsePath(path), value }));
    const changed = withOverrides(written, overrides);
    const undone = overrides.find(
      (override) => JSON.stringify(withOverride(changed, override)) !== JSON.stringify(changed),
    );
    if (undone !== undefined) {
      throw new InputError(`${where}: sweep.${undone.path.join(".")}: another path of the sweep sets the same field`);
    }
    // The seed already has a column of its own.
    const parameters = combination.slice(0, -1);
    const values = (all: typeof combination) => all.map(({ path, value }) => `${path} = ${JSON.stringify(value)}`);
    const cell = parameters.length === 0 ? "" : `: sweep: the cell ${values(parameters).join(", ")}`;
    const formula = parameters.find(({ value }) => typeof value === "string" && beginsAsFormula(value));
    if (formula !== undefined) {
      const value = JSON.stringify(formula.value);
      throw new InputError(
        `${where}: sweep.${formula.path}: ${value} is not allowed: in a column of a CSV file it ${formulaProblem}.`,
      );
    }
    const scenario = await resolveScenario(changed, where + cell, folder);
    const text = JSON.stringify(scenario);
    if (seen.has(text)) {
      throw new InputError(`${where}: sweep: the cell ${values(combination).join(", ")} is the same as another`);
    }
    seen.add(text);
    cells.push({ scenario, parameters });
  }
  return cells;
}

/**
 * Returns the number of cells that the `sweep:` and `seeds:` of `written` make; `scenario` was resolved from `written`.
 * Throws `InputError` if they cannot be swept whatever the values are: unknown paths, paths that must not be swept, and
 * repetitions. `base` is what the paths lead into: `written` before any change, since a change may remove what is
 * swept.
 */
export function checkSweep(scenario: Scenario, written: unknown, base: unknown, where: string): number {
  const fields = sweepFields(written, scenario);
  checkLists(fields, base, where);
  return countCells(fields);
}

function countCells({ lists, seeds }: SweepFields): number {
  return lists.reduce((product, [, values]) => product * values.length, seeds.length);
}

function sweepFields(written: unknown, { seed }: Scenario): SweepFields {
  const { sweep = {}, seeds = [seed] } = written as { sweep?: Record<string, unknown[]>; seeds?: number[] };
  return { lists: Object.entries(sweep), seeds };
}

/**
 * Throws `InputError` if two cells would be the same, if their rows could not be told apart, or if a path leads
 * nowhere.
 */
function checkLists({ lists, seeds }: SweepFields, base: unknown, where: string): void {
  for (const [name, values] of [
    ...lists.map(([path, list]) => [`sweep.${path}`, list] as const),
    ["seeds", seeds] as const,
  ]) {
    const texts = values.map((value) => JSON.stringify(value));
    const twice = texts.find((text, index) => texts.indexOf(text) < index);
    if (twice !== undefined) throw new InputError(`${where}: ${name}: ${twice} is listed twice`);
  }
  if (lists.some(([path]) => path === "seed")) {
    throw new InputError(`${where}: sweep.seed: list the seeds of a sweep under \`seeds\` instead`);
  }
  if (lists.some(([path]) => path === "name")) {
    throw new InputError(`${where}: sweep.name: the name cannot be swept, since it names the output folder`);
  }
  checkPaths(lists, base, where);
}

/** Throws `InputError` for paths to no field, either of the scenario or of it with the first values of all lists. */
function checkPaths(lists: SweepFields["lists"], base: unknown, where: string): void {
  let first: unknown;
  try {
    first = withOverrides(
      base,
      lists.map(([path, [value]]) => ({ path: parsePath(path), value })),
    );
  } catch (error) {
    if (error instanceof InputError) throw error.within(`${where}: sweep.`);
    throw error;
  }
  const whole = withModel(first);
  const parsed = scenarioSchema().safeParse(whole);
  if (parsed.success) return;
  // Whether a value is valid depends on those of the other lists.
  const unknown = parsed.error.issues.filter(({ code }) => code === "unrecognized_keys");
  const problems = describeIssues({ issues: unknown }, scenarioSchema(), whole);
  if (problems.count > 0) {
    throw problemsError(where, { ...problems, lines: problems.lines.map((line) => `sweep.${line}`) });
  }
}

function seedOverride(seed: number) {
  return { path: "seed", value: seed };
}
