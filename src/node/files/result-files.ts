import { rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import type { RegretSeries } from "../../core/metrics/regret.ts";
import type { StepRecord } from "../../core/metrics/step-record.ts";
import { createRandom } from "../../core/random.ts";
import {
  type Column,
  cellsOf,
  diagnosticColumns,
  headerOf,
  isTrained,
  loadHeader,
  type RowSource,
  type StepRow,
  type SummaryRow,
  sourceColumns,
  stepColumnsOf,
  summaryColumnsOf,
  type TimingRow,
  timingColumnsOf,
} from "../../core/results/result-columns.ts";
import { drawWithEnds, type StratifiedSample } from "../../core/stratified-sample.ts";
import { type CsvFile, createCsvFile } from "./csv-file.ts";
import { type CheckedPart, checkPart, type PartMark } from "./part-file.ts";
import { createStepRows, readStepRows } from "./step-rows.ts";

const stepFiles = ["steps", "loads", "diagnostics"] as const;

/** The names of all files that a run writes. */
export const resultFiles = [
  "summary.csv",
  ...stepFiles.map((name) => `${name}.csv`),
  "timing.csv",
  "run.json",
] as const;

/** The names of the files that a sweep writes besides those of its cells. */
export const sweepFiles = ["summary.csv", "intervals.csv"] as const;

/** The names of all files that run, sweep or measure write. */
export const resultNames: readonly string[] = Array.from(new Set([...resultFiles, ...sweepFiles]));

/** How far the part files of a router have been written. */
export type StepFileMarks = Readonly<Record<(typeof stepFiles)[number], PartMark>>;

/** Writes what one router does, step by step, into part files of its own, so that routers can run side by side. */
export interface StepFiles {
  write(record: StepRecord): void;
  /** Puts all that was written on the disk. */
  flush(): StepFileMarks;
  close(): void;
}

/** What is to come into step files. */
export interface ComingSteps {
  readonly steps: number;
  /** At most so many of the steps go to loads.csv: the first, the last, and others drawn by the source's seed. */
  readonly loadSamples: number;
  /** Whether the stream trains, and steps have what that came to. */
  readonly trains: boolean;
}

/**
 * Opens the part files of the router at `position` among the run's, in `folder`. Throws `InputError` where what is to be
 * kept of them is not as it was.
 *
 * @param kept what stays of files that are there
 */
export function createStepFiles(
  folder: string,
  position: number,
  source: RowSource,
  { steps, loadSamples, trains }: ComingSteps,
  kept: StepFileMarks | null = null,
): StepFiles {
  // All are checked before one is changed.
  const checked = kept && checkStepFiles(folder, position, kept);
  const stepRows = createStepRows(partFile(folder, "steps", position), stepColumnsOf(trains), checked?.steps ?? null);
  const loadFile = createCsvFile(partFile(folder, "loads", position), null, checked?.loads ?? null);
  const diagnosticFile = createCsvFile(partFile(folder, "diagnostics", position), null, checked?.diagnostics ?? null);
  // Recorded choices come from no seed, and always have the same sample.
  const sampled = new Set(drawWithEnds(steps, loadSamples, createRandom(source.seed ?? 0).derive("loads")));
  return {
    write(record) {
      const row = { source, record };
      stepRows.write(row);
      diagnosticFile.write(cellsOf(diagnosticColumns, row));
      if (!sampled.has(record.step)) return;
      for (let expert = 0; expert < record.load.length; expert++) {
        loadFile.write([source.scenario, source.router, source.seed, record.step, expert, record.load[expert]]);
      }
    },
    flush: () => ({ steps: stepRows.flush(), loads: loadFile.flush(), diagnostics: diagnosticFile.flush() }),
    close() {
      for (const file of [stepRows, loadFile, diagnosticFile]) file.close();
    },
  };
}

/** Throws `InputError` where the part files of the router at `position` do not begin with what `marks` say. */
export function checkStepFiles(
  folder: string,
  position: number,
  marks: StepFileMarks,
): Readonly<Record<(typeof stepFiles)[number], CheckedPart>> {
  const check = (name: (typeof stepFiles)[number]) => checkPart(partFile(folder, name, position), marks[name]);
  return { steps: check("steps"), loads: check("loads"), diagnostics: check("diagnostics") };
}

/** After so many rows a signal or a progress bar gets its turn. */
const rowsPerTurn = 512;

const lateCells = {
  regret: stepCell("regret"),
  regretCumulative: stepCell("regret_cumulative"),
  optimumGap: stepCell("optimum_gap"),
  dualRegret: stepCell("dual_regret_cumulative"),
};

/** Where a column of steps.csv is among the cells after the source's. */
function stepCell(column: string): number {
  return headerOf(stepColumnsOf(false)).indexOf(column) - sourceColumns;
}

/** What of a router's rows in steps.csv is only known when the run is over. */
export interface LateColumns {
  readonly source: RowSource;
  /** The regret of the steps of `sample`; null if none was measured. */
  readonly regret: { readonly sample: StratifiedSample; readonly series: RegretSeries } | null;
  /** `[steps]`; null for routers without. */
  readonly dualRegret: Float64Array | null;
}

/**
 * Joins the part files of routers in `partFolder`, in their order, into steps.csv, loads.csv and diagnostics.csv in `folder`.
 * Where these are the same folder, the part files go away.
 *
 * @param trains as the part files were made with
 */
export async function joinStepFiles(
  folder: string,
  routers: readonly LateColumns[],
  trains: boolean,
  partFolder = folder,
): Promise<void> {
  const remove = (part: string) => {
    if (partFolder === folder) rmSync(part);
  };
  const columns = stepColumnsOf(trains);
  const steps = createCsvFile(path.join(folder, "steps.csv"), headerOf(columns));
  try {
    for (const [position, late] of routers.entries()) {
      const part = partFile(partFolder, "steps", position);
      await writeStepRows(steps, part, columns, late);
      remove(part);
    }
  } finally {
    steps.close();
  }
  for (const [name, header] of [
    ["loads", loadHeader],
    ["diagnostics", headerOf(diagnosticColumns)],
  ] as const) {
    const whole = path.join(folder, `${name}.csv`);
    createCsvFile(whole, header).close();
    for (const position of routers.keys()) {
      const part = partFile(partFolder, name, position);
      await appendFile(whole, part);
      remove(part);
    }
  }
}

async function writeStepRows(
  file: CsvFile,
  part: string,
  columns: readonly Column<StepRow>[],
  late: LateColumns,
): Promise<void> {
  const { source, regret, dualRegret } = late;
  let step = 0;
  for (const cells of readStepRows(part, columns)) {
    const measured = regret?.sample.stratumOf(step) ?? -1;
    cells[lateCells.regret] = regret?.series.regret[measured] ?? null;
    cells[lateCells.regretCumulative] = regret?.series.regretCumulative[measured] ?? null;
    cells[lateCells.optimumGap] = regret?.series.optimumGap[measured] ?? null;
    cells[lateCells.dualRegret] = dualRegret?.[step] ?? null;
    file.write([source.scenario, source.router, source.seed, ...cells]);
    step += 1;
    if (step % rowsPerTurn === 0) await setImmediate();
  }
}

/** Appends the bytes of `part` to `whole`, all through one buffer. */
async function appendFile(whole: string, part: string): Promise<void> {
  const buffer = new Uint8Array(2 ** 16);
  const from = await open(part);
  try {
    const to = await open(whole, "a");
    try {
      for (;;) {
        const { bytesRead } = await from.read(buffer);
        if (bytesRead === 0) return;
        await to.writeFile(buffer.subarray(0, bytesRead));
      }
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

function partFile(folder: string, name: string, position: number): string {
  return path.join(folder, `${name}.${position}.part`);
}

/** Writes summary.csv. */
export function writeSummary(folder: string, rows: readonly SummaryRow[]): void {
  const columns = summaryColumnsOf(rows.some(isTrained));
  const file = createCsvFile(path.join(folder, "summary.csv"), headerOf(columns));
  for (const row of rows) file.write(cellsOf(columns, row));
  file.close();
}

/** Writes timing.csv. */
export function writeTiming(folder: string, rows: readonly TimingRow[]): void {
  const columns = timingColumnsOf(rows.some(({ timing }) => timing.trainMs !== null));
  const file = createCsvFile(path.join(folder, "timing.csv"), headerOf(columns));
  for (const row of rows) file.write(cellsOf(columns, row));
  file.close();
}

/** Writes run.json: the resolved scenario, and with which program and when it was run. */
export function writeRunRecord(folder: string, record: object): void {
  writeFileSync(path.join(folder, "run.json"), `${JSON.stringify(record, null, 2)}\n`);
}
