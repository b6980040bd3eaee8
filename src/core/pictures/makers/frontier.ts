import type { Frontier, FrontierPoint, FrontierResult, FrontierRouter } from "../../results/frontier.ts";
import { listed } from "../../words.ts";
import { type MetricAxis, metricAxis, multiplesAxis } from "../parts/axes.ts";
import { drawnName, inWords, rounded } from "../parts/text.ts";
import { type Picture, pictureWidth } from "../picture.ts";
import { type PointsLine, pointsPicture, type VariantPoint } from "./points.ts";

/**
 * Routers whose price is more than this many times the highest of the frontier are left out: with them, the frontier would be
 * a flat line.
 */
const farthestPrice = 2;
/** Prices up to this fraction are always shown. */
const leastFarthest = 0.02;

/** The proven price of balance: the best score by capacity factor, and each router at the capacity factor that it needs. */
export function frontierPicture({ mean, worst }: FrontierResult, width = pictureWidth): Picture {
  const { routers } = mean;
  const points = pointsWithPrice(mean);
  const highest = Math.max(
    ...points.map(({ priceFraction }) => priceFraction),
    ...worst.slice(0, points.length).map(worstPrice),
  );
  const farthest = Math.max(leastFarthest, farthestPrice * highest);
  const shown = routers.filter(({ priceFraction }) => priceFraction <= farthest);
  const placed = shown.map((router) => pointOf(router, routers.indexOf(router), mean));
  const hasLayers = worst.length > 0;
  const curve = hasLayers ? "best possible, mean over layers" : "best possible";
  const lines: PointsLine[] = [
    { ...lineStyle("@text", "solid"), name: curve, symbol: "circle", data: curveOf(points) },
    ...(hasLayers
      ? [{ ...lineStyle("@mutedText", "dashed"), name: "best possible, worst layer", data: worstOf(worst, points) }]
      : []),
    ...(shown.length === 0 ? [] : [boundsLine(shown, placed)]),
  ];
  return {
    id: "frontier",
    title: "The proven price of balance",
    reading: readingOf(mean, shown, hasLayers),
    finding: findingOf(mean),
    ...pointsPicture(placed, axes, lines, width, { x: multiplesAxis, y: percentAxis }),
  };

  function worstPrice(layer: Frontier, i: number): number {
    return layer.points[i].priceFraction;
  }
}

const axes = { x: "capacity factor", y: "score, % of the best without a capacity" } as const;

/** The axis ends with the best score, of which nothing has more. */
function percentAxis(values: readonly number[]): MetricAxis {
  return { ...metricAxis(values), max: 100 };
}

function lineStyle(color: string, type: "solid" | "dashed" | "dotted") {
  return { type: "line", color, symbol: "none", symbolSize: 5, lineStyle: { type, width: 1.5 } } as const;
}

/** Returns a score as a percentage of the best without a capacity. */
function percentOf(priceFraction: number): number {
  return rounded(100 * (1 - priceFraction));
}

/** Returns the points up to the first of the capacities that cost nothing in any layer. */
function pointsWithPrice({ points }: Frontier): readonly FrontierPoint[] {
  const free = points.findIndex(({ priceFraction }) => priceFraction === 0);
  return free < 0 ? points : points.slice(0, free + 1);
}

function curveOf(points: readonly FrontierPoint[]): [number, number][] {
  return points.map(({ capacityFactor, priceFraction }) => [capacityFactor, percentOf(priceFraction)]);
}

function worstOf(worst: readonly Frontier[], points: readonly FrontierPoint[]): [number, number][] {
  return points.map(({ capacityFactor }, i) => [capacityFactor, percentOf(worst[i].points[i].priceFraction)]);
}

/** Place of a router, with the intervals over steps of its capacity factor and its price. */
function pointOf(router: FrontierRouter, position: number, { unbounded }: Frontier): VariantPoint {
  const { name, capacityFactor, price, priceFraction } = router;
  const unit = unbounded.mean === 0 ? 0 : 100 / unbounded.mean;
  const halfWidth = price.halfWidth === null ? null : unit * price.halfWidth;
  return {
    variant: { name, position, isFeatured: true },
    x: capacityFactor,
    y: { mean: 100 * (1 - priceFraction), halfWidth, count: price.count },
  };
}

/** Joins each router with the best score at its own largest load. */
function boundsLine(routers: readonly FrontierRouter[], placed: readonly VariantPoint[]): PointsLine {
  const pause = [null, null];
  return {
    ...lineStyle("@mutedText", "dotted"),
    name: "up to a router's own bound",
    silent: true,
    tooltip: { show: false },
    data: placed.flatMap(({ x, y }, i) => {
      const { score, ownRegret } = routers[i];
      const bound = score.mean === 0 ? y.mean : y.mean * (1 + ownRegret.mean / score.mean);
      const across = rounded(x.mean);
      return [[across, rounded(y.mean)], [across, rounded(bound)], pause];
    }) as [number, number][],
  };
}

function readingOf({ routers, steps }: Frontier, shown: readonly FrontierRouter[], hasLayers: boolean): string {
  const left = routers.filter((router) => !shown.includes(router));
  const places = left.map(
    ({ name, priceFraction, capacityFactor }) =>
      `${drawnName(name)} (${inWords(percentOf(priceFraction))} % at ${inWords(capacityFactor.mean)})`,
  );
  return [
    "The line is the best score of any assignment whose experts take at most the capacity factor times an equal share of a " +
      "batch: no router of that balance can score more.",
    ...(hasLayers ? ["The dashed line is the layer that pays most at each capacity factor."] : []),
    ...(shown.length > 0
      ? [
          "A router stands at the capacity factor that its fullest expert needs, 1 + MaxVio of a batch; the dotted line above it " +
            "ends at the best score with its own largest load on each step, which is its bound: means over different batches can lie a " +
            "little above the line.",
        ]
      : []),
    ...(steps > 1 && shown.length > 0 ? ["Crosses are 95 % confidence intervals over the steps."] : []),
    ...(left.length > 0 ? [`Too far below to show: ${listed(places)}.`] : []),
  ].join(" ");
}

function findingOf({ points, freeFactor }: Frontier): string {
  const prices = points
    .slice(0, 3)
    .map(({ capacityFactor, priceFraction }) => `${inWords(100 * priceFraction)} % at ${inWords(capacityFactor)}`);
  return (
    `Of the score without a capacity, the best assignment loses ${listed(prices)}; it loses nothing from a capacity factor of ` +
    `${inWords(freeFactor.mean)} on, in the mean.`
  );
}
