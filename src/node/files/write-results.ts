import { appendFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import { stringify } from "csv-stringify/sync";
import type { Assignment } from "../../core/assignment.ts";
import type { TrainingFigures } from "../../core/metrics/catalogue.ts";
import {
  type Column,
  type CsvValue,
  cellsOf,
  cellText,
  diagnosticColumns,
  gpusHeader,
  headerOf,
  loadHeader,
  type ResultTable,
  type RowSource,
  type StepRow,
  stepColumnsOf,
  withLayer,
} from "../../core/results/result-columns.ts";
import { hasLayers, type RouterChoice, type Scenario } from "../../core/scenario/scenario.ts";
import type { RouterResult } from "../../core/simulation/result.ts";
import { loadSteps } from "../../core/simulation/router-run.ts";
import { trainingFigures } from "../../core/simulation/sharing.ts";
import type { TokenBatch } from "../../core/token-batch.ts";

const bytesPerWrite = 2 ** 16;
/** Such text is the same in a CSV file; all other text may need quotes. */
const plainText = /^[\w.+-]*$/;

/** Writes a CSV file (RFC 4180, line feeds) in pieces, so that memory does not grow with it. */
export interface CsvFile {
  write(row: readonly CsvValue[]): void;
  /** Writes the rows that are still in memory. */
  close(): void;
}

/**
 * Starts `file` with the row `header`, replacing what is there once the first piece is written. It is open only while it is
 * written to.
 */
export function createCsvFile(file: string, header: readonly string[]): CsvFile {
  // A small file is written at once: to create it first would take as long again.
  let append: (file: string, piece: Buffer | string) => void = writeFileSync;
  // Names occur in row after row.
  const quoted = new Map<string, string>();
  const pending = Buffer.allocUnsafe(bytesPerWrite);
  let bytes = 0;

  function cellOf(value: CsvValue): string {
    if (typeof value !== "string") return cellText(value);
    if (plainText.test(value)) return value;
    let cell = quoted.get(value);
    if (cell === undefined) {
      cell = stringify([[value]], { eof: false });
      quoted.set(value, cell);
    }
    return cell;
  }

  function write(row: readonly CsvValue[]): void {
    let line = cellOf(row[0]);
    for (let i = 1; i < row.length; i++) line += `,${cellOf(row[i])}`;
    line += "\n";
    const length = Buffer.byteLength(line);
    if (bytes + length > bytesPerWrite) writePending();
    if (length > bytesPerWrite) writePiece(line);
    else bytes += pending.write(line, bytes);
  }

  function writePiece(piece: Buffer | string): void {
    append(file, piece);
    append = appendFileSync;
  }

  function writePending(): void {
    if (bytes > 0) writePiece(pending.subarray(0, bytes));
    quoted.clear();
    bytes = 0;
  }

  write(header);
  return { write, close: writePending };
}

/** Writes `table` into `folder`, under its own name. */
export function writeTable(folder: string, { file, columns, rows }: ResultTable): void {
  const csv = createCsvFile(path.join(folder, file), columns);
  for (const row of rows) csv.write(row);
  csv.close();
}

/** Writes steps.csv, loads.csv and diagnostics.csv, the rows of one router (and layer) after those of another. */
export interface StepFiles {
  write(row: StepRow): void;
  /** Writes the `load` `[experts]` of a step, of `layer` if there are several, to loads.csv. */
  writeLoad(source: RowSource, step: number, load: ArrayLike<number>, layer?: number): void;
  close(): void;
}

/**
 * @param training the training metrics for which steps.csv has columns
 * @param hasLayers whether there are several layers, so that the last column of each file is the layer's id
 * @param isPlaced whether the scenario places experts, so that steps.csv has the columns of placements
 */
export function createStepFiles(
  folder: string,
  training: TrainingFigures,
  hasLayers = false,
  isPlaced = false,
): StepFiles {
  const ofLayers = (columns: readonly Column<StepRow>[]) => (hasLayers ? withLayer(columns) : columns);
  const [stepColumns, furtherColumns] = [stepColumnsOf(training, isPlaced), diagnosticColumns(isPlaced)].map(ofLayers);
  const steps = createCsvFile(path.join(folder, "steps.csv"), headerOf(stepColumns));
  const loads = createCsvFile(path.join(folder, "loads.csv"), [...loadHeader, ...(hasLayers ? ["layer"] : [])]);
  const diagnostics = createCsvFile(path.join(folder, "diagnostics.csv"), headerOf(furtherColumns));
  return {
    write(row) {
      steps.write(cellsOf(stepColumns, row));
      diagnostics.write(cellsOf(furtherColumns, row));
    },
    writeLoad({ scenario, router, seed }, step, load, layer) {
      const place = hasLayers ? [layer!] : [];
      for (let expert = 0; expert < load.length; expert++) {
        loads.write([scenario, router, seed, step, expert, load[expert], ...place]);
      }
    },
    close() {
      for (const file of [steps, loads, diagnostics]) file.close();
    },
  };
}

/** Rows written before a signal or a progress bar gets its turn. */
const rowsPerTurn = 512;

/** Writes steps.csv, loads.csv and diagnostics.csv of a run, in the order of `results`. */
export async function writeSteps(folder: string, scenario: Scenario, results: readonly RouterResult[]): Promise<void> {
  const files = createStepFiles(
    folder,
    trainingFigures(scenario),
    hasLayers(scenario),
    scenario.placement !== undefined,
  );
  const sampled = loadSteps(scenario);
  const { experts } = scenario;
  try {
    for (const { router, layer, steps, series, figureAt } of results) {
      const source = rowSource(scenario, router);
      for (let step = 0; step < steps; step++) {
        files.write({ source, step, layer, figure: (column) => figureAt(step, column) });
        if (step % rowsPerTurn === 0) await setImmediate();
      }
      for (const [row, step] of sampled.entries()) {
        files.writeLoad(source, step, series.loads.subarray(row * experts, (row + 1) * experts), layer);
      }
    }
  } finally {
    files.close();
  }
  if (scenario.placement !== undefined) writeGpuLoads(folder, scenario, results);
}

/** Writes gpus.csv of a run that places experts. */
function writeGpuLoads(folder: string, scenario: Scenario, results: readonly RouterResult[]): void {
  const isLayered = hasLayers(scenario);
  const file = createCsvFile(path.join(folder, "gpus.csv"), [...gpusHeader, ...(isLayered ? ["layer"] : [])]);
  for (const { router, layer, gpuLoads } of results) {
    const { unplaced, placed } = gpuLoads!;
    const place = isLayered ? [layer!] : [];
    for (let gpu = 0; gpu < placed.length; gpu++) {
      file.write([scenario.name, router.name, scenario.seed, gpu, unplaced[gpu], placed[gpu], ...place]);
    }
  }
  file.close();
}

/** The first columns of a router's rows. */
export function rowSource(scenario: Scenario, router: RouterChoice): RowSource {
  return { scenario: scenario.name, router: router.name, kind: router.kind, seed: scenario.seed };
}

/** Writes run.json: what was run, with which program and when. */
export function writeRunRecord(folder: string, record: object): void {
  writeFileSync(path.join(folder, "run.json"), `${JSON.stringify(record, null, 2)}\n`);
}

/** Writes the file of `route --out`, a row per slot. */
export interface AssignmentFile {
  /**
   * Writes the rows of a batch, each token at its place in the step of the recording; padding has no rows.
   *
   * @param keepEmpty whether to write slots without an expert, as expert −1 with gate 0
   * @param layer the layer's id, if there are several
   */
  write(batch: TokenBatch, assignment: Assignment, keepEmpty: boolean, layer?: number): void;
  close(): void;
}

/** @param hasLayers whether there are several layers, so that the last column is the layer's id */
export function createAssignmentFile(name: string, hasLayers = false): AssignmentFile {
  const file = createCsvFile(name, ["step", "token", "slot", "expert", "gate", ...(hasLayers ? ["layer"] : [])]);
  return {
    write({ step, tokens, position }, { slots, expert, gate }, keepEmpty, layer) {
      const place = hasLayers ? [layer!] : [];
      for (let pair = 0; pair < tokens * slots; pair++) {
        if (expert[pair] < 0 && !keepEmpty) continue;
        const token = Math.floor(pair / slots);
        file.write([step, position?.[token] ?? token, pair % slots, expert[pair], gate[pair], ...place]);
      }
    },
    close: file.close,
  };
}
