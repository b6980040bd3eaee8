import type { CsvValue } from "../../node/files/csv-file.ts";
import type { RunSummary } from "../metrics/run-summary.ts";
import type { StepRecord } from "../metrics/step-record.ts";

/** The first columns of every file: which scenario, router and seed a row is about. */
export interface RowSource {
  readonly scenario: string;
  readonly router: string;
  readonly kind: string;
  /** Null for recorded choices, which come from no seed. */
  readonly seed: number | null;
}

/** A run's sizes as summary.csv shows them; null where recorded data does not tell. */
export interface RunSizes {
  readonly steps: number;
  readonly tokens: number | null;
  readonly experts: number;
  readonly topK: number | null;
}

export interface Column<Row> {
  readonly name: string;
  readonly value: (row: Row) => CsvValue;
}

export interface SummaryRow {
  readonly source: RowSource;
  readonly sizes: RunSizes;
  readonly summary: RunSummary;
  /** Of the whole run; null for routers without a bias, or when it was not asked for. */
  readonly dualRegret: number | null;
}

/** The columns of every summary.csv, one row per router. */
const summaryColumns: readonly Column<SummaryRow>[] = [
  { name: "scenario", value: ({ source }) => source.scenario },
  { name: "router", value: ({ source }) => source.router },
  { name: "kind", value: ({ source }) => source.kind },
  { name: "seed", value: ({ source }) => source.seed },
  { name: "steps", value: ({ sizes }) => sizes.steps },
  { name: "tokens", value: ({ sizes }) => sizes.tokens },
  { name: "experts", value: ({ sizes }) => sizes.experts },
  { name: "top_k", value: ({ sizes }) => sizes.topK },
  { name: "max_vio_global", value: ({ summary }) => summary.maxVioGlobal },
  { name: "max_vio_batch_mean", value: ({ summary }) => summary.maxVioBatchMean },
  { name: "max_vio_batch_p95", value: ({ summary }) => summary.maxVioBatchP95 },
  { name: "max_vio_batch_max", value: ({ summary }) => summary.maxVioBatchMax },
  { name: "load_cv", value: ({ summary }) => summary.loadCv },
  { name: "load_gini", value: ({ summary }) => summary.loadGini },
  { name: "load_entropy", value: ({ summary }) => summary.loadEntropy },
  { name: "idle_fraction_mean", value: ({ summary }) => summary.idleFractionMean },
  { name: "idle_fraction_max", value: ({ summary }) => summary.idleFractionMax },
  { name: "idle_streak_max", value: ({ summary }) => summary.idleStreakMax },
  { name: "dead_experts", value: ({ summary }) => summary.deadExperts },
  { name: "dropped_fraction", value: ({ summary }) => summary.droppedFraction },
  { name: "score", value: ({ summary }) => summary.score },
  { name: "regret_mean", value: ({ summary }) => summary.regretMean },
  { name: "regret_cumulative", value: ({ summary }) => summary.regretCumulative },
  { name: "optimum_gap_max", value: ({ summary }) => summary.optimumGapMax },
  { name: "dual_regret_cumulative", value: ({ dualRegret }) => dualRegret },
  { name: "churn", value: ({ summary }) => summary.churn },
  { name: "rank_max_vio", value: ({ summary }) => summary.rankMaxVio },
  { name: "step_time_mean", value: ({ summary }) => summary.stepTimeMean },
  { name: "sinkhorn_steps", value: ({ summary }) => summary.sinkhornSteps },
  { name: "solver_iterations_mean", value: ({ summary }) => summary.solverIterationsMean },
  { name: "not_converged_steps", value: ({ summary }) => summary.notConvergedSteps },
  { name: "regret_se", value: ({ summary }) => summary.regretSe },
];

const trainingSummaryColumns: readonly Column<SummaryRow>[] = [
  { name: "task_loss", value: ({ summary }) => summary.taskLoss },
  { name: "task_loss_mean", value: ({ summary }) => summary.taskLossMean },
  { name: "gate_gradient_norm_mean", value: ({ summary }) => summary.gateGradientNormMean },
  { name: "routing_entropy", value: ({ summary }) => summary.routingEntropy },
  { name: "specialisation", value: ({ summary }) => summary.specialisation },
  { name: "expert_similarity", value: ({ summary }) => summary.expertSimilarity },
];

/** The columns of summary.csv, `trains` where the scenario's stream does. */
export function summaryColumnsOf(trains: boolean): readonly Column<SummaryRow>[] {
  return trains ? [...summaryColumns, ...trainingSummaryColumns] : summaryColumns;
}

/** Whether the row is that of a router that was trained with. */
export function isTrained({ summary }: SummaryRow): boolean {
  return summary.taskLoss !== null;
}

export interface StepRow {
  readonly source: RowSource;
  readonly record: StepRecord;
  /** Summed up to this step; null for routers without a bias, or when it was not asked for. */
  readonly dualRegret: number | null;
}

/** How many columns of steps.csv, from the first on, tell whose row it is. */
export const sourceColumns = 3;

/** The columns of every steps.csv, one row per router and step. */
const stepColumns: readonly Column<StepRow>[] = [
  { name: "scenario", value: ({ source }) => source.scenario },
  { name: "router", value: ({ source }) => source.router },
  { name: "seed", value: ({ source }) => source.seed },
  { name: "step", value: ({ record }) => record.step },
  { name: "max_vio", value: ({ record }) => record.metrics.maxVio },
  { name: "load_cv", value: ({ record }) => record.metrics.loadCv },
  { name: "load_entropy", value: ({ record }) => record.metrics.loadEntropy },
  { name: "idle_fraction", value: ({ record }) => record.metrics.idleFraction },
  { name: "dropped_fraction", value: ({ record }) => record.metrics.droppedFraction },
  { name: "score", value: ({ record }) => record.metrics.score },
  { name: "regret", value: ({ record }) => record.regret?.regret ?? null },
  { name: "regret_cumulative", value: ({ record }) => record.regret?.regretCumulative ?? null },
  { name: "optimum_gap", value: ({ record }) => record.regret?.optimumGap ?? null },
  { name: "dual_regret_cumulative", value: ({ dualRegret }) => dualRegret },
  { name: "churn", value: ({ record }) => record.metrics.churn },
  { name: "rank_max_vio", value: ({ record }) => record.metrics.rankMaxVio },
  { name: "step_time", value: ({ record }) => record.metrics.stepTime },
  { name: "solver_iterations", value: ({ record }) => record.solver?.iterations ?? null },
  { name: "marginal_error", value: ({ record }) => record.solver?.marginalError ?? null },
];

const trainingStepColumns: readonly Column<StepRow>[] = [
  { name: "task_loss", value: ({ record }) => record.training?.taskLoss ?? null },
  { name: "gate_gradient_norm", value: ({ record }) => record.training?.gateGradientNorm ?? null },
  { name: "routing_entropy", value: ({ record }) => record.training?.routingEntropy ?? null },
  { name: "specialisation", value: ({ record }) => record.training?.specialisation ?? null },
  { name: "expert_similarity", value: ({ record }) => record.training?.expertSimilarity ?? null },
];

/** The columns of steps.csv, `trains` where the scenario's stream does. */
export function stepColumnsOf(trains: boolean): readonly Column<StepRow>[] {
  return trains ? [...stepColumns, ...trainingStepColumns] : stepColumns;
}

/** The columns of diagnostics.csv: per step what the other files have no column for. */
export const diagnosticColumns: readonly Column<StepRow>[] = [
  { name: "scenario", value: ({ source }) => source.scenario },
  { name: "router", value: ({ source }) => source.router },
  { name: "seed", value: ({ source }) => source.seed },
  { name: "step", value: ({ record }) => record.step },
  { name: "min_vio", value: ({ record }) => record.metrics.minVio },
  { name: "load_gini", value: ({ record }) => record.metrics.loadGini },
  { name: "router_z", value: ({ record }) => record.metrics.routerZ },
  { name: "duality_gap", value: ({ record }) => record.solver?.dualityGap ?? null },
  { name: "max_column_cardinality", value: ({ record }) => record.solver?.maxColumnCardinality ?? null },
];

/** The header of loads.csv. */
export const loadHeader = ["scenario", "router", "seed", "step", "expert", "load"] as const;

/** The header of every timing.csv: the only numbers that differ from run to run. */
export const timingHeader = [
  "scenario",
  "router",
  "seed",
  "steps",
  "tokens",
  "route_ms_mean",
  "route_ms_median",
  "route_ms_p95",
  "tokens_per_second",
] as const;

/** The columns of timing.csv behind the others where the scenario's stream trains. */
export const trainTimingHeader = ["train_ms_mean", "train_ms_median", "train_ms_p95"] as const;

export function headerOf<Row>(columns: readonly Column<Row>[]): string[] {
  return columns.map(({ name }) => name);
}

/** A row as an object for scripts: numbers as they are, null where the file has an empty cell. */
export function objectOf<Row>(columns: readonly Column<Row>[], row: Row): Record<string, CsvValue> {
  return Object.fromEntries(columns.map(({ name, value }) => [name, value(row)]));
}

export function cellsOf<Row>(columns: readonly Column<Row>[], row: Row): CsvValue[] {
  return columns.map(({ value }) => value(row));
}
