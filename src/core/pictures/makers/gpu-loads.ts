import { max, mean, min, quantile, range } from "d3-array";
import type { BarSeriesOption, LineSeriesOption } from "echarts";
import { horizontal, vertical } from "../parts/axes.ts";
import { cellsWidth, type HeatMapPanel, heatMap, rangeLabel } from "../parts/heat-map.ts";
import { legendOf } from "../parts/legend.ts";
import { inWords, rounded } from "../parts/text.ts";
import { variantColor } from "../parts/theme.ts";
import { type Picture, pictureWidth, plotHeightOf } from "../picture.ts";

/** The loads of the GPUs of one layer, in pairs, summed over the same steps. */
export interface LayerGpuLoads {
  readonly layer: number;
  /** `[gpus]`, with the experts in order and without replicas. */
  readonly unplaced: ArrayLike<number>;
  /** `[gpus]`, with the placement. */
  readonly placed: ArrayLike<number>;
  /** No placement has a smaller largest load. */
  readonly bound: number;
}

const names = { unplaced: "experts in order", placed: "placed", bound: "bound of any placement" } as const;
/** With more GPUs, bars would be too thin: their loads are cells of one row then. */
const mostBars = 64;
const plotHeight = 300;
const leastCellWidth = 2;
/** The scale of loads ends at this quantile of the cells, and starts at the smallest above 0, both in steps. */
const scale = { quantile: 0.98, step: 5 } as const;

/**
 * Load of each GPU before and after placing experts, in percent of the mean: bars for one layer, otherwise one row per layer.
 *
 * @param when the steps that are shown, e.g. "the later steps", for the reading
 */
export function gpuLoadsPicture(layers: readonly LayerGpuLoads[], when: string, width = pictureWidth): Picture {
  const inPercent = layers.map(({ layer, unplaced, placed, bound }) => {
    const average = mean(Array.from(placed))!;
    const of = (loads: ArrayLike<number>) => Array.from(loads, (load) => (100 * load) / average);
    return { layer, unplaced: of(unplaced), placed: of(placed), bound: (100 * bound) / average };
  });
  const largest = (key: "unplaced" | "placed") => mean(inPercent, (each) => max(each[key])!)! / 100;
  const isOne = layers.length === 1;
  const shared = {
    id: "gpu-loads",
    title: "Loads of the GPUs before and after placement",
    finding:
      `The fullest GPU has ${inWords(largest("unplaced"))} times the mean load with the experts in order, and ` +
      `${inWords(largest("placed"))} times placed${isOne ? "" : `, mean over ${layers.length} layers`}; no placement gets below ` +
      `${inWords(mean(inPercent, ({ bound }) => bound)! / 100)}.`,
  };
  const reading = `The load of each GPU, summed over ${when}, in percent of the mean load of a GPU; 100 % everywhere is perfect balance.`;
  if (isOne && inPercent[0].placed.length <= mostBars) return { ...shared, reading, ...bars(inPercent[0], width) };
  const gpus = inPercent[0].placed.length;
  const groupSize = Math.ceil(gpus / Math.max(1, Math.floor(cellsWidth(2, width) / leastCellWidth)));
  const panels = (["unplaced", "placed"] as const).map((key): HeatMapPanel => {
    const firsts = range(0, gpus, groupSize);
    const rows = inPercent.map((each) =>
      firsts.map((first) => Math.round(max(each[key].slice(first, first + groupSize))!)),
    );
    return {
      title: names[key],
      columns: firsts.map((first) => rangeLabel(first, Math.min(first + groupSize, gpus) - 1)),
      rows: inPercent.map(({ layer }) => String(layer)),
      values: firsts.flatMap((_, column) => rows.map((row) => row[column])),
    };
  });
  const values = panels.flatMap((panel) => panel.values);
  // Loads between 95 % and 105 % are a large difference once experts are placed, so that the scale cannot start at 0.
  const least = min(values, (value) => (value > 0 ? value : 100))!;
  const bottom = Math.min(100 - scale.step, Math.floor(least / scale.step) * scale.step);
  const top = Math.max(100 + scale.step, Math.ceil(quantile(values, scale.quantile)! / scale.step) * scale.step);
  return {
    ...shared,
    reading: [
      reading,
      "One row per layer, one column per GPU: even colour means balance.",
      ...(groupSize > 1 ? [`A column covers up to ${groupSize} neighbouring GPUs and shows the fullest.`] : []),
    ].join(" "),
    ...heatMap(panels, width, {
      dimensions: ["GPU", "layer", "load, % of the mean"],
      bottom,
      top,
      topLabel: `≥ ${top} % of the mean load`,
      bottomLabel: `${bottom} %`,
      marked: { isMarked: (percent) => percent === 0, range: { value: 0 }, label: "idle: no token" },
      isDownward: true,
      most: 2,
    }),
  };
}

function bars(
  { unplaced, placed, bound }: { unplaced: number[]; placed: number[]; bound: number },
  width: number,
): Pick<Picture, "height" | "option"> {
  const { legend, height: foot } = legendOf(
    [
      { name: names.unplaced, mark: "symbol" },
      { name: names.placed, mark: "symbol" },
      { name: names.bound, mark: "stroke" },
    ],
    width,
  );
  const gpus = placed.map((_, gpu) => String(gpu));
  const bar = (name: string, values: number[], color: string): BarSeriesOption => ({
    name,
    type: "bar",
    barGap: "0%",
    barCategoryGap: "25%",
    color,
    data: values.map(rounded),
  });
  const line: LineSeriesOption = {
    name: names.bound,
    type: "line",
    symbol: "none",
    color: variantColor(1),
    lineStyle: { type: "dashed", width: 1.5 },
    data: gpus.map(() => rounded(bound)),
  };
  const bottom = foot + 44;
  return {
    height: plotHeightOf(width, plotHeight) + bottom,
    option: {
      legend,
      grid: { left: 64, right: 24, top: 40, bottom },
      xAxis: { ...horizontal, type: "category", name: "GPU", data: gpus },
      yAxis: { ...vertical, type: "value", name: "load, % of the mean" },
      tooltip: { trigger: "axis" },
      series: [bar(names.unplaced, unplaced, variantColor(7)), bar(names.placed, placed, variantColor(2)), line],
    },
  };
}
