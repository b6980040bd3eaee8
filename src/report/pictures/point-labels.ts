import { listed } from "./text.ts";
import { textWidth } from "./text-width.ts";

export const labelSize = 11;
/** How far a label is raised above its point, and so above the bars of its intervals. */
export const labelRise = 8;
/** Between the middle of a point and its label. */
const labelDistance = 11;
const labelHalfHeight = 7;
const pointHalfSize = 6;
/** Points that are closer than this on both axes would have labels on top of one another. */
const closest = 14;
/** Of names in one label, how many parts the list of them may have. */
const mostNames = 3;
/** A list that is wider than this in pixels is cut to its first name. */
const widestList = 225;

/** A point of a picture, its place in pixels from the upper left of the plot. */
export interface PlacedPoint {
  readonly name: string;
  readonly x: number;
  readonly y: number;
}

export interface PointLabel {
  readonly text: string;
  readonly position: "left" | "right" | "top";
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/**
 * The label of each of `points` in a plot `width` pixels wide; null where the label of an earlier point, which is as good as
 * at the same place, has its name too. Labels stand towards the middle of the plot, where there is room for them; where they
 * would cover a point or an earlier label there, on the other side or above, if these are free.
 */
export function pointLabels(points: readonly PlacedPoint[], width: number): (PointLabel | null)[] {
  const groups: PlacedPoint[][] = [];
  for (const point of points) {
    const near = groups.find(([{ x, y }]) => Math.abs(x - point.x) < closest && Math.abs(y - point.y) < closest);
    if (near === undefined) groups.push([point]);
    else near.push(point);
  }
  const taken: Box[] = [];
  const labels = new Map<PlacedPoint, PointLabel>();
  for (const group of groups) {
    const [first] = group;
    const text = textOf(group.map(({ name }) => name));
    const others = points.filter((point) => !group.includes(point)).map(boxOfPoint);
    const isFree = (position: PointLabel["position"]) => {
      const box = boxOfLabel(first, text, position);
      return box.left >= 0 && box.right <= width && ![...taken, ...others].some((other) => overlap(box, other));
    };
    const sides = first.x > width / 2 ? (["left", "right", "top"] as const) : (["right", "left", "top"] as const);
    const position = sides.find(isFree) ?? sides[0];
    taken.push(boxOfLabel(first, text, position));
    labels.set(first, { text, position });
  }
  return points.map((point) => labels.get(point) ?? null);
}

/** The names as a list, or the first and how many more there are. */
function textOf(names: readonly string[]): string {
  const text = listed(names, mostNames);
  return names.length > 1 && textWidth(text, labelSize) > widestList
    ? `${names[0]} and ${names.length - 1} more`
    : text;
}

function boxOfPoint({ x, y }: PlacedPoint): Box {
  return { left: x - pointHalfSize, right: x + pointHalfSize, top: y - pointHalfSize, bottom: y + pointHalfSize };
}

function boxOfLabel({ x, y }: PlacedPoint, text: string, position: PointLabel["position"]): Box {
  const width = textWidth(text, labelSize);
  const left = { left: x - labelDistance - width, right: x + labelDistance, top: x - width / 2 }[position];
  const middle = y - labelRise - (position === "top" ? labelDistance + labelHalfHeight : 0);
  return { left, right: left + width, top: middle - labelHalfHeight, bottom: middle + labelHalfHeight };
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}
