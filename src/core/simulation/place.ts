import { largest, loadPerRank, meanLoad } from "../metrics/load.ts";
import { createBalancedPlacer } from "../placement/balanced.ts";
import { separateReplicas } from "../placement/distinct.ts";
import { placeByEplb } from "../placement/eplb.ts";
import { createPlacer, type PlacementMethod } from "../placement/index.ts";
import { type PlacementShape, placedLoad, replicaCounts } from "../placement/placement.ts";

/** The loads of one layer, from its first step to its last. */
export interface LayerLoads {
  /** Returns the next step's load `[experts]`, overwritten by the one after; null after the last. */
  next(): Promise<ArrayLike<number> | null>;
}

/** A layer whose loads can be read more than once. */
export interface LoadedLayer {
  readonly layer: number;
  readonly steps: number;
  open(): LayerLoads;
}

/** What a placement does to the loads of some steps; loads in pairs. */
export interface PlacementFigures {
  readonly steps: number;
  /** `[gpus]`, the load of each, summed over the steps. */
  readonly rankLoad: Float64Array;
  /** Largest and mean load of a GPU, summed over the steps. */
  readonly maxRankLoad: number;
  readonly meanRankLoad: number;
  /** Mean / largest, in (0, 1]. */
  readonly balancedness: number;
  /** Mean over the steps of the largest load of a GPU / the mean: what each step waits for, ≥ 1. */
  readonly stepTime: number;
  /** No placement of the same shape has a smaller largest load on these steps. */
  readonly lowerBound: number;
  /** (`maxRankLoad` − `lowerBound`) / `lowerBound`. */
  readonly gap: number;
  /** The same of the experts in contiguous groups without replicas, as a model starts. */
  readonly unplaced: { readonly rankLoad: Float64Array; readonly maxRankLoad: number; readonly stepTime: number };
}

/** A placement of one layer, fitted to its first steps with load and judged on all. */
export interface PlacedLayer {
  readonly layer: number;
  /** `[slots]`, the expert in each slot, GPU by GPU. */
  readonly expertOfSlot: Int32Array;
  /** `[experts]`. */
  readonly replicas: Int32Array;
  /** On the steps that it was fitted to, or, of a given placement, on as many. */
  readonly fitted: PlacementFigures;
  /** On the steps with load after these; null if there are none. */
  readonly later: PlacementFigures | null;
}

/** @param given returns a placement to judge instead of fitting one; not called for a layer without load */
export type LayerPlacer = (layer: LoadedLayer, given?: () => Int32Array) => Promise<PlacedLayer | null>;

export interface PlaceOptions {
  readonly shape: PlacementShape;
  readonly method: PlacementMethod;
  /** At which the search stops, ≥ 0. */
  readonly gap: number;
  /** Share of a layer's steps with load that the placement is fitted to, in (0, 1]; at least one step. */
  readonly split: number;
  /** Whether no GPU may hold an expert twice, see {@link separateReplicas}; default false. */
  readonly isDistinct?: boolean | undefined;
}

/** A stretch of steps, and sums over those with load. */
interface Window {
  readonly load: Float64Array;
  steps: number;
  stepTime: number;
  unplacedStepTime: number;
}

/**
 * Returns a function that places layers, and judges placements that are given. It reads a layer twice, and once more if some
 * of its steps have no load, so that memory does not grow with the steps. It returns null for a layer without any load: the
 * model has none there.
 *
 * Steps without load, such as the empty rows of a recorder's buffer, are in no mean, and the split does not count them.
 */
export function createLayerPlacer({ shape, method, gap, split, isDistinct = false }: PlaceOptions): LayerPlacer {
  const { experts, gpus } = shape;
  const balance = createBalancedPlacer(shape, gap);
  // The search for `balanced` also gives the bound that every method is judged by.
  const place = method === "balanced" ? null : createPlacer(shape, method, gap);
  const rankLoad = new Float64Array(gpus);
  const fitted = emptyWindow();
  const later = emptyWindow();

  function emptyWindow(): Window {
    return { load: new Float64Array(experts), steps: 0, stepTime: 0, unplacedStepTime: 0 };
  }

  /** Visits the steps with load, the first `fittedSteps` of them as fitted ones. Returns how many there are. */
  async function eachStep(
    layer: LoadedLayer,
    fittedSteps: number,
    visit: (load: ArrayLike<number>, window: Window) => void,
  ): Promise<number> {
    const loads = layer.open();
    let step = 0;
    for (let load = await loads.next(); load !== null; load = await loads.next()) {
      if (largest(load) === 0) continue;
      visit(load, step < fittedSteps ? fitted : later);
      step += 1;
    }
    return step;
  }

  /** Sums up the loads. Returns how many steps were fitted to if `steps` have load, and how many do. */
  async function sumLoads(layer: LoadedLayer, steps: number): Promise<{ fittedSteps: number; loadedSteps: number }> {
    for (const window of [fitted, later]) {
      window.load.fill(0);
      window.steps = window.stepTime = window.unplacedStepTime = 0;
    }
    const fittedSteps = Math.max(1, Math.round(split * steps));
    const loadedSteps = await eachStep(layer, fittedSteps, (load, window) => {
      window.steps += 1;
      for (let e = 0; e < experts; e++) window.load[e] += load[e];
    });
    return { fittedSteps, loadedSteps };
  }

  function fittedTo(load: Float64Array, balanced: Int32Array): Int32Array {
    const fitted = place?.(load) ?? balanced;
    if (!isDistinct) return fitted;
    const separate = separateReplicas(load, fitted, shape);
    if (method !== "balanced") return separate;
    // Moving replicas apart can cost the lead over the balancer.
    const eplb = separateReplicas(load, placeByEplb(load, shape), shape);
    return largestOf(load, eplb) < largestOf(load, separate) ? eplb : separate;
  }

  function largestOf(load: Float64Array, expertOfSlot: Int32Array): number {
    return largest(placedLoad(load, expertOfSlot, replicaCounts(expertOfSlot, experts), rankLoad));
  }

  function slowdown(): number {
    return largest(rankLoad) / meanLoad(rankLoad);
  }

  function figuresOf(window: Window, expertOfSlot: Int32Array, replicas: Int32Array, bound: number): PlacementFigures {
    const { load, steps, stepTime, unplacedStepTime } = window;
    const unplaced = loadPerRank(load, gpus, new Float64Array(gpus));
    placedLoad(load, expertOfSlot, replicas, rankLoad);
    const maxRankLoad = largest(rankLoad);
    const meanRankLoad = meanLoad(rankLoad);
    const lowerBound = Math.min(maxRankLoad, bound);
    return {
      steps,
      rankLoad: rankLoad.slice(),
      maxRankLoad,
      meanRankLoad,
      balancedness: meanRankLoad / maxRankLoad,
      stepTime: stepTime / steps,
      lowerBound,
      gap: (maxRankLoad - lowerBound) / lowerBound,
      unplaced: { rankLoad: unplaced, maxRankLoad: largest(unplaced), stepTime: unplacedStepTime / steps },
    };
  }

  return async (layer, given) => {
    let { fittedSteps, loadedSteps } = await sumLoads(layer, layer.steps);
    if (loadedSteps === 0) return null;
    if (loadedSteps !== layer.steps) ({ fittedSteps, loadedSteps } = await sumLoads(layer, loadedSteps));
    const balanced = balance(fitted.load);
    const expertOfSlot = given?.() ?? fittedTo(fitted.load, balanced.expertOfSlot);
    const replicas = replicaCounts(expertOfSlot, experts);
    await eachStep(layer, fittedSteps, (load, window) => {
      loadPerRank(load, gpus, rankLoad);
      window.unplacedStepTime += slowdown();
      placedLoad(load, expertOfSlot, replicas, rankLoad);
      window.stepTime += slowdown();
    });
    return {
      layer: layer.layer,
      expertOfSlot,
      replicas,
      fitted: figuresOf(fitted, expertOfSlot, replicas, balanced.lowerBound),
      later: later.steps > 0 ? figuresOf(later, expertOfSlot, replicas, balance(later.load).lowerBound) : null,
    };
  };
}
