import type { SeriesOption } from "echarts";
import type { ComparedMetric, Comparison } from "../results/comparison.ts";
import { formatNumber } from "../results/format.ts";
import { horizontal, vertical } from "./parts/axes.ts";
import { type ErrorBar, errorBars } from "./parts/error-bars.ts";
import { legendOf } from "./parts/legend.ts";
import { capitalized, drawnName, rowNameSize, rowNameWidth } from "./parts/text.ts";
import { variantColor } from "./parts/theme.ts";
import { type Picture, pictureWidth } from "./picture.ts";

const rowHeight = 28;
/** Pixels above and below the rows, without the legend. */
const frameHeight = 94;
/** Pixels below the rows, for the axis and its name. */
const axisHeight = 44;
/** The layer of lines; marks are on 2. */
const behindMarks = 1;
const symbols = ["circle", "diamond", "triangle", "rect"] as const;

/** Returns a picture per metric of the comparison: a row per router, with a mark per folder. */
export function comparisonPictures({ folders, metrics }: Comparison): Picture[] {
  const names = folders.map(({ name }) => drawnName(name));
  return metrics.map((metric) => comparisonPicture(metric, names));
}

function comparisonPicture(metric: ComparedMetric, names: readonly string[]): Picture {
  const { column, label, better, rows } = metric;
  const rowNames = rows.map(({ router }) => drawnName(router));
  const legend = legendOf(names.map((name) => ({ name, mark: "symbol" })));
  const hasIntervals = rows.some(({ cells }) => cells.some((cell) => (cell?.halfWidth ?? null) !== null));
  return {
    id: `compare-${column}`,
    title: capitalized(label),
    reading:
      "One mark per folder; a line joins those of a router." +
      (hasIntervals ? " The thin lines are 95 % confidence intervals over seeds." : "") +
      (better === null ? "" : ` ${better === "lower" ? "Further left" : "Further right"} is better.`),
    finding: findingOf(metric, names),
    height: frameHeight + legend.height + rowHeight * rows.length,
    option: {
      legend: legend.legend,
      grid: { left: 20, right: 30, top: 20, bottom: axisHeight + legend.height, containLabel: true },
      xAxis: { ...horizontal, splitLine: vertical.splitLine, type: "value", scale: true, name: label },
      yAxis: {
        ...vertical,
        type: "category",
        data: rowNames,
        inverse: true,
        splitLine: { show: false },
        axisLabel: {
          ...vertical.axisLabel,
          fontSize: rowNameSize,
          width: rowNameWidth(rowNames, pictureWidth),
          overflow: "truncate",
          interval: 0,
        },
      },
      tooltip: { trigger: "item" },
      series: [rangeSeries(metric), ...names.flatMap((name, folder) => folderSeries(metric, name, folder))],
    },
  };
}

/** Lines that join a router's marks, in a series without marks of its own. */
function rangeSeries({ rows }: ComparedMetric): SeriesOption {
  const ranges = rows.map(({ cells }) => cells.flatMap((cell) => cell?.mean ?? []));
  return {
    type: "scatter",
    data: [],
    silent: true,
    markLine: {
      z: behindMarks,
      silent: true,
      symbol: "none",
      label: { show: false },
      lineStyle: { color: "@gridLine", width: 4, type: "solid" },
      data: ranges.flatMap((means, row) =>
        means.length < 2 ? [] : [line(Math.min(...means), Math.max(...means), row)],
      ),
    },
  };
}

/** The marks of a folder, over its intervals; the axis makes room for the intervals, as it would not for mark lines. */
function folderSeries({ rows }: ComparedMetric, name: string, folder: number): SeriesOption[] {
  const cells = rows.map((row) => row.cells[folder]);
  const bars = cells.flatMap((cell, row): ErrorBar[] => {
    if (cell === null || cell.halfWidth === null) return [];
    const { mean, halfWidth } = cell;
    return [
      [
        [mean - halfWidth, row],
        [mean + halfWidth, row],
      ],
    ];
  });
  return [
    {
      name,
      type: "scatter",
      symbol: symbols[folder % symbols.length],
      symbolSize: 11,
      color: variantColor(folder),
      itemStyle: { opacity: 1 },
      data: cells.flatMap((cell, row) => (cell === null ? [] : [[cell.mean, row]])),
    },
    ...errorBars(name, variantColor(folder), bars).map((series) => ({ ...series, z: behindMarks })),
  ];
}

/** A line along a row; the row is given by position, since a router's name could be mistaken for one. */
function line(from: number, to: number, row: number): [{ coord: number[] }, { coord: number[] }] {
  return [{ coord: [from, row] }, { coord: [to, row] }];
}

/** Returns a sentence about the largest change. */
function findingOf({ rows }: ComparedMetric, names: readonly string[]): string {
  const changes = rows.flatMap(({ router, cells }) =>
    cells.flatMap((cell, folder) =>
      cell === null || cell.change === null ? [] : [{ router, folder, cell, change: cell.change }],
    ),
  );
  if (changes.length === 0) return `No router is both in ${names[0]} and in another.`;
  const largest = changes.reduce((a, b) => (Math.abs(b.change.difference) > Math.abs(a.change.difference) ? b : a));
  const { router, folder, cell, change } = largest;
  if (change.difference === 0) return `No router differs from ${names[0]}.`;
  const from = formatNumber(cell.mean - change.difference);
  const verdict = change.direction === null ? "" : `, which is ${change.direction}`;
  return `From ${names[0]} to ${names[folder]}, ${drawnName(router)} changes most: it goes from ${from} to ${formatNumber(cell.mean)}${verdict}.`;
}
