import { range } from "d3-array";
import { textWidth } from "../../../node/render/text-width.ts";
import { listed } from "../../words.ts";

export const labelSize = 11;
/** How far a label is raised above its point, and so above the bars of its intervals. */
export const labelRise = 8;
/** Between the middle of a point and its label. */
const labelDistance = 11;
const labelHalfHeight = 7;
const pointHalfSize = 6;
/** How far labels are moved up or down if there is no room nearer, in steps of a line. */
const lineHeight = 15;
const farthestLines = 12;
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

export interface PointLabel extends Place {
  readonly text: string;
}

/** Where a label stands next to its point. */
interface Place {
  readonly position: "left" | "right" | "top" | "bottom";
  /** How much lower than the middle of its point a label on the left or right is, in pixels. */
  readonly shift: number;
  /** Whether it is so far away that a line must join it with its point. */
  readonly isFar: boolean;
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/**
 * The label of each of `points` in a plot of `width` × `height` pixels; null if the label of an earlier point, which is as
 * good as at the same place, has its name too. A label stands towards the middle of the plot if it covers no point and no
 * earlier label there; else on the other side, above, below, or farther up or down with a line to its point. No name is
 * left out.
 */
export function pointLabels(points: readonly PlacedPoint[], width: number, height: number): (PointLabel | null)[] {
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
    const isInside = ({ left, right, top, bottom }: Box) => left >= 0 && right <= width && top >= 0 && bottom <= height;
    const isFree = (place: Place, ...obstacles: readonly Box[]) => {
      const box = boxOfLabel(first, text, place);
      return isInside(box) && !obstacles.some((other) => overlap(box, other));
    };
    const places = placesAround(first.x > width / 2);
    const place =
      places.find((one) => isFree(one, ...taken, ...others)) ??
      places.find((one) => isFree(one, ...taken)) ??
      places[0];
    taken.push(boxOfLabel(first, text, place));
    labels.set(first, { text, ...place });
  }
  return points.map((point) => labels.get(point) ?? null);
}

/** Where a label may stand, the best first. */
function placesAround(isLeftBetter: boolean): Place[] {
  const sides = isLeftBetter ? (["left", "right"] as const) : (["right", "left"] as const);
  const near = { shift: -labelRise, isFar: false };
  return [
    ...sides.map((position) => ({ ...near, position })),
    { ...near, position: "top" },
    { ...near, shift: labelRise, position: "bottom" },
    ...range(1, farthestLines + 1).flatMap((lines) =>
      [-lines, lines].flatMap((moved) =>
        sides.map((position) => ({ position, shift: -labelRise + moved * lineHeight, isFar: true })),
      ),
    ),
  ];
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

function boxOfLabel({ x, y }: PlacedPoint, text: string, { position, shift }: Place): Box {
  const width = textWidth(text, labelSize);
  const beside = { left: x - labelDistance - width, right: x + labelDistance };
  const left = position === "left" || position === "right" ? beside[position] : x - width / 2;
  const beyond = { left: 0, right: 0, top: -1, bottom: 1 }[position] * (labelDistance + labelHalfHeight);
  const middle = y + shift + beyond;
  return { left, right: left + width, top: middle - labelHalfHeight, bottom: middle + labelHalfHeight };
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}
