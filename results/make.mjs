// Makes the picture and the table of the README from the runs of the two recorded scenarios, which `npm run results` runs
// first.
import { readFileSync, writeFileSync } from "node:fs";
import { parse } from "csv-parse/sync";
import { group } from "d3-array";
import * as echarts from "echarts";

const width = 1040;
const height = 430;
const panels = [
  { scenario: "trace", title: "Trained without balancing" },
  { scenario: "trace-balanced", title: "Trained with an auxiliary loss" },
];
// Okabe and Ito's palette, which colour-blind people can tell apart; dashes tell the lines apart in print.
const routers = [
  { name: "topk", color: "#000000", type: "solid" },
  { name: "aux-loss", color: "#d55e00", type: "solid" },
  { name: "alf-lb", color: "#0072b2", type: "solid" },
  { name: "ssr", color: "#009e73", type: "dashed" },
  { name: "sinkhorn", color: "#cc79a7", type: "solid" },
  { name: "random", color: "#999999", type: "dotted" },
];

/** MaxVio of each step, by router. */
function maxVioOf(scenario) {
  const rows = parse(readFileSync(new URL(`${scenario}/steps.csv`, import.meta.url)), { columns: true });
  return group(rows, (row) => row.router);
}

const runs = panels.map(({ scenario }) => maxVioOf(scenario));
const highest = Math.ceil(
  Math.max(...runs.flatMap((run) => [...run.values()].flat().map((row) => Number(row.max_vio)))),
);
const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width, height });
chart.setOption({
  animation: false,
  backgroundColor: "#ffffff",
  textStyle: { fontFamily: "sans-serif" },
  title: panels.map(({ title }, panel) => ({
    text: title,
    left: panel === 0 ? 60 : 60 + width / 2,
    top: 8,
    textStyle: { fontSize: 15 },
  })),
  legend: { bottom: 4, data: routers.map(({ name }) => name), itemWidth: 34 },
  grid: panels.map((_, panel) => ({
    left: panel === 0 ? 60 : 60 + width / 2,
    width: width / 2 - 90,
    top: 44,
    bottom: 86,
  })),
  xAxis: panels.map((_, panel) => ({
    gridIndex: panel,
    type: "value",
    name: "recorded step",
    nameLocation: "middle",
    nameGap: 26,
  })),
  yAxis: panels.map((_, panel) => ({ gridIndex: panel, type: "value", name: "MaxVio", nameLocation: "middle", nameGap: 28, min: 0, max: highest })),
  series: runs.flatMap((run, panel) =>
    routers.map(({ name, color, type }) => ({
      name,
      type: "line",
      xAxisIndex: panel,
      yAxisIndex: panel,
      showSymbol: false,
      color,
      lineStyle: { width: 2, type },
      data: run.get(name).map(({ step, max_vio }) => [Number(step), Number(max_vio)]),
    })),
  ),
});
writeFileSync(new URL("recorded.svg", import.meta.url), `${chart.renderToSVGString()}\n`);
// An open chart would keep the program running.
chart.dispose();

const short = new Intl.NumberFormat("en-US", { maximumFractionDigits: 2 });
const fine = new Intl.NumberFormat("en-US", { maximumFractionDigits: 3 });
const cells = [
  (row) => short.format(row.max_vio_global),
  (row) => short.format(row.max_vio_batch_mean),
  (row) => short.format(row.max_vio_batch_p95),
  (row) => `${short.format(100 * row.idle_fraction_mean)} %`,
  (row) => short.format(row.score),
  (row) => fine.format(row.regret_mean),
];
const summaries = panels.map(({ scenario }) =>
  parse(readFileSync(new URL(`${scenario}/summary.csv`, import.meta.url)), { columns: true }),
);
const names = ["MaxVio run", "batch", "p95", "idle", "score", "regret"];
const table = [
  `| | ${panels.map(({ title }) => `**${title.toLowerCase()}:** ${names.join(" | ")}`).join(" | ")} |`,
  `|---|${"---:|".repeat(names.length * panels.length)}`,
  ...summaries[0].map(({ router }, row) => {
    const numbers = summaries.flatMap((rows) => cells.map((cell) => cell(rows[row])));
    return `| \`${router}\` | ${numbers.join(" | ")} |`;
  }),
].join("\n");
const readme = new URL("../README.md", import.meta.url);
const between = /(<!-- results:begin -->\n)[^]*(<!-- results:end -->)/;
writeFileSync(readme, readFileSync(readme, "utf8").replace(between, `$1${table}\n$2`));
