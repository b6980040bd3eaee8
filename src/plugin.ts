/**
 * What a plugin imports: a module for `--plugin` that exports `{ routers, streams, metrics }` by default. The functions
 * return what they are given, typed; the program that runs the plugin provides this module, whatever is installed beside it.
 *
 * @module
 */
import type { z as zod } from "zod";
import type { PluginMetric, PluginRouterKind } from "./core/scenario/plugin-guards.ts";
import type { StreamKind } from "./core/streams/stream.ts";

export { z } from "zod";
export type { Assignment, RoutingShape, ScoreKind } from "./core/assignment.ts";
export { InputError } from "./core/input-error.ts";
export type { Kernels } from "./core/kernels/kernels.ts";
export type { Better, RangeSizes, StepFile, Taken } from "./core/metrics/catalogue.ts";
export type { RunFacts } from "./core/metrics/run-summary.ts";
export type { RoutedFacts, StepFacts } from "./core/metrics/step-record.ts";
export type { RandomSource, RandomState } from "./core/random.ts";
export { createAssignmentBuffers } from "./core/routers/parts/assignment-buffers.ts";
export type { OptionProblem, RouterContext, RouterState } from "./core/routers/router.ts";
export type {
  PluginAssignment,
  PluginMetric,
  PluginRouter,
  PluginRouterKind,
} from "./core/scenario/plugin-guards.ts";
export type { Plugin } from "./core/scenario/plugins.ts";
export type { PlanKind, SolverReport } from "./core/solver-report.ts";
export {
  layersOption,
  type Stream,
  type StreamContext,
  type StreamKind,
  type StreamShape,
  type StreamState,
} from "./core/streams/stream.ts";
export type { TokenBatch } from "./core/token-batch.ts";

/** Returns `kind`, its functions typed by its `options`. */
export function defineRouter<Schema extends zod.ZodObject>(
  kind: PluginRouterKind<zod.output<Schema>> & { readonly options: Schema },
): PluginRouterKind {
  return kind as PluginRouterKind;
}

/** Returns `kind`, its functions typed by its `options`. */
export function defineStream<Schema extends zod.ZodObject>(
  kind: StreamKind<zod.output<Schema>> & { readonly options: Schema },
): StreamKind {
  return kind as StreamKind;
}

/** Returns `metric`, typed. */
export function defineMetric(metric: PluginMetric): PluginMetric {
  return metric;
}
