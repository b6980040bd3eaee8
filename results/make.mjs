// Makes the pictures and the table of the README from the runs of the two recorded scenarios, which `npm run results` runs
// first.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "csv-parse/sync";
import { maxVioPicture } from "../dist/core/pictures/makers/step-picture.js";
import { renderSvg } from "../dist/node/render/render.js";
import { readReportData } from "../dist/core/pictures/parts/report-data.js";
import { themes } from "../dist/core/pictures/parts/theme.js";
import { openResults } from "../dist/node/files/read-results.js";

const panels = [
  { scenario: "trace", file: "recorded.svg", title: "trained without balancing" },
  { scenario: "trace-balanced", file: "recorded-balanced.svg", title: "trained with an auxiliary loss" },
];
// The README speaks of these.
const routers = ["topk", "alf-lb", "aux-loss", "sinkhorn", "ssr", "random"];
// The same for both, so that they can be compared.
const scale = { max: 6, interval: 2 };

for (const { scenario, file } of panels) {
  const data = await readReportData(openResults(fileURLToPath(new URL(scenario, import.meta.url))));
  const picture = maxVioPicture({ ...data, variants: data.variants.filter(({ router }) => routers.includes(router)) });
  const yAxis = picture.option.yAxis.map((axis) => ({ ...axis, ...scale }));
  const svg = renderSvg({ ...picture, option: { ...picture.option, yAxis } }, themes.light);
  writeFileSync(new URL(file, import.meta.url), `${svg}\n`);
}

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
  `| | ${panels.map(({ title }) => `**${title}:** ${names.join(" | ")}`).join(" | ")} |`,
  `|---|${"---:|".repeat(names.length * panels.length)}`,
  ...summaries[0].map(({ router }, row) => {
    const numbers = summaries.flatMap((rows) => cells.map((cell) => cell(rows[row])));
    return `| \`${router}\` | ${numbers.join(" | ")} |`;
  }),
].join("\n");
const readme = new URL("../README.md", import.meta.url);
const between = /(<!-- results:begin -->\n)[^]*(<!-- results:end -->)/;
writeFileSync(readme, readFileSync(readme, "utf8").replace(between, `$1${table}\n$2`));
