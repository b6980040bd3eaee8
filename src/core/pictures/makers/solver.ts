import { max, min } from "d3-array";
import { confidenceInterval, type Interval } from "../../results/interval.ts";
import { metricOf } from "../../results/variants.ts";
import { axisTypeOf } from "../parts/axes.ts";
import type { ReportData, VariantData } from "../parts/report-data.ts";
import { drawnName, inWords, rounded } from "../parts/text.ts";
import { variantColor, variantDash } from "../parts/theme.ts";
import { type Picture, pictureWidth } from "../picture.ts";
import { type PointsLine, pointNotes, pointsPicture, type VariantPoint } from "./points.ts";

/** What transport plans achieve: steps with a solver against the resulting balance, with plain top-k for reference. */
export function solverPicture(data: ReportData, width = pictureWidth): Picture | null {
  const { results, variants } = data;
  const points = variants.flatMap((variant): VariantPoint[] => {
    const x = solverSteps(data, variant);
    const y = metricOf(results, variant, "max_vio_batch_mean");
    return x === null || y === null ? [] : [{ variant, x, y }];
  });
  const reference = plainTopK(data);
  if (points.length + (reference === null ? 0 : 1) < 2 || points.length === 0) return null;
  const best = points.reduce((a, b) => (b.y.mean < a.y.mean ? b : a));
  const who = drawnName(best.variant.name);
  const isBest = points.length === 1 ? `${who} has` : `Among the routers with a solver, ${who} is most balanced:`;
  const steps = `${inWords(best.x.mean)} ${best.x.mean === 1 ? "step" : "steps"}`;
  const finding = `${isBest} MaxVio ${inWords(best.y.mean)} with a solver on ${steps}`;
  return {
    id: "solver",
    title: "Steps with a solver against balance",
    reading: [
      "The number of steps on which a transport solver ran, against MaxVio over all steps: further left is cheaper, " +
        "further down is more balanced.",
      ...(reference === null ? [] : ["The horizontal line is plain top-k, which solves nothing."]),
      ...pointNotes(points),
    ].join(" "),
    finding: reference === null ? `${finding}.` : `${finding}, against ${inWords(reference.value)} with plain top-k.`,
    ...pointsPicture(
      points,
      { x: "steps with a solver", y: "MaxVio of a batch, mean" },
      reference === null ? [] : [referenceLine(reference, points)],
      width,
    ),
  };
}

/** Returns the number of steps on which a solver ran; null if the variant has none. */
function solverSteps({ results }: ReportData, variant: VariantData): Interval | null {
  const counted = metricOf(results, variant, "sinkhorn_steps");
  if (counted !== null) return counted;
  // The summary counts only Sinkhorn's steps.
  const counts = variant.series.map(
    ({ columns }) => columns.solver_iterations.filter((iterations) => !Number.isNaN(iterations)).length,
  );
  return counts.some((count) => count > 0) ? confidenceInterval(counts) : null;
}

/** Returns plain top-k's MaxVio; null if there is none, or if a sweep gave it several. */
function plainTopK({ results, variants }: ReportData): { variant: VariantData; value: number } | null {
  const found = variants.flatMap((variant) => {
    const metric = variant.kind === "topk" ? metricOf(results, variant, "max_vio_batch_mean") : null;
    return metric === null ? [] : [{ variant, value: metric.mean }];
  });
  return new Set(found.map(({ value }) => value)).size === 1 ? found[0] : null;
}

function referenceLine(
  { variant, value }: { variant: VariantData; value: number },
  points: readonly VariantPoint[],
): PointsLine {
  const steps = points.map(({ x }) => x.mean);
  return {
    name: drawnName(variant.router),
    type: "line",
    color: variantColor(variant.position),
    symbol: "none",
    lineStyle: { type: variantDash(variant.position), width: 1.5 },
    silent: true,
    tooltip: { show: false },
    data: [
      // A logarithmic axis has no 0.
      [axisTypeOf(steps) === "log" ? min(steps)! : 0, rounded(value)],
      [rounded(max(points, ({ x }) => x.mean + (x.halfWidth ?? 0))!), rounded(value)],
    ],
  };
}
