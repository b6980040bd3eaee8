import { max, mean, min, quantile, range } from "d3-array";
import type { BarSeriesOption, LineSeriesOption } from "echarts";
import type { PlacedLoads } from "../../results/results.ts";
import { horizontal, vertical } from "../parts/axes.ts";
import { cellsWidth, type HeatMapPanel, heatMap, rangeLabel } from "../parts/heat-map.ts";
import { legendOf } from "../parts/legend.ts";
import type { ReportData } from "../parts/report-data.ts";
import { capitalized, drawnName, inWords, rounded } from "../parts/text.ts";
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

const pictureTitle = "Loads of the GPUs before and after placement";
const readingText = (when: string) =>
  `The load of each GPU, summed over ${when}, in percent of the mean load of a GPU; 100 % everywhere is perfect balance.`;

/**
 * Load of each GPU before and after placing experts, in percent of the mean: bars for one layer, otherwise one row per layer.
 *
 * @param when the steps that are shown, e.g. "the later steps", for the reading
 */
export function gpuLoadsPicture(layers: readonly LayerGpuLoads[], when: string, width = pictureWidth): Picture {
  const rows = layers.map(({ layer, unplaced, placed, bound }): GpuRow => {
    return {
      label: String(layer),
      ...inPercent({ unplaced, placed }),
      bound: (100 * bound) / mean(Array.from(placed))!,
    };
  });
  const isOne = layers.length === 1;
  const shared = {
    id: "gpu-loads",
    title: pictureTitle,
    finding:
      `${capitalized(fullestText(rows))}; no placement gets below ` +
      `${inWords(mean(rows, ({ bound }) => bound!)! / 100)}.`,
  };
  if (isOne && rows[0].placed.length <= mostBars)
    return { ...shared, reading: readingText(when), ...bars(rows[0], width) };
  return { ...shared, ...cells(panelsOf(rows), "layer", readingText(when), width) };
}

/**
 * Load of each GPU of a run that places experts, before and after, on the steps on which a fitted placement is in force: bars
 * for one router, otherwise a row per router; or, if there are several layers, a row per layer. Null if nothing was placed.
 */
export function placedGpuLoadsPicture({ variants }: ReportData, width = pictureWidth): Picture | null {
  const placed = variants
    .filter(({ gpuLoads }) => gpuLoads?.some(({ placed }) => placed.some((load) => load > 0)))
    .sort((a, b) => a.position - b.position);
  if (placed.length === 0) return null;
  const rowsByVariant = placed.map(({ name, gpuLoads }) => gpuRows(drawnName(name), gpuLoads!));
  const shared = {
    id: "gpu-loads",
    title: pictureTitle,
    finding: `${capitalized(fullestText(rowsByVariant.flat()))}.`,
  };
  const reading = readingText(fittedSteps);
  if (placed.some(({ gpuLoads }) => gpuLoads!.length > 1)) {
    const panels = placed
      .slice(0, mostLayered)
      .flatMap(({ name }, index) => panelsOf(rowsByVariant[index], `${drawnName(name)}: `));
    return { ...shared, ...cells(panels, "layer", reading, width) };
  }
  const rows = rowsByVariant.flat();
  if (rows.length === 1 && rows[0].placed.length <= mostBars) return { ...shared, reading, ...bars(rows[0], width) };
  return { ...shared, ...cells(panelsOf(rows), "router", reading, width) };
}

/** What a folder of results says of the loads of GPUs, by router. */
export interface FolderGpuLoads {
  readonly name: string;
  readonly routers: ReadonlyMap<string, readonly PlacedLoads[]>;
}

/**
 * The same of several folders, panel by panel: the experts in order as in the first, then as each folder places them. Rows are
 * the routers of the first folder; of several layers, the layers of its first router. Null unless two folders place experts on
 * equally many GPUs.
 */
export function comparedGpuLoadsPicture(folders: readonly FolderGpuLoads[], width = pictureWidth): Picture | null {
  const rowsIn = ({ routers }: FolderGpuLoads): GpuRow[] => {
    const [first] = routers;
    if (first === undefined) return [];
    if (first[1].length > 1) return gpuRows("", first[1]);
    return Array.from(routers).flatMap(([router, layers]) => gpuRows(drawnName(router), layers));
  };
  const known = folders
    .map((folder) => ({ name: drawnName(folder.name), rows: rowsIn(folder) }))
    .filter(({ rows }) => rows.length > 0);
  const [first] = known;
  if (known.length < 2) return null;
  const labels = first.rows.map(({ label }) => label);
  const isAlike = ({ rows }: { rows: readonly GpuRow[] }) =>
    rows.length === labels.length &&
    rows.every(({ label, placed }, i) => label === labels[i] && placed.length === first.rows[0].placed.length);
  const alike = known.filter(isAlike);
  if (alike.length < 2) return null;
  const isLayered = Array.from(folders[0].routers.values()).some((layers) => layers.length > 1);
  const panels = [
    { title: `${first.name}: ${names.unplaced}`, rows: rowsOf(first.rows, "unplaced") },
    ...alike.map(({ name, rows }) => ({ title: `${name}: ${names.placed}`, rows: rowsOf(rows, "placed") })),
  ];
  return {
    id: "gpu-loads",
    title: pictureTitle,
    finding:
      `${capitalized(fullestText(first.rows))} in ${first.name}; ` +
      `${alike
        .slice(1)
        .map(({ name, rows }) => `${inWords(largestOf(rows, "placed"))} placed in ${name}`)
        .join("; ")}.`,
    ...cells(panels, isLayered ? "layer" : "router", readingText(fittedSteps), width),
  };
}

const fittedSteps = "the steps on which a fitted placement was in force";
/** Routers with several layers that are shown: each needs two panels. */
const mostLayered = 2;

/** A row of cells, or the bars of one layer: loads `[gpus]` in percent of their mean. */
interface GpuRow {
  readonly label: string;
  readonly unplaced: readonly number[];
  readonly placed: readonly number[];
  readonly bound?: number;
}

function inPercent(loads: { unplaced: ArrayLike<number>; placed: ArrayLike<number> }): {
  unplaced: number[];
  placed: number[];
} {
  const average = mean(Array.from(loads.placed))!;
  const of = (load: ArrayLike<number>) => Array.from(load, (each) => (average > 0 ? (100 * each) / average : 0));
  return { unplaced: of(loads.unplaced), placed: of(loads.placed) };
}

/** Returns a row per layer, or the row of the only one, called `name`. */
function gpuRows(name: string, layers: readonly PlacedLoads[]): GpuRow[] {
  return layers.map((loads) => ({ label: loads.layer === null ? name : String(loads.layer), ...inPercent(loads) }));
}

/** Returns a panel before and one after; `of` begins their titles. */
function panelsOf(rows: readonly GpuRow[], of = ""): CellPanel[] {
  return (["unplaced", "placed"] as const).map((key) => ({ title: `${of}${names[key]}`, rows: rowsOf(rows, key) }));
}

function rowsOf(rows: readonly GpuRow[], key: "unplaced" | "placed"): CellPanel["rows"] {
  return rows.map((row) => ({ label: row.label, loads: row[key] }));
}

function largestOf(rows: readonly GpuRow[], key: "unplaced" | "placed"): number {
  return mean(rows, (row) => max(row[key])!)! / 100;
}

function fullestText(rows: readonly GpuRow[]): string {
  return (
    `${rows.length === 1 ? "" : `in the mean over ${rows.length} rows, `}the fullest GPU has ` +
    `${inWords(largestOf(rows, "unplaced"))} times the mean load with the experts in order, and ` +
    `${inWords(largestOf(rows, "placed"))} times placed`
  );
}

interface CellPanel {
  readonly title: string;
  readonly rows: readonly { readonly label: string; readonly loads: readonly number[] }[];
}

/** Draws a cell per row and GPU on one scale. */
function cells(
  panels: readonly CellPanel[],
  rowName: string,
  reading: string,
  width: number,
): Pick<Picture, "reading" | "option" | "panels" | "height"> {
  const gpus = panels[0].rows[0].loads.length;
  const groupSize = Math.ceil(gpus / Math.max(1, Math.floor(cellsWidth(2, width) / leastCellWidth)));
  const firsts = range(0, gpus, groupSize);
  const drawn = panels.map(({ title, rows }): HeatMapPanel => {
    const grouped = rows.map(({ loads }) =>
      firsts.map((first) => Math.round(max(loads.slice(first, first + groupSize))!)),
    );
    return {
      title,
      columns: firsts.map((first) => rangeLabel(first, Math.min(first + groupSize, gpus) - 1)),
      rows: rows.map(({ label }) => label),
      values: firsts.flatMap((_, column) => grouped.map((row) => row[column])),
    };
  });
  const values = drawn.flatMap((panel) => panel.values);
  // Loads between 95 % and 105 % are a large difference once experts are placed, so that the scale cannot start at 0.
  const least = min(values, (value) => (value > 0 ? value : 100))!;
  const bottom = Math.min(100 - scale.step, Math.floor(least / scale.step) * scale.step);
  const top = Math.max(100 + scale.step, Math.ceil(quantile(values, scale.quantile)! / scale.step) * scale.step);
  return {
    reading: [
      reading,
      `One row per ${rowName}, one column per GPU: even colour means balance.`,
      ...(groupSize > 1 ? [`A column covers up to ${groupSize} neighbouring GPUs and shows the fullest.`] : []),
    ].join(" "),
    ...heatMap(drawn, width, {
      dimensions: ["GPU", rowName, "load, % of the mean"],
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

function bars({ unplaced, placed, bound }: GpuRow, width: number): Pick<Picture, "height" | "option"> {
  const { legend, height: foot } = legendOf(
    [
      { name: names.unplaced, mark: "symbol" },
      { name: names.placed, mark: "symbol" },
      ...(bound === undefined ? [] : [{ name: names.bound, mark: "stroke" } as const]),
    ],
    width,
  );
  const gpus = placed.map((_, gpu) => String(gpu));
  const bar = (name: string, values: readonly number[], color: string): BarSeriesOption => ({
    name,
    type: "bar",
    barGap: "0%",
    barCategoryGap: "25%",
    color,
    data: values.map(rounded),
  });
  const line = (value: number): LineSeriesOption => ({
    name: names.bound,
    type: "line",
    symbol: "none",
    color: variantColor(1),
    lineStyle: { type: "dashed", width: 1.5 },
    data: gpus.map(() => rounded(value)),
  });
  const bottom = foot + 44;
  return {
    height: plotHeightOf(width, plotHeight) + bottom,
    option: {
      legend,
      grid: { left: 64, right: 24, top: 40, bottom },
      xAxis: { ...horizontal, type: "category", name: "GPU", data: gpus },
      yAxis: { ...vertical, type: "value", name: "load, % of the mean" },
      tooltip: { trigger: "axis" },
      series: [
        bar(names.unplaced, unplaced, variantColor(7)),
        bar(names.placed, placed, variantColor(2)),
        ...(bound === undefined ? [] : [line(bound)]),
      ],
    },
  };
}
