import { largest, loadPerRank } from "../metrics/load.ts";
import { type ExpertRanks, type PlacedStep, placedRanks } from "../metrics/ranks.ts";
import { lowerBound } from "../placement/lower-bound.ts";
import { type PlacementShape, placedLoad, replicaCounts } from "../placement/placement.ts";
import { createRefittedPlacement, type RefittedState } from "../placement/refitted.ts";
import type { PlacementRule } from "../scenario/scenario.ts";

/** Loads `[gpus]` in pairs, summed over the steps on which a fitted placement is in force. */
export interface GpuLoads {
  /** With the experts in order, without replicas. */
  readonly unplaced: Float64Array;
  /** With the placement in force on each step. */
  readonly placed: Float64Array;
}

/** Everything that a {@link PlacementRun} remembers. Plain data. */
export interface PlacementRunState {
  readonly placement: RefittedState;
  readonly gpuLoads: GpuLoads;
}

/** The placement of one router's experts, step by step. */
export interface PlacementRun {
  /** Changes with every step. */
  readonly state: PlacementRunState;
  /** Where the experts are on the current step. */
  readonly placed: PlacedStep;
  /** Places the experts for the next step, and returns how many move. */
  advance(): number;
  /** Takes the loads `[experts]` of the step, before drops. */
  observe(load: ArrayLike<number>): void;
}

/** @param from the state of a run of the same router, to resume from */
export function createPlacementRun(rule: PlacementRule, experts: number, from?: PlacementRunState): PlacementRun {
  const shape: PlacementShape = { ...rule, experts };
  const { gpus, nodes, slots, gap, moveCost } = rule;
  const placement = createRefittedPlacement(shape, rule, gap, from?.placement);
  const { expertOfSlot, first } = placement.state;
  const staleRankLoad = new Float64Array(gpus);
  const gpuLoads = from?.gpuLoads ?? { unplaced: new Float64Array(gpus), placed: new Float64Array(gpus) };
  const gpuLoad = new Float64Array(gpus);
  let replicas = replicaCounts(expertOfSlot, experts);
  let staleReplicas = replicaCounts(first, experts);
  let ranks = placedRanks(expertOfSlot, experts, gpus, nodes);
  let moveTime = 0;
  return {
    state: { placement: placement.state, gpuLoads },
    placed: {
      get ranks(): ExpertRanks {
        return ranks;
      },
      get moveTime(): number {
        return moveTime;
      },
      rankLoad: (load, rankLoad) => placedLoad(load, expertOfSlot, replicas, rankLoad),
      staleLoad: (load) => largest(placedLoad(load, first, staleReplicas, staleRankLoad)),
      leastLoad: (load) => lowerBound(load, gpus, slots),
    },
    advance() {
      const isTime = placement.state.steps % rule.interval === 0;
      const moves = placement.advance();
      moveTime = moveCost * moves;
      // Numbers of replicas can change although no GPU gets an expert that it lacked.
      if (isTime) {
        replicas = replicaCounts(expertOfSlot, experts);
        staleReplicas = replicaCounts(first, experts);
        ranks = placedRanks(expertOfSlot, experts, gpus, nodes);
      }
      return moves;
    },
    observe(load) {
      placement.observe(load);
      if (placement.state.fits === 0) return;
      add(loadPerRank(load, gpus, gpuLoad), gpuLoads.unplaced);
      add(placedLoad(load, expertOfSlot, replicas, gpuLoad), gpuLoads.placed);
    },
  };
}

function add(load: Float64Array, sum: Float64Array): void {
  for (let gpu = 0; gpu < sum.length; gpu++) sum[gpu] += load[gpu];
}
