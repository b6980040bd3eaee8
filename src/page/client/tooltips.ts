import { ascending, least } from "d3-array";
import type { EChartsOption, HeatmapSeriesOption, LineSeriesOption, ScatterSeriesOption } from "echarts";

type Formatter = (params: unknown) => HTMLElement;

/** Tooltip of a heat map cell: what its column, row and value are, as the dimensions of the series name them. */
export function heatMapTooltip({ series, xAxis, yAxis }: EChartsOption): Formatter | null {
  const maps = [series].flat() as HeatmapSeriesOption[];
  if (maps[0]?.type !== "heatmap") return null;
  const [columns, rows] = [xAxis, yAxis].map((axes) => [axes].flat() as { data: string[] }[]);
  const [columnName, rowName, valueName] = maps[0].dimensions as string[];
  const place = (name: string, label: string): Row => [label.includes("–") ? `${name}s` : name, label];
  return (params) => {
    const { seriesIndex, value } = params as { seriesIndex: number; value: [number, number, number] };
    const panel = Number(maps[seriesIndex].xAxisIndex);
    const [column, row, percent] = value;
    const [, name, ofWhat] = /^(.*?), % of (.*)$/s.exec(valueName)!;
    return list([
      place(columnName, columns[panel].data[column]),
      ...(rowName === "" ? [] : [place(rowName, rows[panel].data[row])]),
      [name, percent === 0 && name === "load" ? "idle: no token" : `${percent} % of ${ofWhat}`],
    ]);
  };
}

type Drawn = LineSeriesOption | ScatterSeriesOption;

interface Point {
  readonly step: number;
  readonly value: number;
}

/**
 * Tooltip over an axis of steps: each line's value on the step or on its nearest step, because routers are measured on
 * different steps, and long lines are thinned. Names the nearest step if it is another one.
 */
export function stepTooltip({ series, xAxis }: EChartsOption): Formatter | null {
  const [axis] = [xAxis].flat() as { name?: string; type?: string }[];
  if (axis?.name !== "step" || axis.type !== "value") return null;
  const lines = new Map<string, { color: string; panel: number; points: Point[] }>();
  for (const { name, color, tooltip, xAxisIndex, data } of [series].flat() as Drawn[]) {
    if (tooltip?.show === false) continue;
    const panel = Number(xAxisIndex ?? 0);
    const line = lines.get(String(name)) ?? { color: String(color), panel, points: [] };
    lines.set(String(name), line);
    // A second panel repeats the same line, as far as its axis allows.
    if (line.panel !== panel) continue;
    for (const [step, value] of data as [number, number][]) line.points.push({ step, value });
  }
  return (params) => {
    const [{ axisValue }] = [params].flat() as { axisValue: number }[];
    const all = Array.from(lines.values(), ({ points }) => points).flat();
    const step = nearest(all, Number(axisValue))!.step;
    return list([
      ["step", String(step)],
      ...Array.from(lines, ([name, { color, points }]): Row => {
        const point = nearest(points, step)!;
        return [name, point.step === step ? String(point.value) : `${point.value} (step ${point.step})`, color];
      }),
    ]);
  };
}

function nearest(points: readonly Point[], step: number): Point | undefined {
  return least(points, (a, b) => ascending(Math.abs(a.step - step), Math.abs(b.step - step)));
}

type Row = readonly [name: string, value: string, color?: string];

/** Returns a row for each name and its value, built from elements, so that no name is ever read as markup. */
function list(rows: readonly Row[]): HTMLElement {
  const element = document.createElement("div");
  for (const [name, value, color] of rows) {
    const row = document.createElement("div");
    row.style.cssText = "display: flex; gap: 1em; justify-content: space-between";
    const label = document.createElement("span");
    if (color !== undefined) {
      const mark = document.createElement("span");
      mark.style.cssText = "display: inline-block; width: 10px; height: 10px; margin-right: 6px; border-radius: 5px";
      mark.style.background = color;
      label.append(mark);
    }
    label.append(name);
    const figure = document.createElement("strong");
    figure.append(value);
    row.append(label, " ", figure);
    element.append(row);
  }
  return element;
}
