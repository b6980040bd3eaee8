import type { Assignment } from "../../assignment.ts";
import type { TokenBatch } from "../../token-batch.ts";

/** Draws distinct experts without allocating: the first swaps of a Fisher–Yates shuffle, then undone. */
export interface DistinctExperts {
  /**
   * Gives token `token` the first K experts of the shuffle that are not disabled for it, with gates of 1/K, and counts them
   * in the load; the remaining slots get −1 and gate 0. `draw` returns uniform 32-bit unsigned integers and is called once
   * for each expert that is taken or skipped. An expert's chance is uniform up to experts / 2³².
   */
  assign(draw: () => number, batch: TokenBatch, token: number, assignment: Assignment): void;
}

export function createDistinctExperts(experts: number, topK: number): DistinctExperts {
  const order = new Int32Array(experts);
  for (let e = 0; e < experts; e++) order[e] = e;
  const swapped = new Int32Array(experts);

  function swap(left: number, right: number): void {
    const kept = order[left];
    order[left] = order[right];
    order[right] = kept;
  }

  return {
    assign(draw, { logits }, token, { expert, gate, load }) {
      const first = token * topK;
      let slot = first;
      let place = 0;
      for (; place < experts && slot < first + topK; place++) {
        swapped[place] = place + Math.floor((draw() / 2 ** 32) * (experts - place));
        swap(place, swapped[place]);
        if (logits[token * experts + order[place]] === Number.NEGATIVE_INFINITY) continue;
        expert[slot] = order[place];
        gate[slot] = 1 / topK;
        load[order[place]] += 1;
        slot += 1;
      }
      expert.fill(-1, slot, first + topK);
      gate.fill(0, slot, first + topK);
      // Back to the identity, so that a choice depends only on its own draws.
      while (place > 0) {
        place -= 1;
        swap(place, swapped[place]);
      }
    },
  };
}
