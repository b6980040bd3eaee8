import { expect, it } from "vitest";
import { createBalanceBound } from "../../results/theory/measures/balance-bound.ts";

interface Step {
  readonly load: number[];
  readonly inside: number[];
  readonly outside: number[];
}

/** The bounds after each step. */
function boundsOf(steps: Step[]): number[][] {
  const tracker = createBalanceBound(steps[0].load.length);
  return steps.map(({ load, inside, outside }) => {
    tracker.observe(load, inside, outside);
    return Array.from(tracker.bound);
  });
}

it("knows no bound before an expert has met balance, then that of the step in which it did", () => {
  const bounds = boundsOf([
    { load: [7, 3], inside: [9, 9], outside: [9, 9] },
    { load: [6, 4], inside: [2, 9], outside: [9, 3] },
    { load: [4, 6], inside: [9, 1], outside: [1, 9] },
    { load: [4, 6], inside: [0, 0], outside: [0, 0] },
  ]);
  expect(bounds).toEqual([
    [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
    [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
    [2, 3],
    [2, 3],
  ]);
});

it("grows with the most tokens that could have moved since then, on either side of a balanced expert", () => {
  const bounds = boundsOf([
    { load: [6, 4], inside: [0, 9], outside: [9, 0] },
    { load: [5, 5], inside: [1, 4], outside: [0, 2] },
    { load: [6, 4], inside: [3, 9], outside: [9, 2] },
    { load: [5, 5], inside: [0, 0], outside: [0, 0] },
  ]);
  expect(bounds.slice(1)).toEqual([
    [0, 0],
    [1, 4],
    [3, 4],
  ]);
});

it("starts at 0 for an expert that is balanced at first", () => {
  expect(boundsOf([{ load: [1, 1], inside: [2, 2], outside: [2, 2] }])).toEqual([[0, 0]]);
});
