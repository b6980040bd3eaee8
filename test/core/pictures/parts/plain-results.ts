import type { ReportData, VariantData } from "../../../../src/core/pictures/parts/report-data.ts";
import type { Results, RunFiles, StepSeries } from "../../../../src/core/results/results.ts";
import { variantsOf } from "../../../../src/core/results/variants.ts";

/** A row of summary.csv: the columns that matter, by name. */
export type PlainRow = Readonly<Record<string, string | number>>;

/** Of a run that left its rows of the summary alone. */
const noFiles: RunFiles = {
  recordPath: "plain/run.json",
  record: () => undefined,
  stepColumns: async () => [],
  stepSeries: async () => new Map(),
  loadSeries: async () => new Map(),
  layerLoads: async () => new Map(),
  gpuLoads: async () => new Map(),
  layers: () => null,
  routeMs: () => new Map(),
  dualRegret: () => [],
  missing: (names) => names,
};

/** Results of one run a seed, as if read from files; `parameters` names the columns of a sweep. */
export function plainResults(rows: readonly PlainRow[], parameters: readonly string[] = []): Results {
  const columns = Array.from(new Set(rows.flatMap((row) => Object.keys(row))));
  return {
    folder: "plain",
    name: "plain",
    description: "",
    summary: {
      file: "plain/summary.csv",
      columns,
      rows: rows.map((row) => columns.map((column) => String(row[column] ?? ""))),
    },
    parameters,
    runs: rows.map((_, row) => ({ folder: `plain/${row}`, rows: [row], files: noFiles })),
  };
}

/** Variants of `results` with `seriesOf` each; all are featured. */
export function plainData(results: Results, seriesOf: (name: string) => readonly StepSeries[] = () => []): ReportData {
  const variants = variantsOf(results).map(
    (variant, position): VariantData => ({
      ...variant,
      position,
      isFeatured: true,
      series: seriesOf(variant.name),
      loads: null,
      gpuLoads: null,
      layers: null,
    }),
  );
  return { results, variants };
}

/** A column of steps.csv from step 0 on. */
export function plainSeries(column: string, values: readonly number[]): StepSeries {
  return { step: Array.from(values.keys()), columns: { [column]: values } };
}
