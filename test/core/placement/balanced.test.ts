import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createBalancedPlacer } from "../../../src/core/placement/balanced.ts";
import { placeByEplb } from "../../../src/core/placement/eplb.ts";
import { searchExactly } from "../../../src/core/placement/exact-search.ts";
import { lowerBound } from "../../../src/core/placement/lower-bound.ts";
import {
  isHierarchical,
  type PlacementShape,
  placedLoad,
  replicaCounts,
} from "../../../src/core/placement/placement.ts";
import { createRandom } from "../../../src/core/random.ts";
import { highsPlacement } from "../../support/highs.ts";

/** Loads that spread like those of real experts: log-normal. */
function randomLoad(experts: number, spread: number, seed: string): number[] {
  const random = createRandom(seed);
  return Array.from({ length: experts }, () => Math.round(100 * Math.exp(spread * random.normal())));
}

function largestOf(load: readonly number[], expertOfSlot: Int32Array, gpus: number): number {
  return Math.max(...placedLoad(load, expertOfSlot, replicaCounts(expertOfSlot, load.length), new Float64Array(gpus)));
}

const flat = (experts: number, gpus: number, slots: number): PlacementShape => ({
  experts,
  gpus,
  slots,
  nodes: 1,
  groups: 1,
});

describe("on small problems", () => {
  const sizes = [
    [6, 4, 8],
    [6, 3, 9],
    [8, 4, 8],
    [8, 2, 10],
    [9, 3, 9],
    [5, 5, 10],
  ];
  const problems = sizes.flatMap(([experts, gpus, slots]) =>
    [0.4, 1].map((spread) => ({ experts, gpus, slots, load: randomLoad(experts, spread, `${sizes}/${spread}`) })),
  );
  it.each(problems)(
    "finds and proves the optimum of $experts experts, $gpus GPUs, $slots slots, as HiGHS has it",
    ({ experts, gpus, slots, load }) => {
      const { largest, lowerBound: proven, expertOfSlot } = createBalancedPlacer(flat(experts, gpus, slots), 0)(load);
      const optimum = highsPlacement(load, gpus, slots, largest);
      expect(largest).toBeCloseTo(optimum, 4);
      expect(proven).toBe(largest);
      expect(largestOf(load, expertOfSlot, gpus)).toBeCloseTo(largest, 9);
      expect(lowerBound(load, gpus, slots)).toBeLessThanOrEqual(optimum + 1e-5);
    },
  );

  it("finds and proves the optimum with groups on nodes, as HiGHS has it", () => {
    const ways = [
      [0, 1],
      [0, 2],
      [0, 3],
    ];
    for (const spread of [0.4, 1]) {
      const load = randomLoad(8, spread, `groups/${spread}`);
      const shape = { experts: 8, gpus: 4, slots: 12, nodes: 2, groups: 4 };
      const { largest, lowerBound: proven } = createBalancedPlacer(shape, 0)(load);
      const optimum = Math.min(
        ...ways.map((members) => {
          const isFirst = load.map((_, e) => members.includes(Math.floor(e / 2)));
          const nodes = [true, false].map((first) => load.filter((_, e) => isFirst[e] === first));
          return Math.max(
            ...nodes.map((nodeLoad) =>
              highsPlacement(
                nodeLoad,
                2,
                6,
                load.reduce((a, b) => a + b),
              ),
            ),
          );
        }),
      );
      expect(largest).toBeCloseTo(optimum, 4);
      expect(proven).toBe(largest);
    }
  });
});

const loads = fc.oneof(
  fc.integer({ min: 0, max: 20 }),
  fc.integer({ min: 0, max: 10_000 }),
  fc.double({ min: 0, max: 1, noNaN: true }),
);

/** Shapes of up to 48 slots with a load each, hierarchical or not. */
const problems = fc
  .record({
    nodes: fc.integer({ min: 1, max: 3 }),
    gpusPerNode: fc.integer({ min: 1, max: 4 }),
    slotsPerGpu: fc.integer({ min: 1, max: 4 }),
    groupsPerNode: fc.integer({ min: 1, max: 3 }),
    groupSize: fc.integer({ min: 1, max: 4 }),
    isUneven: fc.boolean(),
  })
  .map(({ nodes, gpusPerNode, slotsPerGpu, groupsPerNode, groupSize, isUneven }) => ({
    experts: nodes * groupsPerNode * groupSize,
    gpus: nodes * gpusPerNode,
    slots: nodes * gpusPerNode * slotsPerGpu,
    nodes,
    groups: isUneven ? 1 : nodes * groupsPerNode,
  }))
  .filter(({ experts, slots }) => slots >= experts)
  .chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      load: fc.array(loads, { minLength: shape.experts, maxLength: shape.experts }),
    }),
  );

describe("on any problem", () => {
  it("is never worse than the balancer of DeepSeek, under the same rules, nor better than its bound", () => {
    fc.assert(
      fc.property(problems, ({ shape, load }) => {
        const { expertOfSlot, largest, lowerBound: proven } = createBalancedPlacer(shape, 0.02)(load);
        const { experts, gpus, slots, nodes, groups } = shape;
        expect(replicaCounts(expertOfSlot, experts).every((count) => count > 0)).toBe(true);
        expect(largest).toBeLessThanOrEqual(largestOf(load, placeByEplb(load, shape), gpus) * (1 + 1e-12));
        expect(largestOf(load, expertOfSlot, gpus)).toBeCloseTo(largest, 8);
        expect(proven).toBeLessThanOrEqual(largest);
        if (!isHierarchical(shape)) return;
        const nodesOf = Array.from({ length: groups }, () => new Set<number>());
        expertOfSlot.forEach((expert, slot) => {
          nodesOf[Math.floor((expert * groups) / experts)].add(Math.floor((slot * nodes) / slots));
        });
        expect(nodesOf.every(({ size }) => size === 1)).toBe(true);
      }),
      { numRuns: 60, seed: 1 },
    );
  });

  it("has a bound that no placement beats", () => {
    const sizes = fc.constantFrom(
      [4, 2, 4],
      [4, 2, 6],
      [5, 3, 6],
      [6, 3, 6],
      [6, 2, 6],
      [5, 4, 8],
      [7, 4, 8],
      [4, 3, 9],
    );
    const small = sizes.chain(([experts, gpus, slots]) =>
      fc.record({
        gpus: fc.constant(gpus),
        slots: fc.constant(slots),
        load: fc.array(loads, { minLength: experts, maxLength: experts }),
      }),
    );
    let tight = 0;
    let proven = 0;
    fc.assert(
      fc.property(small, ({ gpus, slots, load }) => {
        const bound = lowerBound(load, gpus, slots);
        const placed = placeByEplb(load, flat(load.length, gpus, slots));
        // Bound 0: the exact search must not stop at the bound under test.
        const exact = searchExactly(load, gpus, placed, largestOf(load, placed, gpus), 0, 1e6);
        if (!exact.isProven) return;
        proven += 1;
        expect(bound).toBeLessThanOrEqual(exact.largest * (1 + 1e-9));
        if (bound >= exact.largest * (1 - 1e-9)) tight += 1;
      }),
      { numRuns: 1000, seed: 2 },
    );
    expect(proven).toBeGreaterThan(990);
    expect(tight).toBeGreaterThan(proven / 2);
  });

  it("places the same load alike, whatever it placed before", () => {
    const shape = { experts: 32, gpus: 8, slots: 40, nodes: 2, groups: 4 };
    const [first, other] = ["first", "other"].map((seed) => randomLoad(32, 0.8, seed));
    const place = createBalancedPlacer(shape, 0);
    const before = place(first);
    place(other);
    expect(place(first)).toEqual(before);
    expect(createBalancedPlacer(shape, 0)(first)).toEqual(before);
  });

  it("stops at the gap that is asked for", () => {
    const load = randomLoad(64, 0.7, "gap");
    const found = [0, 0.1].map((gap) => createBalancedPlacer(flat(64, 8, 72), gap)(load));
    expect(found[1].largest).toBeGreaterThan(found[0].largest);
    expect(found[1].largest).toBeLessThanOrEqual(found[1].lowerBound * 1.1);
  });
});

describe("the lower bound", () => {
  it("is the mean, if that can be reached", () => {
    expect(lowerBound([4, 3, 2, 1], 2, 4)).toBe(5);
  });

  it("splits the heaviest expert as far as the slots allow", () => {
    expect(lowerBound([12, 1, 1], 4, 4)).toBe(6);
  });

  it("adds the lightest to the heaviest", () => {
    expect(lowerBound([10, 2, 2, 1], 2, 4)).toBe(11);
  });

  it("puts two of the heaviest on one GPU", () => {
    expect(lowerBound([6, 6, 6, 1], 2, 4)).toBe(12);
    // One of five can be split, so four of 6 are left for three GPUs.
    expect(lowerBound([6, 6, 6, 6, 6], 3, 6)).toBeCloseTo(12, 9);
  });

  it("rounds up integer loads that cannot be split", () => {
    expect(lowerBound([1, 1, 1, 1, 1, 1, 1, 0, 0], 3, 9)).toBe(3);
  });

  it("knows that a heavy replica needs light company", () => {
    // Below 11, every 8 needs a replica lighter than 3. One spare slot makes two of a 3, or leaves two of the 8s: one is missing.
    expect(lowerBound([8, 8, 8, 3, 3], 3, 6)).toBeCloseTo(11, 9);
  });

  it("is 0 without load", () => {
    expect(lowerBound([0, 0, 0, 0], 2, 4)).toBe(0);
  });
});
