import { ascending, range } from "d3-array";

/**
 * The positions of the points that no other point dominates, where lower is better on both axes: none is at least as
 * low on both and lower on one. In order of rising x; points that lie on each other are all kept, in their own order.
 * Coordinates must not be NaN.
 */
export function paretoFront(points: readonly { readonly x: number; readonly y: number }[]): number[] {
  const order = range(points.length).sort(
    (a, b) => ascending(points[a].x, points[b].x) || ascending(points[a].y, points[b].y),
  );
  const front: number[] = [];
  for (const position of order) {
    const last = front.length === 0 ? null : points[front[front.length - 1]];
    const { x, y } = points[position];
    if (last === null || y < last.y || (x === last.x && y === last.y)) front.push(position);
  }
  return front;
}
