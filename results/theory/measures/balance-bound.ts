/**
 * How far experts can be from balance under the sign rule with constant step u on one and the same batch, followed step
 * by step:
 *
 *     |A_e − L| ≤ the largest N_e since the step before the one on which expert e first crossed or met L
 *
 * with N_e the tokens within 2u of expert e's boundary (see `boundary-tokens.ts`): those inside it while e is overloaded,
 * those outside while it is underloaded, the larger number of the two when it is balanced. Proof: an overloaded expert's
 * bias falls by u and no other falls by more, so that it gains no token, and those it loses were within 2u inside;
 * likewise an underloaded one loses none. On the side where it is, an expert therefore comes no further from L; when it
 * passes to the other side or leaves L, its new distance is at most the number of tokens that moved.
 */
export interface BalanceBound {
  /** `[experts]`, the bound on |A_e − L| of the step observed last; ∞ for an expert that has not met L yet. */
  readonly bound: Float64Array;
  /**
   * Takes the load `[experts]` of the next step, which sums to T·K, and the tokens within 2u `inside` and `outside` each
   * expert's boundary, both `[experts]`, under the bias that chose it.
   */
  observe(load: ArrayLike<number>, inside: ArrayLike<number>, outside: ArrayLike<number>): void;
}

export function createBalanceBound(experts: number): BalanceBound {
  const bound = new Float64Array(experts).fill(Number.POSITIVE_INFINITY);
  const firstSide = new Int8Array(experts);
  /** The largest N_e of the steps before, of the last one only until expert e has met L. */
  const reach = new Float64Array(experts);
  let isFirst = true;
  return {
    bound,
    observe(load, inside, outside) {
      let pairs = 0;
      for (let e = 0; e < experts; e++) pairs += load[e];
      for (let e = 0; e < experts; e++) {
        // Whole numbers are compared, so that balance is exact.
        const side = Math.sign(load[e] * experts - pairs);
        if (isFirst) firstSide[e] = side;
        const near = side > 0 ? inside[e] : side < 0 ? outside[e] : Math.max(inside[e], outside[e]);
        const hasMet = bound[e] !== Number.POSITIVE_INFINITY || side !== firstSide[e] || side === 0;
        if (hasMet) bound[e] = reach[e];
        reach[e] = hasMet ? Math.max(reach[e], near) : near;
      }
      isFirst = false;
    },
  };
}
