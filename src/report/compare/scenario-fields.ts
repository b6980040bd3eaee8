import { cellOf } from "../results/result-table.ts";
import type { Results } from "../results/results.ts";
import { readRunJson } from "../results/run-json.ts";
import type { ComparedField } from "./comparison.ts";

/** A field of a scenario. */
interface ScenarioField {
  /** Its value, as JSON. */
  readonly value: string;
  /** The path of the router that it is an option of; null for any other field. */
  readonly router: string | null;
}

export type ScenarioFields = ReadonlyMap<string, ScenarioField>;

/** What says nothing about what was computed. */
const ignored = new Set(["description"]);

/**
 * The fields of the scenario that `results` come from, by path; those of routers stand under their names. Of a sweep they
 * are those of its first cell without the swept paths, and `seed` is every seed. Null where run.json is missing or knows of
 * no scenario. Throws `InputError` where it is not JSON.
 */
export function scenarioFields(results: Results): ScenarioFields | null {
  const record = readRunJson(results.runs[0].folder);
  if (!isRecord(record) || !isRecord(record.scenario)) return null;
  const fields = new Map<string, ScenarioField>();
  addFields(fields, "", record.scenario, null);
  for (const swept of results.parameters) fields.delete(swept);
  const { summary } = results;
  const seeds = new Set(summary.rows.map((_, row) => cellOf(summary, row, "seed")));
  fields.set("seed", { value: Array.from(seeds).join(", "), router: null });
  return fields;
}

/**
 * The fields that not all scenarios have alike, in the order in which they are first named. Of a router that not all have
 * only its kind is listed.
 */
export function differingFields(scenarios: readonly (ScenarioFields | null)[]): ComparedField[] {
  const known = scenarios.filter((fields) => fields !== null);
  const named = new Map(known.flatMap((fields) => Array.from(fields, ([path, { router }]) => [path, router] as const)));
  return Array.from(named)
    .filter(([, router]) => router === null || known.every((fields) => fields.has(router)))
    .filter(([path]) => new Set(known.map((fields) => fields.get(path)?.value)).size > 1)
    .map(([path]) => ({ path, values: scenarios.map((fields) => fields?.get(path)?.value ?? null) }));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function addFields(
  fields: Map<string, ScenarioField>,
  prefix: string,
  record: Record<string, unknown>,
  router: string | null,
): void {
  for (const [key, value] of Object.entries(record)) {
    const path = prefix + key;
    if (ignored.has(path)) continue;
    if (path === "routers" && Array.isArray(value)) addRouters(fields, value);
    else if (isRecord(value)) addFields(fields, `${path}.`, value, router);
    else fields.set(path, { value: JSON.stringify(value), router });
  }
}

/** A router is a field of its own, so that one more or less shows as such and not as a change of all behind it. */
function addRouters(fields: Map<string, ScenarioField>, routers: readonly unknown[]): void {
  for (const { label, kind, ...options } of routers.filter(isRecord)) {
    const path = `routers.${String(label ?? kind)}`;
    fields.set(path, { value: JSON.stringify(kind) ?? "", router: null });
    addFields(fields, `${path}.`, options, path);
  }
}
