import { writeFileSync } from "node:fs";
import { stringify } from "csv-stringify/sync";
import * as echarts from "echarts";

const width = 1040;
const height = 400;
// Okabe and Ito's palette, which colour-blind people can tell apart.
export const colors = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];

const short = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3, useGrouping: false });
export const format = (value) => short.format(value);

/** A Markdown table; all columns but the first are numbers. */
export const table = (head, rows) =>
  [head, head.map((_, column) => (column === 0 ? "---" : "---:")), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");

/** Writes objects of equal fields into `<name>.csv`. */
export const writeRows = (name, rows) =>
  writeFileSync(new URL(`${name}.csv`, import.meta.url), stringify(rows, { header: true }));

/** Two panels of lines side by side, into `<name>.svg`; a line is `{ name, color, data, type?, symbol? }`. */
export function draw(name, panels) {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width, height });
  const left = (panel) => 66 + (panel * width) / 2;
  chart.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    textStyle: { fontFamily: "sans-serif" },
    title: panels.map(({ title }, panel) => ({ text: title, left: left(panel) - 6, top: 8, textStyle: { fontSize: 14 } })),
    legend: panels.map(({ lines }, panel) => ({
      data: lines.map((line) => line.name),
      left: left(panel) - 20,
      width: width / 2 - 60,
      bottom: 4,
      itemWidth: 30,
      itemGap: 16,
    })),
    grid: panels.map((_, panel) => ({ left: left(panel), width: width / 2 - 90, top: 44, bottom: 96 })),
    xAxis: panels.map(({ x }, panel) => ({ gridIndex: panel, nameLocation: "middle", nameGap: 26, type: "value", ...x })),
    yAxis: panels.map(({ y }, panel) => ({ gridIndex: panel, nameLocation: "middle", nameGap: 44, type: "value", ...y })),
    series: panels.flatMap(({ lines }, panel) =>
      lines.map(({ name, color, data, type = "solid", symbol }) => ({
        name,
        type: "line",
        xAxisIndex: panel,
        yAxisIndex: panel,
        showSymbol: symbol !== undefined,
        symbol,
        symbolSize: 8,
        color,
        lineStyle: { width: 2, type },
        data,
      })),
    ),
  });
  writeFileSync(new URL(`${name}.svg`, import.meta.url), `${chart.renderToSVGString()}\n`);
  // An open chart would keep the program running.
  chart.dispose();
}
