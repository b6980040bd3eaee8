import { isDeepStrictEqual } from "node:util";
import { cross } from "d3-array";
import { InputError } from "../core/input-error.ts";
import { resolveScenario } from "./load.ts";
import { type Override, parsePath, withOverride } from "./overrides.ts";
import type { Scenario } from "./scenario.ts";

/** One cell of a sweep: a scenario, and the values that set it apart, by the paths that `sweep:` names. */
export interface SweepCell {
  readonly scenario: Scenario;
  readonly parameters: readonly { readonly path: string; readonly value: unknown }[];
}

/**
 * The cells of the scenario data `written`, which came from `file`: every combination of the values of its `sweep:`
 * lists, the last path changing fastest, and for each the `seeds` (default: the scenario's own seed). All cells are
 * checked. Throws `InputError` where there are more than `maxCells`, before any is made, and where one is refused.
 */
export async function sweepCells(written: unknown, file: string, maxCells: number): Promise<SweepCell[]> {
  // Refuses a `sweep` or `seeds` of the wrong form, so that they can be trusted below.
  const { seed } = await resolveScenario(written, file);
  const { sweep = {}, seeds = [seed] } = written as { sweep?: Record<string, unknown[]>; seeds?: number[] };
  const lists = Object.entries(sweep);
  checkDistinct(lists, seeds, file);
  const count = lists.reduce((product, [, values]) => product * values.length, seeds.length);
  if (count > maxCells) {
    const factors = [...lists.map(([path, values]) => `${values.length} of ${path}`), `${seeds.length} seeds`];
    throw new InputError(`${file}: sweep: ${count} cells (${factors.join(" × ")}), more than --max-cells ${maxCells}`);
  }
  const axes = [...lists.map(([path, values]) => values.map((value) => ({ path, value }))), seeds.map(seedOverride)];
  const combinations = (cross as (...axes: unknown[]) => { path: string; value: unknown }[][])(...axes);
  const cells: SweepCell[] = [];
  const seen = new Set<string>();
  for (const combination of combinations) {
    const overrides = combination.map(({ path, value }): Override => ({ path: parsePath(path), value }));
    const changed = overrides.reduce<unknown>(withOverride, written);
    const undone = overrides.find((override) => !isDeepStrictEqual(withOverride(changed, override), changed));
    if (undone !== undefined) {
      throw new InputError(`${file}: sweep.${undone.path.join(".")}: another path of the sweep sets the same field`);
    }
    const scenario = await resolveScenario(changed, file);
    const text = JSON.stringify(scenario);
    if (seen.has(text)) {
      const values = combination.map(({ path, value }) => `${path} = ${JSON.stringify(value)}`);
      throw new InputError(`${file}: sweep: the cell ${values.join(", ")} is the same as another`);
    }
    seen.add(text);
    // The seed has a column of its own already.
    cells.push({ scenario, parameters: combination.slice(0, -1) });
  }
  return cells;
}

/** Throws `InputError` where two cells would be the same, or rows of summary.csv could not be told apart. */
function checkDistinct(
  lists: readonly (readonly [string, readonly unknown[]])[],
  seeds: readonly number[],
  file: string,
): void {
  for (const [name, values] of [
    ...lists.map(([path, list]) => [`sweep.${path}`, list] as const),
    ["seeds", seeds] as const,
  ]) {
    const texts = values.map((value) => JSON.stringify(value));
    const twice = texts.find((text, index) => texts.indexOf(text) < index);
    if (twice !== undefined) throw new InputError(`${file}: ${name}: ${twice} is there twice`);
  }
  if (lists.some(([path]) => path === "seed")) {
    throw new InputError(`${file}: sweep.seed: the seeds of a sweep go into \`seeds\``);
  }
}

function seedOverride(seed: number) {
  return { path: "seed", value: seed };
}
