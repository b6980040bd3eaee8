import type { LineSeriesOption } from "echarts";
import { paretoFront } from "../results/pareto.ts";
import { metricOf } from "../results/variants.ts";
import type { Picture } from "./picture.ts";
import { pointNotes, pointsPicture, type VariantPoint } from "./points.ts";
import type { ReportData } from "./report-data.ts";
import { drawnName, inWords, listed, rounded } from "./text.ts";

/** What balance costs: each variant's mean regret against its mean MaxVio, and those that no other beats on both. */
export function paretoPicture({ results, variants }: ReportData): Picture | null {
  const points = variants.flatMap((variant): VariantPoint[] => {
    const x = metricOf(results, variant, "regret_mean");
    const y = metricOf(results, variant, "max_vio_batch_mean");
    return x === null || y === null ? [] : [{ variant, x, y }];
  });
  if (points.length < 2) return null;
  const front = paretoFront(points.map(({ x, y }) => ({ x: x.mean, y: y.mean }))).map((position) => points[position]);
  const frontLine: LineSeriesOption & { name: string } = {
    name: "Pareto front",
    type: "line",
    color: "@mutedText",
    symbol: "none",
    lineStyle: { type: "dashed", width: 1.2 },
    silent: true,
    tooltip: { show: false },
    data: front.map(({ x, y }) => [rounded(x.mean), rounded(y.mean)]),
  };
  const names = front.map(
    ({ variant, x, y }) => `${drawnName(variant.name)} (regret ${inWords(x.mean)}, MaxVio ${inWords(y.mean)})`,
  );
  return {
    id: "pareto",
    title: "Regret against MaxVio",
    reading: [
      "Lower is better on both axes.",
      ...(front.length > 1
        ? ["The line joins the Pareto front: those that no other is as good as on both axes and better on one."]
        : []),
      ...pointNotes(points),
    ].join(" "),
    finding: `On the Pareto front ${front.length === 1 ? "is" : "are"} ${front.length} of ${points.length}: ${listed(names)}.`,
    ...pointsPicture(points, { x: "regret, mean", y: "MaxVio of a batch, mean" }, front.length > 1 ? [frontLine] : []),
  };
}
