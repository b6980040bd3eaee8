/** Draws distinct experts without allocating: the beginning of a Fisher–Yates shuffle, undone afterwards. */
export interface DistinctExperts {
  /**
   * Writes `count` distinct experts into `expert[offset, offset + count)`. `draw` gives uniform 32-bit unsigned
   * integers; each expert's chance is uniform up to experts / 2³².
   */
  pick(draw: () => number, count: number, expert: Int32Array, offset: number): void;
}

export function createDistinctExperts(experts: number): DistinctExperts {
  const order = new Int32Array(experts);
  for (let e = 0; e < experts; e++) order[e] = e;
  const swapped = new Int32Array(experts);

  function swap(left: number, right: number): void {
    const kept = order[left];
    order[left] = order[right];
    order[right] = kept;
  }

  return {
    pick(draw, count, expert, offset) {
      for (let place = 0; place < count; place++) {
        swapped[place] = place + Math.floor((draw() / 2 ** 32) * (experts - place));
        swap(place, swapped[place]);
        expert[offset + place] = order[place];
      }
      // Back to the identity, so that a choice depends on its own draws alone.
      for (let place = count - 1; place >= 0; place--) swap(place, swapped[place]);
    },
  };
}
