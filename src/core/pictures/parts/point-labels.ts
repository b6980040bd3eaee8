import { range } from "d3-array";
import { listed } from "../../words.ts";
import { textWidth } from "./text.ts";

export const labelSize = 11;
/** Pixels by which a label is raised above its point, to clear the bars of its intervals. */
export const labelRise = 8;
/** Pixels between the middle of a point and its label. */
const labelDistance = 11;
const labelHalfHeight = 7;
const pointHalfSize = 6;
/** Maximum distance that labels are moved up or down if there is no room nearer, in line heights. */
const lineHeight = 15;
const farthestLines = 12;
/** Labels of points closer than this on both axes would overlap. */
const closest = 14;
/** Maximum number of parts in a list of names in one label. */
const mostNames = 3;
/** A list that is wider than this in pixels is cut to its first name. */
const widestList = 225;

/** A point of a picture, in pixels from the upper left of the plot. */
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
  /** How far a label on the left or right is below the middle of its point, in pixels. */
  readonly shift: number;
  /** Whether it is so far away that a line must join it to its point. */
  readonly isFar: boolean;
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Vector from a point to the nearest corner or side of its label. */
interface Line {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

/**
 * Returns the label of each of `points` in a plot of `width` × `height` pixels; null if the label of an earlier point
 * at almost the same place includes its name. A label stands towards the middle of the plot if it covers no point and
 * no other label there; otherwise on the other side, above, below, or farther up or down with a line to its point,
 * which crosses neither points nor labels if possible. Points with the least room choose first. No name is left out.
 */
export function pointLabels(points: readonly PlacedPoint[], width: number, height: number): (PointLabel | null)[] {
  const groups: PlacedPoint[][] = [];
  for (const point of points) {
    const near = groups.find(([{ x, y }]) => Math.abs(x - point.x) < closest && Math.abs(y - point.y) < closest);
    if (near === undefined) groups.push([point]);
    else near.push(point);
  }
  const taken: Box[] = [];
  const lines: Line[] = [];
  const labels = new Map<PlacedPoint, PointLabel>();
  const isInside = ({ left, right, top, bottom }: Box) => left >= 0 && right <= width && top >= 0 && bottom <= height;
  const candidates = groups.map((group) => {
    const [first] = group;
    const text = textOf(group.map(({ name }) => name));
    const others = points.filter((point) => !group.includes(point)).map(boxOfPoint);
    const places = placesAround(first.x > width / 2);
    const isFree = (place: Place, obstacles: readonly Box[], crossed: readonly Line[]) => {
      const box = boxOfLabel(first, text, place);
      const line = place.isFar ? lineTo(first, box) : null;
      return (
        isInside(box) &&
        !obstacles.some((other) => overlap(box, other) || (line !== null && crosses(line, other))) &&
        !crossed.some((other) => crosses(other, box))
      );
    };
    const room = places.filter((place) => !place.isFar && isFree(place, others, [])).length;
    return { first, text, others, places, isFree, room };
  });
  for (const { first, text, others, places, isFree } of candidates.toSorted(
    (one, other) => one.room - other.room || one.text.length - other.text.length,
  )) {
    const covers = (place: Place) => taken.some((box) => overlap(boxOfLabel(first, text, place), box));
    const place =
      places.find((one) => isFree(one, [...taken, ...others], lines)) ??
      places.find((one) => isInside(boxOfLabel(first, text, one)) && !covers(one)) ??
      places[0];
    const box = boxOfLabel(first, text, place);
    taken.push(box);
    if (place.isFar) lines.push(lineTo(first, box));
    labels.set(first, { text, ...place });
  }
  return points.map((point) => labels.get(point) ?? null);
}

/** Where a label may stand, best first. */
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

/** Returns the names as a list, or the first and the number of the others. */
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

function lineTo({ x, y }: PlacedPoint, { left, right, top, bottom }: Box): Line {
  return { x1: x, y1: y, x2: Math.min(Math.max(x, left), right), y2: (top + bottom) / 2 };
}

/** Whether a line goes through a box, by what its four sides leave of the line (Liang and Barsky 1984). */
function crosses({ x1, y1, x2, y2 }: Line, { left, right, top, bottom }: Box): boolean {
  let [start, end] = [0, 1];
  for (const [step, from, to] of [
    [x2 - x1, left - x1, right - x1],
    [y2 - y1, top - y1, bottom - y1],
  ]) {
    if (step === 0) {
      if (from > 0 || to < 0) return false;
      continue;
    }
    const [enter, leave] = step > 0 ? [from / step, to / step] : [to / step, from / step];
    [start, end] = [Math.max(start, enter), Math.min(end, leave)];
  }
  return start < end;
}
