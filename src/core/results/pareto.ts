import { ascending, range } from "d3-array";

/**
 * Returns the positions of the points that no other point dominates, lower being better on both axes: no other is at
 * least as low on both and lower on one. Ordered by rising x; coinciding points are all kept, in their own order.
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
