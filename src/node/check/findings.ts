import { ascending, descending, sum } from "d3-array";

/** The possible outcomes of a comparison with the baseline. `same` is only counted. */
export const verdicts = ["missing", "worse", "changed", "new", "better", "same"] as const;
export type Verdict = (typeof verdicts)[number];

/** One difference from the baseline. */
export interface Finding {
  readonly verdict: Exclude<Verdict, "same">;
  /** What differs: a number or text, a whole row, a column or a file. */
  readonly kind: "value" | "row" | "column" | "file";
  /** Whether the check fails because of it. */
  readonly fails: boolean;
  /** Relative to the folder: `cells/3/steps.csv`. */
  readonly file: string;
  /** Null for a column and for a file. */
  readonly router: string | null;
  /** The other cells that identify the row: scenario, step, … and swept parameters; no seed for a mean over seeds. */
  readonly row: Readonly<Record<string, string>>;
  /** Null for a row and for a file. */
  readonly column: string | null;
  /** Text of the cell or of the mean over seeds, empty for an empty cell; null unless `kind` is `value`. */
  readonly baseline: string | null;
  readonly now: string | null;
  /** For two numbers, now − baseline, and the largest change allowed either way; otherwise null. */
  readonly change: number | null;
  readonly allowed: number | null;
}

/** The findings about one router in one file, or about the file itself if the router is null. */
export interface RouterFindings {
  readonly file: string;
  readonly router: string | null;
  /** How many values, rows, columns or files have each verdict. */
  readonly counts: ReadonlyMap<Verdict, number>;
  /** How many of them fail. */
  readonly failing: number;
  /** How many values have each verdict but `same`, by column; rows, columns and files are counted under those words. */
  readonly byColumn: ReadonlyMap<string, ReadonlyMap<Verdict, number>>;
  /** The worst first, at most {@link mostKept}. */
  readonly worst: readonly Finding[];
}

/** Maximum number of findings kept per router and file. */
const mostKept = 100;

/** Collects findings. Memory grows with the routers and files, not with the number of findings. */
export interface FindingCollector {
  /** Counts equal values of a router. */
  addSame(file: string, router: string, values: number): void;
  add(finding: Finding): void;
  /** In the order in which files and routers were added. */
  parts(): RouterFindings[];
}

interface Part extends RouterFindings {
  failing: number;
  readonly counts: Map<Verdict, number>;
  readonly byColumn: Map<string, Map<Verdict, number>>;
  readonly worst: Finding[];
}

export function createFindingCollector(): FindingCollector {
  const parts = new Map<string, Map<string | null, Part>>();

  function partOf(file: string, router: string | null): Part {
    const routers = parts.get(file) ?? new Map<string | null, Part>();
    parts.set(file, routers);
    const part = routers.get(router) ?? {
      file,
      router,
      counts: new Map(),
      failing: 0,
      byColumn: new Map(),
      worst: [],
    };
    routers.set(router, part);
    return part;
  }

  return {
    addSame(file, router, values) {
      addTo(partOf(file, router).counts, "same", values);
    },
    add(finding) {
      const part = partOf(finding.file, finding.router);
      const column = columnOf(finding);
      const ofColumn = part.byColumn.get(column) ?? new Map<Verdict, number>();
      part.byColumn.set(column, ofColumn);
      addTo(part.counts, finding.verdict, 1);
      addTo(ofColumn, finding.verdict, 1);
      if (finding.fails) part.failing += 1;
      insert(part.worst, finding);
    },
    parts: () => Array.from(parts.values()).flatMap((routers) => Array.from(routers.values())),
  };
}

function addTo(counts: Map<Verdict, number>, verdict: Verdict, more: number): void {
  counts.set(verdict, (counts.get(verdict) ?? 0) + more);
}

/** Inserts `finding` in order, after its equals, and drops the last one if there are too many. */
function insert(worst: Finding[], finding: Finding): void {
  if (worst.length === mostKept && byWeight(finding, worst[mostKept - 1]) >= 0) return;
  const place = worst.findIndex((other) => byWeight(finding, other) < 0);
  worst.splice(place < 0 ? worst.length : place, 0, finding);
  if (worst.length > mostKept) worst.pop();
}

/** The column or word under which a finding is counted. */
export function columnOf({ kind, column }: Finding): string {
  return kind === "value" ? column! : kind;
}

/** The number of findings and of equal values with each verdict. */
export function countsOf(parts: readonly RouterFindings[]): Map<Verdict, number> {
  const entries = verdicts.map((verdict) => [verdict, sum(parts, ({ counts }) => counts.get(verdict) ?? 0)] as const);
  return new Map(entries.filter(([, count]) => count > 0));
}

/** The worst findings of all parts, the worst first, at most `most`. */
export function worstOf(parts: readonly RouterFindings[], most: number): Finding[] {
  return parts
    .flatMap(({ worst }) => worst)
    .sort(byWeight)
    .slice(0, most);
}

/**
 * Orders findings, the worst first: failing ones; then by verdict; then by the change in units of the tolerance, or by the
 * change itself if the tolerance is 0. Text comes before numbers.
 */
function byWeight(a: Finding, b: Finding): number {
  return (
    descending(a.fails, b.fails) ||
    ascending(verdicts.indexOf(a.verdict), verdicts.indexOf(b.verdict)) ||
    descending(excessOf(a), excessOf(b)) ||
    descending(sizeOf(a), sizeOf(b))
  );
}

function excessOf({ change, allowed }: Finding): number {
  return change === null || allowed === null ? Number.POSITIVE_INFINITY : Math.abs(change) / allowed;
}

function sizeOf({ change }: Finding): number {
  return change === null ? Number.POSITIVE_INFINITY : Math.abs(change);
}
