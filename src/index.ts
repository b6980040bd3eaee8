/**
 * moesim as a library: the engine, routers, streams and metrics of the command line for programs. What is returned is plain
 * data or a copy that nothing overwrites; what is wrong with an input throws {@link InputError}.
 *
 * @module
 */
import "./node/platform.ts";

export type { ScoreKind } from "./core/assignment.ts";
export type { Diagnosis, DiagnosisOptions, LayerDiagnosis } from "./core/diagnosis/diagnosis.ts";
export type {
  FittedBias,
  HotExpert,
  LayerFigures,
  OptimumFigures,
  PartFigures,
  PlacedFigures,
  RoutingFigures,
} from "./core/diagnosis/layer.ts";
export type { Origin, Remedy, Verdict, VerdictKind } from "./core/diagnosis/verdict.ts";
export type { Axis, Content, InputKind, LayerSelection, RecordingOptions } from "./core/formats/recording.ts";
export { InputError } from "./core/input-error.ts";
export type { KernelBackend } from "./core/kernels/index.ts";
export { type DiagnosisInput, diagnose } from "./core/library/diagnose.ts";
export type { KindDescription } from "./core/library/kinds.ts";
export { type LayerMeasurement, type Measurement, measure, type RecordedInput } from "./core/library/measure.ts";
export * as metrics from "./core/library/metrics.ts";
export * as models from "./core/library/models.ts";
export type { RecordingInput } from "./core/library/recording-input.ts";
export * as routers from "./core/library/routers.ts";
export {
  expandSweep,
  type MeasureInput,
  type PlacementInput,
  type RouterInput,
  type ScenarioInput,
  type StreamInput,
} from "./core/library/scenario-input.ts";
export {
  createSimulation,
  type DualRegretCertificate,
  type LayerMeans,
  type RouterOutcome,
  type RouterRun,
  type SimulateOptions,
  type Simulation,
  type SimulationOptions,
  type SimulationResult,
  type SimulationState,
  simulate,
} from "./core/library/simulate.ts";
export type { StepResult } from "./core/library/step-result.ts";
export * as streams from "./core/library/streams.ts";
export * as transport from "./core/library/transport.ts";
export type { AuxLossRule, AuxLossScope } from "./core/metrics/aux-loss.ts";
export type { Better, MetricDescription, RunValues, StepMetrics, StepValues } from "./core/metrics/catalogue.ts";
export type { CapacityPolicy, DropRanking } from "./core/metrics/drops.ts";
export type { RegretSummary, RunSummary } from "./core/metrics/run-summary.ts";
export type { PlacementShape } from "./core/placement/placement.ts";
export type { Interval } from "./core/results/interval.ts";
export type { RouterState } from "./core/routers/router.ts";
export type { PlacementRule, RouterChoice, Scenario, StreamChoice } from "./core/scenario/scenario.ts";
export { scenarioJsonSchema } from "./core/scenario/schema.ts";
export type { SweepCell } from "./core/scenario/sweep.ts";
export type { PlanKind, SolverReport } from "./core/solver-report.ts";
export type { TokenBatch } from "./core/token-batch.ts";
export { version } from "./core/version.ts";
export { loadScenario } from "./node/files/scenario-file.ts";
