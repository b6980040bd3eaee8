import fc from "fast-check";
import { expect, it } from "vitest";
import { paretoFront } from "../../../src/core/results/pareto.ts";

interface Point {
  x: number;
  y: number;
}

function isDominated(point: Point, points: readonly Point[]): boolean {
  return points.some(({ x, y }) => x <= point.x && y <= point.y && (x < point.x || y < point.y));
}

it("keeps the points of a staircase and leaves out what lies above it, in order of rising x", () => {
  const points = [
    { x: 3, y: 1 },
    { x: 1, y: 5 },
    { x: 2, y: 5 },
    { x: 2, y: 2 },
    { x: 4, y: 1 },
  ];
  expect(paretoFront(points)).toEqual([1, 3, 0]);
});

it("keeps all points that lie on each other", () => {
  const points = [
    { x: 1, y: 1 },
    { x: 2, y: 2 },
    { x: 1, y: 1 },
  ];
  expect(paretoFront(points)).toEqual([0, 2]);
});

it("has no point where there is none", () => {
  expect(paretoFront([])).toEqual([]);
});

it("is what comparing each point with every other leaves", () => {
  // Few distinct coordinates, so that ties and duplicates are common.
  const coordinate = fc.integer({ min: -3, max: 3 });
  fc.assert(
    fc.property(fc.array(fc.record({ x: coordinate, y: coordinate }), { maxLength: 20 }), (points) => {
      const front = paretoFront(points);
      const expected = points.flatMap((point, position) => (isDominated(point, points) ? [] : [position]));
      expect(front.toSorted((a, b) => a - b)).toEqual(expected);
      const x = front.map((position) => points[position].x);
      expect(x).toEqual(x.toSorted((a, b) => a - b));
    }),
    { seed: 1 },
  );
});
