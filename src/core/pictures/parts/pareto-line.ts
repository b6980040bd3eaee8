import { paretoFront } from "../../results/pareto.ts";
import { listed } from "../../words.ts";
import type { PointsLine, VariantPoint } from "../makers/points.ts";
import { drawnName, inWords, rounded } from "./text.ts";

/** The Pareto front of points, lower being better on both axes. */
export interface ParetoLine {
  /** The line that joins them; empty if there is only one. */
  readonly series: readonly PointsLine[];
  /** Sentences for the picture's `reading`. */
  readonly notes: readonly string[];
  readonly finding: string;
}

/** @param axes their names in the picture's finding */
export function paretoLine(
  points: readonly VariantPoint[],
  axes: { readonly x: string; readonly y: string },
): ParetoLine {
  const front = paretoFront(points.map(({ x, y }) => ({ x: x.mean, y: y.mean }))).map((position) => points[position]);
  const names = front.map(
    ({ variant, x, y }) => `${drawnName(variant.name)} (${axes.x} ${inWords(x.mean)}, ${axes.y} ${inWords(y.mean)})`,
  );
  const finding = `${front.length} of ${points.length} ${front.length === 1 ? "is" : "are"} on the Pareto front: ${listed(names)}.`;
  if (front.length === 1) return { series: [], notes: [], finding };
  return {
    series: [
      {
        name: "Pareto front",
        type: "line",
        color: "@mutedText",
        symbol: "none",
        lineStyle: { type: "dashed", width: 1.2 },
        silent: true,
        tooltip: { show: false },
        data: front.map(({ x, y }) => [rounded(x.mean), rounded(y.mean)]),
      },
    ],
    notes: ["The line joins the Pareto front: no other point is at least as good on both axes and better on one."],
    finding,
  };
}
