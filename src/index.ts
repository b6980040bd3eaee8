/**
 * moesim as a library: the engine, routers, streams and metrics of the command line for programs. What is returned is plain
 * data or a copy that nothing overwrites; what is wrong with an input throws {@link InputError}.
 *
 * @module
 */
export type { ScoreKind } from "./core/assignment.ts";
export { InputError } from "./core/input-error.ts";
export type { PlanKind, SolverReport } from "./core/solver-report.ts";
export type { TokenBatch } from "./core/token-batch.ts";
export type { KernelBackend } from "./kernels/index.ts";
export type { KindDescription } from "./library/kinds.ts";
export { type Measurement, measure, type RecordedInput } from "./library/measure.ts";
export * as metrics from "./library/metrics.ts";
export * as routers from "./library/routers.ts";
export type { RouterInput, ScenarioInput, StreamInput } from "./library/scenario-input.ts";
export { expandSweep, loadScenario } from "./library/scenarios.ts";
export {
  type DualRegretCertificate,
  type RouterRun,
  type SimulateOptions,
  type Simulation,
  simulate,
} from "./library/simulate.ts";
export type { RunResult, StepResult } from "./library/step-result.ts";
export * as streams from "./library/streams.ts";
export * as transport from "./library/transport.ts";
export type { CapacityPolicy } from "./metrics/drops.ts";
export type { MetricDescription } from "./metrics/index.ts";
export type { RunSummary } from "./metrics/run-summary.ts";
export type { StepMetrics } from "./metrics/step-metrics.ts";
export type { TrainingSummary } from "./metrics/training-summary.ts";
export type { RouterState } from "./routers/router.ts";
export type { RouterChoice, Scenario, StreamChoice } from "./scenario/scenario.ts";
export { scenarioJsonSchema } from "./scenario/schema.ts";
export type { SweepCell } from "./scenario/sweep.ts";
export { version } from "./version.ts";
