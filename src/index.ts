/** moesim as a library: the same engine, routers, streams and metrics as the command line's. */
export type { Assignment, RoutingShape, ScoreKind } from "./core/assignment.ts";
export { InputError } from "./core/input-error.ts";
export type { PlanKind, SolverReport } from "./core/solver-report.ts";
export type { TokenBatch } from "./core/token-batch.ts";
export type { DualRegret } from "./engine/regret.ts";
export {
  createRouter,
  openStream,
  type RouterResult,
  type SimulationOptions,
  simulate,
} from "./engine/simulate.ts";
export { createKernels, type Kernels } from "./kernels/index.ts";
export { createDualRegretMeter, type DualRegretMeter } from "./metrics/dual-regret.ts";
export { idleFraction, loadCv, loadEntropy, loadGini, maxVio, minVio } from "./metrics/load.ts";
export { createOptimumFinder, createRegretMeter, type Optimum, type StepRegret } from "./metrics/regret.ts";
export type { RunSummary } from "./metrics/run-summary.ts";
export type { StepRecord } from "./metrics/step-record.ts";
export { findRouterKind, routerKinds } from "./routers/index.ts";
export type { RoutedStep, Router, RouterKind } from "./routers/router.ts";
export { loadScenario, resolveScenario } from "./scenario/load.ts";
export type { RouterChoice, Scenario } from "./scenario/scenario.ts";
export { scenarioJsonSchema } from "./scenario/schema.ts";
export { findStreamKind, streamKinds } from "./streams/index.ts";
export type { Stream, StreamKind } from "./streams/stream.ts";
export {
  type AssignmentProblem,
  type AssignmentSolution,
  type AssignmentSolver,
  createAssignmentSolver,
} from "./transport/exact-assignment.ts";
