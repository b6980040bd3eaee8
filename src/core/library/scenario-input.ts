import type { ScoreKind } from "../assignment.ts";
import type { CapacityPolicy } from "../metrics/drops.ts";
import { resolveScenario } from "../scenario/load.ts";
import { type Scenario, toScenarioFile } from "../scenario/scenario.ts";
import type { RouterInput, StreamInput } from "../scenario/schema.ts";
import { defaultMaxCells, type SweepCell, sweepCells } from "../scenario/sweep.ts";

export type { RouterInput, StreamInput };

/** A scenario as plain data: the fields of a scenario file. Relative paths start at the working directory. */
export interface ScenarioInput {
  /** Usable as the name of a folder. */
  readonly name: string;
  /** Which question the scenario answers. */
  readonly description?: string | undefined;
  /** Everything random follows from it; a non-negative integer, default 0. */
  readonly seed?: number | undefined;
  /** Batches to route; default 100, or all of a recorded file. */
  readonly steps?: number | undefined;
  /** Tokens in a batch; default 1024, or as recorded. */
  readonly tokens?: number | undefined;
  /** Needed unless the stream is recorded. */
  readonly experts?: number | undefined;
  /** Experts per token, at most `experts`; default 2. */
  readonly topK?: number | undefined;
  /** How logits become affinities; when absent each router's kind says. */
  readonly scores?: ScoreKind | undefined;
  /** An expert's capacity is ⌈capacityFactor · tokens · topK / experts⌉ pairs; ≥ 1, default 1. */
  readonly capacityFactor?: number | undefined;
  /** What happens to pairs over capacity; default `none`. */
  readonly capacity?: CapacityPolicy | undefined;
  /** Devices of expert parallelism; divides `experts`, default 1. */
  readonly ranks?: number | undefined;
  /** An expert without a token in this many last steps is dead; default min(100, steps). */
  readonly deadWindow?: number | undefined;
  /** Most steps that loads.csv holds; results in memory have the loads of all. */
  readonly loadSamples?: number | undefined;
  readonly stream: StreamInput;
  /** At least one; all see the same batches. */
  readonly routers: readonly RouterInput[];
  /**
   * The affinities in which score, optimum and regret of all routers are measured, whatever each selects by; default
   * `scores`, else `softmax`.
   */
  readonly measure?: { readonly scores?: ScoreKind | undefined } | undefined;
  /**
   * The optimum is computed on one step drawn from every `every` (default 1, never with 0), to within `gap` per pair (default
   * 0). With more than 512 experts, when absent, never.
   */
  readonly regret?: { readonly every?: number | undefined; readonly gap?: number | undefined } | undefined;
  /** Dotted paths of this scenario, each with the values to try; for `expandSweep`. */
  readonly sweep?: Readonly<Record<string, readonly unknown[]>> | undefined;
  /** The seeds that a sweep repeats; for `expandSweep`. */
  readonly seeds?: readonly number[] | undefined;
}

/**
 * The scenario with every default filled in, checked as a scenario file is. One that has been resolved before is checked
 * again, since it may have been changed. Throws one `InputError` that lists all problems.
 */
export function resolveInput(scenario: ScenarioInput | Scenario, where = "scenario"): Promise<Scenario> {
  return isResolved(scenario)
    ? resolveScenario(toScenarioFile(scenario), where, scenario.folder)
    : resolveScenario(scenario, where);
}

function isResolved(scenario: ScenarioInput | Scenario): scenario is Scenario {
  // Programs in JavaScript hand over anything, which the schema refuses with a message.
  const { folder, stream } = (scenario ?? {}) as Partial<Scenario>;
  return typeof folder === "string" && typeof stream?.options === "object" && Array.isArray(scenario.routers);
}

/**
 * The cells of a scenario's `sweep` and `seeds`, for {@link simulate}: every combination of values, the last path
 * changing fastest, and for each the seeds. Throws `InputError` where a cell is refused, or there are more than `maxCells`.
 */
export function expandSweep(scenario: ScenarioInput, maxCells = defaultMaxCells): Promise<SweepCell[]> {
  return sweepCells(scenario, "scenario", maxCells);
}
