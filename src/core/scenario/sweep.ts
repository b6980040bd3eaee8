import { cross } from "d3-array";
import { InputError } from "../input-error.ts";
import { resolveScenario } from "./load.ts";
import { type Override, parsePath, withOverride } from "./overrides.ts";
import { describeIssues, problemsError } from "./problems.ts";
import type { Scenario } from "./scenario.ts";
import { beginsAsFormula, formulaProblem, scenarioSchema } from "./schema.ts";

/** One cell of a sweep: a scenario, and the values that set it apart, by the paths that `sweep:` names. */
export interface SweepCell {
  readonly scenario: Scenario;
  readonly parameters: readonly { readonly path: string; readonly value: unknown }[];
}

/** With more cells, a sweep is more likely a mistake. */
export const defaultMaxCells = 1000;

/** The `sweep:` and `seeds:` of scenario data that the schema accepts. */
interface SweepFields {
  /** Dotted paths, each with the values to try. */
  readonly lists: readonly (readonly [path: string, values: readonly unknown[]])[];
  /** The scenario's own where it names none. */
  readonly seeds: readonly number[];
}

/**
 * The cells of the scenario data `written`: every combination of the values of its `sweep:` lists, the last path changing
 * fastest, and for each the `seeds` (default: the scenario's own seed). All cells are checked. Throws `InputError`, whose
 * message begins with `where` the data comes from, where there are more than `maxCells`, before any is made, and where one
 * is refused. Relative paths start at `folder`.
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
    const changed = overrides.reduce<unknown>(withOverride, written);
    const undone = overrides.find(
      (override) => JSON.stringify(withOverride(changed, override)) !== JSON.stringify(changed),
    );
    if (undone !== undefined) {
      throw new InputError(`${where}: sweep.${undone.path.join(".")}: another path of the sweep sets the same field`);
    }
    // The seed has a column of its own already.
    const parameters = combination.slice(0, -1);
    const values = (all: typeof combination) => all.map(({ path, value }) => `${path} = ${JSON.stringify(value)}`);
    const cell = parameters.length === 0 ? "" : `: sweep: the cell ${values(parameters).join(", ")}`;
    const formula = parameters.find(({ value }) => typeof value === "string" && beginsAsFormula(value));
    if (formula !== undefined) {
      const value = JSON.stringify(formula.value);
      throw new InputError(
        `${where}: sweep.${formula.path}: ${value} is not allowed: as a column of a CSV file it ${formulaProblem}.`,
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
 * The number of cells that the `sweep:` and `seeds:` of `written` make, the data that `scenario` was resolved from. Throws
 * `InputError` if they cannot be swept whatever the values: unknown paths, those that cannot be swept, and repetitions.
 * `base` is what the paths lead into: `written` before it was changed, since a change may take away what is swept.
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

/** Throws `InputError` where two cells would be the same, or their rows could not be told apart, or a path leads nowhere. */
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

/** Throws `InputError` for the paths that lead to no field of a scenario, or of one with the first values of all lists. */
function checkPaths(lists: SweepFields["lists"], base: unknown, where: string): void {
  let first = base;
  for (const [path, [value]] of lists) {
    try {
      first = withOverride(first, { path: parsePath(path), value });
    } catch (error) {
      if (error instanceof InputError) throw error.within(`${where}: sweep.`);
      throw error;
    }
  }
  const parsed = scenarioSchema.safeParse(first);
  if (parsed.success) return;
  // What is wrong with values depends on those of the other lists.
  const unknown = parsed.error.issues.filter(({ code }) => code === "unrecognized_keys");
  const problems = describeIssues({ issues: unknown }, scenarioSchema, first);
  if (problems.count > 0) {
    throw problemsError(where, { ...problems, lines: problems.lines.map((line) => `sweep.${line}`) });
  }
}

function seedOverride(seed: number) {
  return { path: "seed", value: seed };
}
