import { ascending } from "d3-array";
import { metricOf } from "../results/variants.ts";
import type { Picture } from "./picture.ts";
import type { ReportData } from "./report-data.ts";
import { variantColor, variantDash } from "./theme.ts";

/** MaxVio of each step, a line per variant. Wang et al. 2024, arXiv 2408.15664. */
export function maxVioPicture({ results, variants }: ReportData): Picture | null {
  const drawn = variants.filter(({ series }) => series.length > 0);
  if (drawn.length === 0) return null;
  const ranked = drawn
    .map((variant) => ({ name: variant.name, maxVio: metricOf(results, variant, "max_vio_batch_mean")?.mean ?? 0 }))
    .sort((a, b) => ascending(a.maxVio, b.maxVio));
  const [best, worst] = [ranked[0], ranked[ranked.length - 1]];
  return {
    id: "max-vio",
    title: "MaxVio over the steps",
    reading: "How far the fullest expert is above the mean load on each step: 0 is perfect balance, lower is better.",
    finding: `The mean over the steps is lowest for ${best.name} (${best.maxVio.toPrecision(3)}) and highest for ${worst.name} (${worst.maxVio.toPrecision(3)}).`,
    height: 420,
    option: {
      legend: { bottom: 0, textStyle: { color: "@text" } },
      grid: { left: 60, right: 20, top: 20, bottom: 90 },
      xAxis: { type: "value", name: "step", nameLocation: "middle", nameGap: 28 },
      yAxis: { type: "value", name: "MaxVio", nameLocation: "middle", nameGap: 40, min: 0 },
      tooltip: { trigger: "axis" },
      series: drawn.map(({ name, position, series: [{ step, columns }] }) => ({
        name,
        type: "line",
        showSymbol: false,
        color: variantColor(position),
        lineStyle: { type: variantDash(position) },
        data: step.map((value, i) => [value, columns.max_vio[i]]),
      })),
    },
  };
}
