import { max, mean, quantile, tickStep } from "d3-array";
import { metricOf } from "../../results/variants.ts";
import { horizontal, vertical } from "../parts/axes.ts";
import { leftOutNotes, rangeSentence, subjectShown } from "../parts/findings.ts";
import type { ReportData } from "../parts/report-data.ts";
import { drawnName, rounded, rowNameSize, rowNameWidth } from "../parts/text.ts";
import { variantColor } from "../parts/theme.ts";
import { type Picture, pictureWidth } from "../picture.ts";

const barHeight = 26;
const ticks = 6;
/** Without any bar length there would be no axis. */
const leastSpan = 0.01;

/** Cost of imbalance between devices: step time relative to perfect balance, mean and 95th percentile. */
export function rankSlowdownPicture(data: ReportData, width = pictureWidth): Picture | null {
  const { results, variants } = data;
  // On one rank, or if all routers balance the ranks perfectly, nothing waits.
  if (variants.every((variant) => (metricOf(results, variant, "rank_max_vio")?.mean ?? 0) === 0)) return null;
  const bars = variants.flatMap(({ name, position, series }) => {
    const times = series.flatMap(({ columns }) => columns.step_time);
    if (times.length === 0) return [];
    return [{ name: drawnName(name), position, mean: mean(times)!, p95: quantile(times, 0.95)! }];
  });
  if (bars.length === 0) return null;
  // A bar is the time lost, unless unrouted tokens make a step shorter than it should be.
  const start = bars.every(({ mean }) => mean >= 1) ? 1 : 0;
  const longest = max(bars, ({ p95, mean }) => Math.max(p95, mean))!;
  const nameWidth = rowNameWidth(
    bars.map(({ name }) => name),
    width,
  );
  const interval = tickStep(start, Math.max(longest, start + leastSpan), ticks);
  return {
    id: "rank-slowdown",
    title: "Slowdown of expert parallelism",
    reading: [
      "Step time relative to perfectly balanced devices, since all wait for the fullest one. The bar is the mean over the " +
        "steps, the tick the 95th percentile. 1 is best.",
      ...leftOutNotes(data),
    ].join(" "),
    finding: rangeSentence(
      subjectShown("The mean slowdown", data, "all"),
      bars.map(({ name, mean }) => ({ name, value: mean })),
    ),
    height: bars.length * barHeight + 70,
    option: {
      grid: { left: nameWidth + 24, right: 40, top: 10, bottom: 56, outerBoundsMode: "none" },
      xAxis: {
        ...horizontal,
        splitLine: vertical.splitLine,
        type: "value",
        name: "slowdown",
        min: start,
        max: start + interval * Math.max(1, Math.ceil((longest - start) / interval)),
        interval,
      },
      yAxis: {
        ...vertical,
        type: "category",
        inverse: true,
        data: bars.map(({ name }) => name),
        splitLine: { show: false },
        axisTick: { show: false },
        axisLabel: { color: "@text", fontSize: rowNameSize, width: nameWidth, overflow: "truncate", interval: 0 },
      },
      tooltip: { trigger: "axis", axisPointer: { type: "shadow" } },
      series: [
        {
          name: "mean",
          type: "bar",
          barWidth: "60%",
          data: bars.map(({ position, mean }) => ({
            value: rounded(mean),
            itemStyle: { color: variantColor(position) },
          })),
        },
        {
          name: "95th percentile",
          type: "scatter",
          symbol: "rect",
          symbolSize: [3, 18],
          itemStyle: { color: "@text", opacity: 1 },
          data: bars.map(({ p95 }, row) => [rounded(p95), row]),
        },
      ],
    },
  };
}
