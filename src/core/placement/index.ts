import { createBalancedPlacer } from "./balanced.ts";
import { placeByEplb } from "./eplb.ts";
import { type PlacementShape, placeContiguously, placeInStripes } from "./placement.ts";

export const placementMethods = ["balanced", "eplb", "striped", "contiguous"] as const;
export type PlacementMethod = (typeof placementMethods)[number];

/**
 * Returns a function that places experts for a load `[experts]` by `method`: the expert of each slot, `[slots]`, GPU by GPU.
 *
 * @param gap at which `balanced` stops, see {@link createBalancedPlacer}
 */
export function createPlacer(
  shape: PlacementShape,
  method: PlacementMethod,
  gap: number,
): (load: ArrayLike<number>) => Int32Array {
  switch (method) {
    case "balanced": {
      const place = createBalancedPlacer(shape, gap);
      return (load) => place(load).expertOfSlot;
    }
    case "eplb":
      return (load) => placeByEplb(load, shape);
    case "striped":
      return () => placeInStripes(shape);
    case "contiguous":
      return () => placeContiguously(shape);
  }
}
