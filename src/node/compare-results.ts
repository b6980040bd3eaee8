import path from "node:path";
import type { MetricColumn, RunColumnName } from "../core/metrics/catalogue.ts";
import type { ComparedField, ComparedMetric, Comparison, MeanChange } from "../core/results/comparison.ts";
import { type Interval, meanDifference, meanOfDifferences } from "../core/results/interval.ts";
import { cellOf, numberOf, type Results, type Run } from "../core/results/results.ts";
import { metricOf, type Variant, variantsOf } from "../core/results/variants.ts";
import { findStreamKind } from "../core/streams/index.ts";

/**
 * Compares two or more `results`: the metrics `columns` of every router, with differences to the first results. Routers are
 * matched by name and swept values; a metric that applies to none is left out. Intervals of differences pair the seeds if
 * both ran the same seeds on the same stream. Throws `InputError` if a file is malformed.
 */
export function compareResults(results: readonly Results[], columns: readonly MetricColumn[]): Comparison {
  const sources = results.map(sourceOf);
  const names = folderNames(results.map(({ folder }) => folder));
  const variants = results.map((one) => new Map(variantsOf(one).map((variant) => [variant.name, variant])));
  const streamOf = createStreamReader();
  const routers = Array.from(new Set(variants.flatMap((byName) => Array.from(byName.keys()))));

  function compareMetric(metric: MetricColumn): ComparedMetric {
    const rows = routers.map((router) => {
      const sides = results.map((one, position) => sideOf(one, variants[position].get(router), metric.column));
      const [reference] = sides;
      const cells = sides.map((side, position) => {
        if (side === null) return null;
        const change = position === 0 || reference === null ? null : changeFrom(reference, side, metric, streamOf);
        return { ...side.interval, change };
      });
      return { router, cells };
    });
    const { column, label, better, isMain } = metric;
    return { column, label, better, isMain, rows: rows.filter(({ cells }) => cells.some((cell) => cell !== null)) };
  }

  const compared = columns.map(compareMetric);
  // Scenarios name their sizes themselves.
  const sizes = sources.every((source) => source?.kind === "scenario") ? [] : differingSizes(results);
  const fields = differingFields(sources).filter(({ path }) => !sizes.some((size) => size.path === path));
  return {
    folders: results.map(({ folder }, position) => ({
      folder,
      name: names[position],
      source: sources[position]?.kind ?? null,
    })),
    fields: [...sizes, ...fields],
    metrics: compared.filter(({ rows }) => rows.length > 0),
    emptyMetrics: compared.filter(({ rows }) => rows.length === 0).map(({ column }) => column),
    unmatchedFolders: Array.from(variants.keys()).filter(
      (position) => !Array.from(variants[position].keys()).some((router) => variants[0].has(router)),
    ),
  };
}

/** One router's metric in one of the results. */
interface Side extends VariantOf {
  readonly interval: Interval;
}

function sideOf(results: Results, variant: Variant | undefined, column: RunColumnName): Side | null {
  const interval = variant === undefined ? null : metricOf(results, variant, column);
  return variant === undefined || interval === null ? null : { results, variant, interval };
}

function changeFrom(reference: Side, side: Side, { column, better }: MetricColumn, streamOf: StreamOf): MeanChange {
  const differences = pairedDifferences(reference, side, column, streamOf);
  const mean =
    differences === null ? meanDifference(side.interval, reference.interval) : meanOfDifferences(differences);
  const change = { ...mean, pairedSeeds: differences?.length ?? null };
  if (change.difference === 0 || better === null) return { ...change, direction: null };
  const isBetter = change.difference < 0 === (better === "lower");
  return { ...change, direction: isBetter ? "better" : "worse" };
}

/** A variant and its results. */
interface VariantOf {
  readonly results: Results;
  readonly variant: Variant;
}

/** Describes the batches that a run's routers saw, apart from the seed: equal texts mean equal batches; null if unknown. */
type StreamOf = (run: Run) => string | null;

/** A {@link StreamOf} that reads each run.json once. Throws `InputError` if one is not JSON. */
function createStreamReader(): StreamOf {
  const known = new Map<Run, string | null>();
  return (run) => {
    const stream = known.has(run) ? known.get(run)! : readStream(run);
    known.set(run, stream);
    return stream;
  };
}

/** If the stream depends on the router, no two routers see the same batches. */
function readStream({ files }: Run): string | null {
  const { scenario, input } = (files.record() ?? {}) as { scenario?: Record<string, unknown>; input?: unknown };
  const { stream, steps, tokens, experts } = scenario ?? {};
  const kind = findStreamKind(String((stream as { kind?: unknown } | null | undefined)?.kind));
  if (kind === undefined || kind.feedback !== undefined) return null;
  return JSON.stringify([stream, steps, tokens, experts, input]);
}

/**
 * Returns `one` − `reference` in `column`, a difference per seed, if both ran the same two or more seeds on the same stream
 * and all have the metric; otherwise null.
 */
function pairedDifferences(
  reference: VariantOf,
  one: VariantOf,
  column: string,
  streamOf: StreamOf,
): readonly number[] | null {
  const [expected, found] = [reference, one].map(membersBySeed);
  if (expected === null || found === null || expected.size < 2 || found.size !== expected.size) return null;
  const differences: number[] = [];
  for (const [seed, { run, row }] of expected) {
    const partner = found.get(seed);
    if (partner === undefined) return null;
    const stream = streamOf(run);
    if (stream === null || stream !== streamOf(partner.run)) return null;
    const [from, to] = [
      numberOf(reference.results.summary, row, column),
      numberOf(one.results.summary, partner.row, column),
    ];
    if (from === null || to === null) return null;
    differences.push(to - from);
  }
  return differences;
}

/** The variant's runs by seed; null if two have the same. */
function membersBySeed({ results: { summary }, variant: { members } }: VariantOf) {
  const bySeed = new Map(members.map((member) => [cellOf(summary, member.row, "seed"), member]));
  return bySeed.size === members.length ? bySeed : null;
}

/** A field of a scenario. */
interface ScenarioField {
  /** Its value, as JSON. */
  readonly value: string;
  /** Path of the router, if the field is one of its options; otherwise null. */
  readonly router: string | null;
}

/** The source of results. */
interface ResultSource {
  /** A simulated scenario, or the measurement of recorded choices or loads. */
  readonly kind: "scenario" | "measurement";
  readonly fields: ReadonlyMap<string, ScenarioField>;
}

/** Fields that do not change what is computed. */
const ignored = new Set(["description"]);
/** Fields of run.json about the program and its run, not about the input. */
const ofRecord = new Set(["command", "versions", "start", "end"]);

/**
 * Returns the fields of the scenario behind `results`, by path; options of routers are under the routers' names. For a sweep
 * they are those of its first cell without the swept paths, and `seed` lists all seeds. For a measurement they are the file
 * and the options of `measure`. Null if run.json is missing or has neither. Throws `InputError` if it is not JSON.
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
 * Returns the fields that differ between the scenarios, then those that differ between measurements, in order of first
 * appearance. For a router that not all scenarios have, only its kind is listed. Scenarios and measurements share no fields;
 * {@link differingSizes} compares their sizes.
 */
function differingFields(sources: readonly (ResultSource | null)[]): ComparedField[] {
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

/** Sizes with a column in every summary.csv. */
const sizes = ["experts", "steps", "tokens", "top_k"];

/**
 * Returns the sizes in summary.csv that differ between `results`: all that a scenario and a recording have in common. A size
 * that varies within one summary is a list; null, which is no difference, if a summary does not say.
 */
function differingSizes(results: readonly Results[]): ComparedField[] {
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

/** Makes each router a field, so that an added router does not show as a change of all that follow. */
function addRouters(fields: Map<string, ScenarioField>, routers: readonly unknown[]): void {
  for (const { label, kind, ...options } of routers.filter(isRecord)) {
    const path = `routers.${String(label ?? kind)}`;
    fields.set(path, { value: JSON.stringify(kind) ?? "", router: null });
    addFields(fields, `${path}.`, options, path);
  }
}

/**
 * Returns short names for folders: the last parts of each path, as many as distinguish it from all others. A folder that is
 * given twice gets a number.
 */
export function folderNames(folders: readonly string[]): string[] {
  const resolved = folders.map((folder) => path.resolve(folder));
  const names = resolved.map((folder) =>
    shortestTail(
      folder,
      resolved.filter((other) => other !== folder),
    ),
  );
  return names.map((name, position) => {
    const before = names.slice(0, position).filter((other) => other === name).length;
    return before === 0 ? name : `${name} (${before + 1})`;
  });
}

function shortestTail(folder: string, others: readonly string[]): string {
  const tailOf = (all: string, count: number) => all.split(path.sep).slice(-count).join(path.sep);
  const most = folder.split(path.sep).length;
  for (let count = 1; count < most; count++) {
    const tail = tailOf(folder, count);
    if (tail !== "" && others.every((other) => tailOf(other, count) !== tail)) return tail;
  }
  return folder;
}
