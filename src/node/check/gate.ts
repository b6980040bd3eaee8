import { z } from "zod";
import { InputError } from "../../core/input-error.ts";
import { directionOf, metricColumns } from "../../core/metrics/catalogue.ts";
import { printable } from "../../core/results/format.ts";
import { parsePlainData } from "../../core/scenario/plain-data.ts";
import { describeIssues, mostProblems, problemsError } from "../../core/scenario/problems.ts";
import { suggestion } from "../../core/suggestion.ts";
import { readSmallFile } from "../files/input-file.ts";
import { judgeChange, parseTolerance, roundingOf, type Tolerance, toleranceForms } from "./tolerances.ts";

/** A gate file of a thousand entries has a tenth of this. */
const mostBytes = 1 << 20;

/** The limit for a metric. */
export type GateBound =
  | { readonly kind: "max" | "min"; readonly limit: number }
  | { readonly kind: "worse-by"; readonly tolerance: Tolerance };

/** One entry of a gate file. */
export interface GateEntry {
  /** Position in the file, from 1. */
  readonly position: number;
  /** A column of summary.csv, and of layers.csv if a layer is given. */
  readonly metric: string;
  /** Null: every router. */
  readonly router: string | null;
  /** Number of the layer in the model; null: the whole model. */
  readonly layer: number | null;
  readonly bound: GateBound;
}

/** The contents of a gate file. */
export interface Gate {
  readonly file: string;
  readonly entries: readonly GateEntry[];
}

/** The result of an entry for one router (and layer, and combination of swept values). */
export interface GateResult {
  readonly entry: GateEntry;
  readonly router: string;
  /** The other cells that identify the row, without the seed. */
  readonly row: Readonly<Record<string, string>>;
  /** The mean over seeds. */
  readonly value: number;
  /** The baseline's mean; null for `max` and `min`. */
  readonly baseline: number | null;
  /** The value's limit, or how much worse than the baseline it may be. */
  readonly allowed: number;
  readonly passed: boolean;
}

/** One of the two folders of a check. */
export type CheckedFolder = "baseline" | "results";

/** A row that an entry with `worse-by` matches but cannot judge, because one folder has nothing to compare. */
export interface UnjudgedRow extends GateRow {
  readonly entry: GateEntry;
  readonly lackedBy: CheckedFolder;
  /** Whether the folder lacks the row or only the metric in it. */
  readonly what: "row" | "metric";
}

/** The results of a gate, in the order of its entries. */
export interface GateJudgement {
  readonly results: readonly GateResult[];
  readonly notJudged: readonly UnjudgedRow[];
}

/** A row of summary.csv or layers.csv without its seed: what an entry can match. */
export interface GateRow {
  readonly router: string;
  readonly row: Readonly<Record<string, string>>;
}

/** A row in one folder; `meanOf` is a column's mean over seeds, null if the column is empty. */
export interface LimitedRow extends GateRow {
  meanOf(column: string): number | null;
}

/** A row in both folders. */
export interface ComparedRow extends GateRow {
  /** Null if no seed has the metric in both folders. */
  changeOf(column: string, tolerance: Tolerance): ComparedMeans | null;
  /** Whether a seed has the metric in both folders. */
  hasBoth(column: string): boolean;
  /** The folder that lacks the metric for a seed for which the other has it; the results if both do, null if neither does. */
  lackedBy(column: string): CheckedFolder | null;
}

/** A row, or a seed of a row, that only one folder has. */
export interface UnpairedRow extends GateRow {
  readonly lackedBy: CheckedFolder;
}

/** Means over the seeds that both folders have, and the change that a tolerance allows. */
export interface ComparedMeans {
  readonly baseline: number;
  readonly now: number;
  readonly allowed: number;
}

const limitSchema = z.number({
  error: ({ input }) =>
    typeof input === "string" && input.trim().endsWith("%")
      ? "a percentage is relative to a baseline and belongs to worse-by; a limit is a number"
      : undefined,
});

const entrySchema = z.strictObject({
  metric: z.string(),
  router: z.string().optional(),
  layer: z.number().int().min(0).optional(),
  max: limitSchema.optional(),
  min: limitSchema.optional(),
  "worse-by": z.union([z.number(), z.string()]).optional(),
});

/** An entry has exactly one of these keys. */
const boundKeys = ["max", "min", "worse-by"] as const;

/**
 * Reads a gate file, YAML or JSON: a list of `{metric, router?, layer?, max | min | worse-by}`. Throws one `InputError`
 * that names every entry that is wrong.
 */
export function readGate(file: string): Gate {
  const written = parsePlainData(readSmallFile(file, mostBytes).toString("utf8"), file);
  if (!Array.isArray(written) || written.length === 0) {
    throw new InputError(`${file}: a list of entries is expected, e.g. "- { metric: max_vio_batch_mean, max: 0.5 }"`);
  }
  const problems: string[] = [];
  const entries = written.flatMap((one, index): GateEntry[] => {
    const parsed = entrySchema.safeParse(one);
    const found = parsed.success ? entryProblems(parsed.data) : describeIssues(parsed.error, entrySchema, one).lines;
    problems.push(...found.map((problem) => `entry ${index + 1}: ${problem}`));
    if (!parsed.success || found.length > 0) return [];
    const { metric, router = null, layer = null, ...bounds } = parsed.data;
    return [{ position: index + 1, metric, router, layer, bound: boundOf(bounds) }];
  });
  if (problems.length > 0) {
    throw problemsError(file, { lines: problems.slice(0, mostProblems), count: problems.length });
  }
  return { file, entries };
}

type WrittenEntry = z.infer<typeof entrySchema>;

/** Finds the problems that the schema cannot express. */
function entryProblems(entry: WrittenEntry): string[] {
  const { metric } = entry;
  const known: readonly string[] = metricColumns.map(({ column }) => column);
  if (!known.includes(metric)) {
    return [`unknown metric ${JSON.stringify(metric)}.${suggestion(metric, known)} Allowed: ${known.join(", ")}.`];
  }
  if (boundKeys.filter((key) => entry[key] !== undefined).length !== 1) {
    return [`${metric}: exactly one of ${boundKeys.join(", ")} is expected`];
  }
  const worseBy = entry["worse-by"];
  if (worseBy === undefined) return [];
  if (directionOf(metric) === null) return [`${metric}: neither way is better, so nothing is worse; use max or min`];
  try {
    parseTolerance(String(worseBy), "worse-by");
    return [];
  } catch {
    return [`${metric}: worse-by: ${JSON.stringify(worseBy)} is not allowed; ${toleranceForms} is expected`];
  }
}

function boundOf({ max, min, "worse-by": worseBy }: Pick<WrittenEntry, (typeof boundKeys)[number]>): GateBound {
  if (max !== undefined) return { kind: "max", limit: max };
  if (min !== undefined) return { kind: "min", limit: min };
  return { kind: "worse-by", tolerance: parseTolerance(String(worseBy), "worse-by") };
}

/** The entry in words: `score of ssr, layer 3: worse-by 5%`. */
export function formatEntry(entry: GateEntry): string {
  const { metric, router, layer } = entry;
  const where = `${router === null ? "" : ` of ${printable(router)}`}${layer === null ? "" : `, layer ${layer}`}`;
  return `${metric}${where}: ${formatBound(entry)}`;
}

/** `max 0.5`, `worse-by 5%`. */
export function formatBound({ bound }: GateEntry): string {
  return `${bound.kind} ${bound.kind === "worse-by" ? bound.tolerance.text : bound.limit}`;
}

/** Why a row is not judged: `the baseline has no score`. */
export function reasonOf({ entry, lackedBy, what }: UnjudgedRow): string {
  const isOne = lackedBy === "baseline";
  return `the ${lackedBy} ${isOne ? "has" : "have"} no ${what === "row" ? "such row" : entry.metric}`;
}

/** Whether an entry applies to a row. An entry without a layer applies to rows without one: the whole model. */
function matches({ router, layer }: GateEntry, one: GateRow): boolean {
  const ofLayer = one.row.layer === undefined ? null : Number(one.row.layer);
  return (router === null || router === one.router) && layer === ofLayer;
}

/**
 * The tolerances that `worse-by` entries set for a metric of a row, all of which must hold, instead of `--tolerance` and
 * `--metric`. A layer without tolerances of its own has those of the whole model.
 */
export function gateTolerances({ entries }: Gate, metric: string, one: GateRow): Tolerance[] {
  const named = entries.filter((entry) => entry.metric === metric);
  const own = named.filter((entry) => matches(entry, one));
  const { layer: _, ...rest } = one.row;
  const chosen = own.length > 0 ? own : named.filter((entry) => matches(entry, { router: one.router, row: rest }));
  return chosen.flatMap(({ bound }) => (bound.kind === "worse-by" ? [bound.tolerance] : []));
}

/**
 * Judges every entry for every row that it matches. Throws `InputError` for an entry that matches no row, only rows whose
 * metric is empty, or only rows that the baseline lacks: an entry that enforces nothing must never pass. What the results
 * lack is not an error here, because the comparison with the baseline already fails.
 *
 * @param limited the rows of the results, for `max` and `min`
 * @param compared the rows that the results and the baseline have, for `worse-by`; null without a baseline
 * @param unpaired the rows that only one of them has: `worse-by` does not judge them
 */
export function judgeGate(
  { file, entries }: Gate,
  limited: readonly LimitedRow[],
  compared: readonly ComparedRow[] | null,
  unpaired: readonly UnpairedRow[],
): GateJudgement {
  const judgements = entries.map((entry): GateJudgement => {
    const { bound, metric } = entry;
    const where = `${file}: entry ${entry.position}: ${formatEntry(entry)}`;
    const isMatched = (one: GateRow) => matches(entry, one);
    if (bound.kind === "worse-by" && compared === null) {
      throw new InputError(`${where}: needs --baseline, the results that it must not be worse than`);
    }
    const ofResults = limited.filter(isMatched);
    const pairs = bound.kind === "worse-by" ? compared!.filter(isMatched) : [];
    const results =
      bound.kind === "worse-by"
        ? pairs.flatMap((one) => judgeWorseBy(entry, bound.tolerance, one))
        : ofResults.flatMap((one) => judgeLimit(entry, bound.kind, bound.limit, one));
    const notJudged = bound.kind === "worse-by" ? unjudgedRows(entry, pairs, unpaired.filter(isMatched)) : [];
    if (bound.kind !== "worse-by" && results.length > 0) {
      // If all rows were empty, the entry would judge nothing, which is an error.
      const empty = ofResults.filter((one) => one.meanOf(metric) === null);
      notJudged.push(
        ...empty.map(({ router, row }): UnjudgedRow => ({ entry, router, row, lackedBy: "results", what: "metric" })),
      );
    }
    if (results.length > 0 || notJudged.some(({ lackedBy }) => lackedBy === "results")) return { results, notJudged };
    if (notJudged.length > 0) {
      throw new InputError(`${where}: judges nothing: ${missingText(notJudged)}; ${remedy}`);
    }
    if (pairs.length > 0 || (bound.kind !== "worse-by" && ofResults.length > 0)) {
      throw new InputError(`${where}: ${metric} is empty in every row that it matches, so there is nothing to judge`);
    }
    // Rows that do not even reach the comparison: those of layers.csv.
    if (ofResults.length > 0)
      throw new InputError(`${where}: judges nothing: the baseline has no layers.csv; ${remedy}`);
    throw new InputError(`${where}: matches no row.${unmatchedHelp(entry, limited)}`);
  });
  return {
    results: judgements.flatMap(({ results }) => results),
    notJudged: judgements.flatMap(({ notJudged }) => notJudged),
  };
}

const remedy = "make a baseline that has it (--update), use max or min, which need no baseline, or remove the entry";

/** The rows without a seed that can be compared, each once. A metric that is empty in both folders does not apply. */
function unjudgedRows(
  entry: GateEntry,
  pairs: readonly ComparedRow[],
  unpaired: readonly UnpairedRow[],
): UnjudgedRow[] {
  const keyOf = ({ router, row }: GateRow) => JSON.stringify([router, row]);
  const ofPairs = pairs.flatMap((one): UnjudgedRow[] => {
    const { router, row } = one;
    const lackedBy = one.hasBoth(entry.metric) ? null : one.lackedBy(entry.metric);
    return lackedBy === null ? [] : [{ entry, router, row, lackedBy, what: "metric" }];
  });
  const paired = new Set(pairs.map(keyOf));
  const alone = new Map<string, UnjudgedRow>();
  for (const { router, row, lackedBy } of unpaired) {
    const key = keyOf({ router, row });
    // If the seeds differ, both folders lack it; what the results lack makes the check fail.
    if (!paired.has(key) && alone.get(key)?.lackedBy !== "results") {
      alone.set(key, { entry, router, row, lackedBy, what: "row" });
    }
  }
  return [...ofPairs, ...alone.values()];
}

/** Describes rows that the baseline lacks: `the baseline has no score of router a, b`. */
function missingText(rows: readonly UnjudgedRow[]): string {
  const [{ entry }] = rows;
  return (["row", "metric"] as const)
    .flatMap((what) => {
      const routers = Array.from(new Set(rows.filter((one) => one.what === what).map(({ router }) => router)));
      const lacked = what === "row" ? "row" : entry.metric;
      return routers.length === 0
        ? []
        : [`the baseline has no ${lacked} of router ${routers.map(printable).join(", ")}`];
    })
    .join("; ");
}

function unmatchedHelp({ router, layer }: GateEntry, rows: readonly GateRow[]): string {
  const routers = Array.from(new Set(rows.map((one) => one.router)));
  const isOfLayer = rows.some((one) => one.row.layer !== undefined);
  if (router !== null && !routers.includes(router)) {
    return `${suggestion(router, routers)} Routers: ${routers.map(printable).join(", ")}.`;
  }
  return layer !== null && !isOfLayer ? " The results have no layers.csv." : "";
}

function judgeLimit(entry: GateEntry, kind: "max" | "min", limit: number, one: LimitedRow): GateResult[] {
  const { router, row } = one;
  const value = one.meanOf(entry.metric);
  if (value === null) return [];
  const excess = kind === "max" ? value - limit : limit - value;
  return [{ entry, router, row, value, baseline: null, allowed: limit, passed: excess <= roundingOf(value, limit) }];
}

function judgeWorseBy(entry: GateEntry, tolerance: Tolerance, one: ComparedRow): GateResult[] {
  const { router, row } = one;
  const means = one.changeOf(entry.metric, tolerance);
  if (means === null) return [];
  const { baseline, now, allowed } = means;
  const passed = judgeChange(now - baseline, allowed, directionOf(entry.metric)) !== "worse";
  return [{ entry, router, row, value: now, baseline, allowed, passed }];
}
