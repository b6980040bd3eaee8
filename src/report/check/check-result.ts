import { descending, sum } from "d3-array";

/** One thing in which results differ from their baseline. */
export interface Difference {
  readonly kind: "cell" | "missing row" | "extra row" | "missing column" | "missing file";
  /** Relative to the folder: `cells/3/steps.csv`. */
  readonly file: string;
  /** Null for a column and for a file. */
  readonly router: string | null;
  /** The other cells that say which row it is: scenario, seed, step, … and the swept parameters. */
  readonly row: Readonly<Record<string, string>>;
  /** Null for a row and for a file. */
  readonly column: string | null;
  /** The text of the cells; null where it is no cell that differs. */
  readonly baseline: string | null;
  readonly now: string | null;
  /** Of two numbers |now − baseline|, and how large it may be; null for anything else. */
  readonly difference: number | null;
  readonly allowed: number | null;
}

/** What was found of one router in one file, or of the file itself where the router is null. */
export interface RouterCheck {
  readonly file: string;
  readonly router: string | null;
  /** Cells of the baseline that were compared. */
  readonly cells: number;
  /** How many things differ, by column; rows, columns and files are counted under their kind. */
  readonly differing: ReadonlyMap<string, number>;
  /** The worst of the differences, at most {@link mostKept}. */
  readonly worst: readonly Difference[];
}

/** What a check found. */
export interface ResultCheck {
  readonly equal: boolean;
  /** Cells of the baseline that were compared: those of columns and rows that both have, keys apart. */
  readonly cells: number;
  /** How many things differ: cells, rows, columns and files. */
  readonly differing: number;
  /** How many things differ, by kind. */
  readonly byKind: ReadonlyMap<Difference["kind"], number>;
  /** In the order of the files and of the baseline's routers. */
  readonly parts: readonly RouterCheck[];
  /** What is no difference and yet worth saying: columns that the baseline lacks. */
  readonly notes: readonly string[];
}

/** The most differences that are remembered of one router in one file. */
export const mostKept = 100;

/** What a difference is counted under. */
export function columnOf({ kind, column }: Difference): string {
  return kind === "cell" ? column! : kind;
}

/** How many things differ in a part. */
export function totalOf({ differing }: RouterCheck): number {
  return sum(differing.values());
}

/** The worst differences of all parts, the worst first, at most `most`. */
export function worstOf({ parts }: Pick<ResultCheck, "parts">, most: number): Difference[] {
  return parts
    .flatMap(({ worst }) => worst)
    .sort(byWeight)
    .slice(0, most);
}

/**
 * Orders the worst first: what is no number, then numbers by how many times what is allowed they are apart, and where
 * nothing is allowed by how far.
 */
export function byWeight(a: Difference, b: Difference): number {
  return descending(excessOf(a), excessOf(b)) || descending(sizeOf(a), sizeOf(b));
}

function excessOf({ difference, allowed }: Difference): number {
  return difference === null || allowed === null ? Number.POSITIVE_INFINITY : difference / allowed;
}

function sizeOf({ difference }: Difference): number {
  return difference ?? Number.POSITIVE_INFINITY;
}
