import type { ComparedField } from "../../core/results/comparison.ts";
import { cellOf, type Results } from "../../core/results/results.ts";

/** A field of a scenario. */
interface ScenarioField {
  /** Its value, as JSON. */
  readonly value: string;
  /** The path of the router that it is an option of; null for any other field. */
  readonly router: string | null;
}

/** What results come from. */
export interface ResultSource {
  /** A simulated scenario, or the measurement of recorded choices or loads. */
  readonly kind: "scenario" | "measurement";
  readonly fields: ReadonlyMap<string, ScenarioField>;
}

/** What says nothing about what was computed. */
const ignored = new Set(["description"]);
/** What every run.json says about the program and its run, and not about the input. */
const ofRecord = new Set(["command", "versions", "start", "end"]);

/**
 * The fields of the scenario that `results` come from, by path; those of routers stand under their names. Of a sweep they
 * are those of its first cell without the swept paths, and `seed` is every seed. Of recorded choices they are the file and
 * the options of `measure`. Null if run.json is missing or tells neither. Throws `InputError` if it is not JSON.
 */
export function sourceOf(results: Results): ResultSource | null {
  const record = results.runs[0].files.record();
  if (!isRecord(record)) return null;
  const fields = new Map<string, ScenarioField>();
  if (record.command === "measure") {
    const options = Object.entries(record).filter(([key]) => !ofRecord.has(key));
    addFields(fields, "", Object.fromEntries(options), null);
    return { kind: "measurement", fields };
  }
  if (!isRecord(record.scenario)) return null;
  addFields(fields, "", record.scenario, null);
  for (const swept of results.parameters) fields.delete(swept);
  const { summary } = results;
  const seeds = new Set(summary.rows.map((_, row) => cellOf(summary, row, "seed")));
  fields.set("seed", { value: Array.from(seeds).join(", "), router: null });
  return { kind: "scenario", fields };
}

/**
 * The fields that not all of the scenarios have alike, and then those of measurements, in the order in which they are first
 * named. Of a router that not all have only its kind is listed. Scenarios and measurements share no
 * fields; {@link differingSizes} compares their sizes.
 */
export function differingFields(sources: readonly (ResultSource | null)[]): ComparedField[] {
  return (["scenario", "measurement"] as const).flatMap((kind) => {
    const fieldsOf = sources.map((source) => (source?.kind === kind ? source.fields : null));
    const known = fieldsOf.filter((fields) => fields !== null);
    const named = new Map(
      known.flatMap((fields) => Array.from(fields, ([path, { router }]) => [path, router] as const)),
    );
    return Array.from(named)
      .filter(([, router]) => router === null || known.every((fields) => fields.has(router)))
      .filter(([path]) => new Set(known.map((fields) => fields.get(path)?.value)).size > 1)
      .map(([path]) => ({ path, values: fieldsOf.map((fields) => fields?.get(path)?.value ?? null) }));
  });
}

/** Sizes that have a column in summary.csv, whatever wrote it. */
const sizes = ["experts", "steps", "tokens", "top_k"];

/**
 * The sizes that differ between `results`, by summary.csv: all there is to compare between a scenario and a recording. A
 * size that its rows do not share is a list; null if a summary does not tell it, which is no difference.
 */
export function differingSizes(results: readonly Results[]): ComparedField[] {
  return sizes
    .map((path) => ({ path, values: results.map((one) => sizeOf(one, path)) }))
    .filter(({ values }) => new Set(values.filter((value) => value !== null)).size > 1);
}

function sizeOf({ summary }: Results, column: string): string | null {
  if (!summary.columns.includes(column)) return null;
  const texts = new Set(summary.rows.map((_, row) => cellOf(summary, row, column)).filter((text) => text !== ""));
  return texts.size === 0 ? null : Array.from(texts).join(", ");
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
