import type { ScoreKind } from "../assignment.ts";
import type { AuxLossScope } from "../metrics/aux-loss.ts";
import type { CapacityPolicy, DropRanking } from "../metrics/drops.ts";
import type { PlacementMethod } from "../placement/index.ts";
import { resolveScenario } from "../scenario/load.ts";
import { type Scenario, toScenarioFile } from "../scenario/scenario.ts";
import type { RouterInput, StreamInput } from "../scenario/schema.ts";
import { defaultMaxCells, type SweepCell, sweepCells } from "../scenario/sweep.ts";

export type { RouterInput, StreamInput };

/** How a scenario measures. */
export interface MeasureInput {
  /**
   * Affinities in which score, optimum and regret of all routers are measured, whatever each selects by; default: the
   * scenario's `scores`, else `softmax`.
   */
  readonly scores?: ScoreKind | undefined;
  /** Scope of the metric `aux_loss`; default `batch`. */
  readonly auxLoss?:
    | {
        readonly scope?: AuxLossScope | undefined;
        /** Tokens of a sequence, with scope `sequence`; default 4096. */
        readonly sequenceTokens?: number | undefined;
        /** Last batches that f is summed over, with scope `global`; default 8. */
        readonly globalBatches?: number | undefined;
      }
    | undefined;
}

/** Where the experts are, and how often they are placed again. */
export interface PlacementInput {
  /** GPUs that share the experts of a layer: the ranks of expert parallelism. */
  readonly gpus: number;
  /** Nodes with equally many GPUs; default 1. */
  readonly nodes?: number | undefined;
  /** Experts on all GPUs together, with replicas; default: one per expert, rounded up to a multiple of `gpus`. */
  readonly slots?: number | undefined;
  /** Groups of experts; each stays on a node if `nodes` divides them. Default 1. */
  readonly groups?: number | undefined;
  /** How to place; default `balanced`. */
  readonly method?: PlacementMethod | undefined;
  /** Stop placing when proven to be within this of the best; default 0. */
  readonly gap?: number | undefined;
  /** Last steps whose loads a placement is fitted to; default 1000. */
  readonly window?: number | undefined;
  /** Steps between two placements; default 3000. */
  readonly interval?: number | undefined;
  /** Time to move one expert, in balanced steps; default 0. */
  readonly moveCost?: number | undefined;
}

/**
 * A scenario as plain data: the fields of a scenario file. Relative paths are resolved against the working directory.
 */
export interface ScenarioInput {
  /** Must be usable as a folder name. */
  readonly name: string;
  /** Question that the scenario answers. */
  readonly description?: string | undefined;
  /** Seed of all random numbers; a non-negative integer, default 0. */
  readonly seed?: number | undefined;
  /** Batches to route; default: 100, or all of a recording. */
  readonly steps?: number | undefined;
  /** Tokens per batch; default: 1024, or as recorded. */
  readonly tokens?: number | undefined;
  /** Routers, streams and metrics that it needs; those that moesim lacks come from a plugin. */
  readonly requires?: readonly string[] | undefined;
  /**
   * Published model whose experts, topK, scores and router are used, except those given here; `models.list()` has all.
   */
  readonly model?: string | undefined;
  /** Required unless the stream is recorded or there is a model. */
  readonly experts?: number | undefined;
  /** Experts per token, at most `experts`; default 2. */
  readonly topK?: number | undefined;
  /** How logits become affinities; default: as each router's kind says. */
  readonly scores?: ScoreKind | undefined;
  /** Capacity of an expert: ⌈capacityFactor · tokens · topK / experts⌉ pairs; > 0, default 1. */
  readonly capacityFactor?: number | undefined;
  /** What happens to pairs over capacity; default `none`. */
  readonly capacity?: CapacityPolicy | undefined;
  /** What `capacity: "drop"` ranks pairs by; default `gates`. */
  readonly dropBy?: DropRanking | undefined;
  /** Maximum number of further experts that `capacity: "reroute"` tries for a pair; default: all. */
  readonly rerouteDepth?: number | undefined;
  /** Devices of expert parallelism, at most `experts`; default 1. */
  readonly ranks?: number | undefined;
  /** Experts on GPUs, with replicas, placed again as loads change; default: in order on `ranks`. */
  readonly placement?: PlacementInput | undefined;
  /** An expert without a token in this many last steps is dead; default: 100. Shorter runs take all their steps. */
  readonly deadWindow?: number | undefined;
  /** Maximum number of steps in loads.csv; results in memory have the loads of all steps. */
  readonly loadSamples?: number | undefined;
  readonly stream: StreamInput;
  /** At least one, unless there is a model, whose router is then used; all see the same batches. */
  readonly routers?: readonly RouterInput[] | undefined;
  /** How metrics are measured, the same for all routers. */
  readonly measure?: MeasureInput | undefined;
  /**
   * The optimum is computed on one step drawn from every `every` (default 1; 0 turns it off), to within `gap` per pair
   * (default 0). If absent, it is off with more than 512 experts.
   */
  readonly regret?: { readonly every?: number | undefined; readonly gap?: number | undefined } | undefined;
  /** Values to try, by dotted path of this scenario; for `expandSweep`. */
  readonly sweep?: Readonly<Record<string, readonly unknown[]>> | undefined;
  /** Seeds that a sweep runs each combination with; for `expandSweep`. */
  readonly seeds?: readonly number[] | undefined;
}

/**
 * Returns the scenario with every default filled in, checked like a scenario file. A resolved scenario is checked
 * again, because it may have been changed. Throws one `InputError` that lists all problems.
 */
export function resolveInput(scenario: ScenarioInput | Scenario, where = "scenario"): Promise<Scenario> {
  return isResolved(scenario)
    ? resolveScenario(toScenarioFile(scenario), where, scenario.folder)
    : resolveScenario(scenario, where);
}

function isResolved(scenario: ScenarioInput | Scenario): scenario is Scenario {
  // JavaScript programs may pass anything; the schema refuses it with a message.
  const { folder, stream } = (scenario ?? {}) as Partial<Scenario>;
  return typeof folder === "string" && typeof stream?.options === "object" && Array.isArray(scenario.routers);
}

/**
 * Returns the cells of a scenario's `sweep` and `seeds`, for {@link simulate}: every combination of values (the last
 * path changes fastest), each with all seeds. Throws `InputError` if a cell is invalid or there are more than
 * `maxCells`.
 */
export function expandSweep(scenario: ScenarioInput, maxCells = defaultMaxCells): Promise<SweepCell[]> {
  return sweepCells(scenario, "scenario", maxCells);
}
