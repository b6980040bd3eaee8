import { createPlacer, type PlacementMethod } from "./index.ts";
import { type PlacementShape, placeContiguously } from "./placement.ts";

/** How often a placement follows the loads, and by what. */
export interface RefitRule {
  readonly method: PlacementMethod;
  /** Last steps whose loads are summed up. */
  readonly window: number;
  /** Steps between two placements. */
  readonly interval: number;
}

/** Everything that a {@link RefittedPlacement} remembers. Plain data; changes with every step. */
export interface RefittedState {
  /** Steps observed. */
  steps: number;
  /** Placements fitted: windows without load have none. */
  fits: number;
  /** `[slots]`, the placement in force. */
  readonly expertOfSlot: Int32Array;
  /** `[slots]`, the first placement that was fitted; the initial one before. */
  readonly first: Int32Array;
  /** `[overlapping windows × experts]`, loads for the next placements. */
  readonly sums: Float64Array;
}

/**
 * A placement that is fitted again every `interval` steps to the loads of the last `window` steps, as the balancers of
 * vLLM and SGLang do. Until the first fit the experts are in order, see {@link placeContiguously}. Between loads of the
 * window that are all 0, it stays.
 */
export interface RefittedPlacement {
  readonly state: RefittedState;
  /**
   * Fits the placement if it is time, before the next step is routed. Returns how many experts move: how often a GPU gets an
   * expert that it did not have.
   */
  advance(): number;
  /** Takes the loads `[experts]` of the step, before drops. */
  observe(load: ArrayLike<number>): void;
}

/**
 * GPUs of one node are alike, so `balanced` gives each new set of experts to the GPU that has most of them; `eplb` keeps the
 * order of DeepSeek's balancer.
 *
 * @param gap at which `balanced` stops
 * @param state of another placement of the same shape and rule, to resume from
 */
export function createRefittedPlacement(
  shape: PlacementShape,
  { method, window, interval }: RefitRule,
  gap: number,
  state: RefittedState = initialState(shape, window, interval),
): RefittedPlacement {
  const { experts, gpus } = shape;
  const place = createPlacer(shape, method, gap);
  const { sums, expertOfSlot, first } = state;
  const overlaps = sums.length / experts;

  function advance(): number {
    const { steps } = state;
    if (steps === 0 || steps % interval !== 0) return 0;
    const refit = steps / interval;
    const sum = sums.subarray((refit % overlaps) * experts, ((refit % overlaps) + 1) * experts);
    const hasLoad = sum.some((each) => each > 0);
    const placed = hasLoad ? place(sum) : null;
    sum.fill(0);
    if (placed === null) return 0;
    if (method === "balanced") keepExperts(placed, expertOfSlot, shape);
    const moves = movedExperts(expertOfSlot, placed, gpus);
    expertOfSlot.set(placed);
    state.fits += 1;
    if (state.fits === 1) first.set(placed);
    return moves;
  }

  return {
    state,
    advance,
    observe(load) {
      const { steps } = state;
      // The fits that this step belongs to: those at most `window` steps later.
      for (let refit = Math.floor(steps / interval) + 1; refit * interval - window <= steps; refit++) {
        const start = (refit % overlaps) * experts;
        for (let e = 0; e < experts; e++) sums[start + e] += load[e];
      }
      state.steps += 1;
    },
  };
}

function initialState(shape: PlacementShape, window: number, interval: number): RefittedState {
  return {
    steps: 0,
    fits: 0,
    expertOfSlot: placeContiguously(shape),
    first: placeContiguously(shape),
    sums: new Float64Array(Math.ceil(window / interval) * shape.experts),
  };
}

/** Returns how often a GPU of `after` has an expert that it does not have in `before`, both `[slots]`; twins count once. */
export function movedExperts(before: Int32Array, after: Int32Array, gpus: number): number {
  const slotsPerGpu = before.length / gpus;
  let moved = 0;
  for (let slot = 0; slot < after.length; slot++) {
    const first = slot - (slot % slotsPerGpu);
    if (!holds(before, after[slot], first, first + slotsPerGpu) && !holds(after, after[slot], first, slot)) moved += 1;
  }
  return moved;
}

function holds(expertOfSlot: Int32Array, expert: number, from: number, end: number): boolean {
  for (let slot = from; slot < end; slot++) if (expertOfSlot[slot] === expert) return true;
  return false;
}

/**
 * Renumbers the GPUs of `placed` within each node, pair by pair from the largest number of common experts, so that few experts
 * move; ties go to the lowest numbers.
 */
function keepExperts(placed: Int32Array, before: Int32Array, { gpus, slots, nodes }: PlacementShape): void {
  const slotsPerGpu = slots / gpus;
  const gpusPerNode = gpus / nodes;
  const wanted = placed.slice();
  for (let first = 0; first < gpus; first += gpusPerNode) {
    const pairs: { from: number; to: number; common: number }[] = [];
    for (let from = first; from < first + gpusPerNode; from++) {
      for (let to = first; to < first + gpusPerNode; to++) {
        let common = 0;
        for (let slot = from * slotsPerGpu; slot < (from + 1) * slotsPerGpu; slot++) {
          if (holds(before, wanted[slot], to * slotsPerGpu, (to + 1) * slotsPerGpu)) common += 1;
        }
        pairs.push({ from, to, common });
      }
    }
    pairs.sort((a, b) => b.common - a.common);
    const [isGiven, isTaken] = [new Set<number>(), new Set<number>()];
    for (const { from, to } of pairs) {
      if (isGiven.has(from) || isTaken.has(to)) continue;
      isGiven.add(from);
      isTaken.add(to);
      placed.set(wanted.subarray(from * slotsPerGpu, (from + 1) * slotsPerGpu), to * slotsPerGpu);
    }
  }
}
