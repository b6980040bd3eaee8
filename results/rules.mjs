// Makes results/rules.csv, results/rules.svg and the table of docs/one-dual.md: how far from the minimum of the dual each rule of
// scenarios/rules.yaml is, step by step, on each of its streams. Uses the built program, so `npm run build` comes first. Takes
// about two minutes.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stringify } from "csv-stringify/sync";
import { max, mean, min } from "d3-array";
import * as echarts from "echarts";
import { parse } from "yaml";
import { createDualRegretMeter } from "../dist/core/metrics/dual-regret.js";
import { createRouter } from "../dist/core/simulation/router-run.js";
import { createSparseRowsSolver } from "../dist/core/transport/sparse/sparse-rows.js";
import { loadScenario, metrics } from "../dist/index.js";
import { table } from "./theory/output.mjs";
import { record } from "./theory/recording.mjs";

const file = fileURLToPath(new URL("../scenarios/rules.yaml", import.meta.url));
const titles = ["stationary", "swinging", "recorded, collapsed", "recorded, balanced"];
/** Smaller distances are drawn as this one, at the bottom of the picture. */
const floor = 1e-4;
/** Figures of the CSV, in which nobody needs sixteen digits. */
const rounded = (value) => Number(value.toPrecision(6));

/** Returns the function that finds α `[experts]` of a batch, the bias that a router of sparse rows finds on the batch itself. */
function createPrices(kernels, { tokens, experts, topK }, { scores, options }) {
  const solver = createSparseRowsSolver(kernels, tokens, experts, topK, options);
  const affinity = kernels.allocateFloat32(tokens * experts);
  return ({ logits }) => {
    kernels.scores(logits, scores, tokens, experts, affinity);
    return Float64Array.from(solver.solve({ affinity, tokens }).potential);
  };
}

/** The distances of every rule on every step of one stream. */
async function follow(stream, title) {
  const scenario = await loadScenario(file, [`stream=${JSON.stringify(stream)}`]);
  const { steps, tokens, experts } = scenario;
  const recording = await record(scenario);
  const { kernels } = recording;
  const batches = Array.from({ length: steps }, (_, step) => ({
    step,
    tokens,
    experts,
    logits: recording.logits.subarray(step * tokens * experts, (step + 1) * tokens * experts),
  }));
  const { scores } = scenario.measure;
  const whole = createDualRegretMeter(kernels, scenario, scores);
  for (const batch of batches) whole.observe(batch);
  const best = whole.hindsight();
  const own = batches.map((batch) => {
    const meter = createDualRegretMeter(kernels, { ...scenario, steps: 1 }, scores);
    meter.observe(batch);
    return meter;
  });
  const tiled = new Float64Array(steps * experts);
  /** Mean over the stream of f_n(b) − f_n(b*). */
  const distance = (bias) => {
    for (let step = 0; step < steps; step++) tiled.set(bias, step * experts);
    return whole.regret(tiled).at(-1) / steps;
  };
  const ownDistance = (step, bias) => own[step].regret(bias)[0];
  const rows = scenario.routers.flatMap((choice) => {
    const router = createRouter(scenario, choice, kernels);
    const priceOf = choice.kind === "scot" ? createPrices(kernels, scenario, choice) : null;
    if (router.bias === undefined && priceOf === null) return [];
    return batches.map((batch, step) => {
      const before = Float64Array.from(router.bias ?? []);
      const { load } = router.route(batch).assignment;
      // What a batch is routed by is known before it, or is found on the batch itself.
      const bias = priceOf?.(batch) ?? (choice.options.apply === "same" ? Float64Array.from(router.bias) : before);
      return {
        stream: title,
        rule: choice.name,
        step,
        gap: rounded(distance(bias)),
        batch_gap: rounded(ownDistance(step, bias)),
        max_vio: rounded(metrics.maxVio(load)),
        bias_spread: rounded(max(bias) - min(bias)),
      };
    });
  });
  const fixed = batches.map((_, step) => ownDistance(step, best.bias));
  return { title, rows, fixed, spread: max(best.bias) - min(best.bias), gap: best.gap / steps };
}

const short = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 2, useGrouping: false });

const { sweep } = parse(readFileSync(file, "utf8"));
const followed = [];
for (const [index, stream] of sweep.stream.entries()) followed.push(await follow(stream, titles[index]));

writeFileSync(
  new URL("rules.csv", import.meta.url),
  stringify(
    followed.flatMap(({ rows }) => rows),
    { header: true },
  ),
);

// Okabe and Ito's palette, which colour-blind people can tell apart: a colour a rule, a stroke a rate.
const looks = {
  "sign 0.001": ["#0072b2", "dotted"],
  "sign 0.01": ["#0072b2", "solid"],
  "sign 0.1": ["#0072b2", "dashed"],
  "proportional 0.1": ["#e69f00", "solid"],
  "proportional 1": ["#e69f00", "dashed"],
  "subgradient 2/√n": ["#000000", "solid"],
  "smebu 0.01": ["#009e73", "solid"],
  "smebu 0.1": ["#009e73", "dashed"],
  quantile: ["#d55e00", "solid"],
  "quantile ema 0.9": ["#d55e00", "dotted"],
  "quantile same": ["#d55e00", "dashed"],
  "scot adam": ["#cc79a7", "dashed"],
  "scot rows": ["#cc79a7", "solid"],
};
const columns = [
  { field: "gap", name: "distance from b*", type: "log", min: 1e-4, max: 1 },
  { field: "batch_gap", name: "distance from the batch's own optimum", type: "log", min: 1e-4, max: 1 },
  { field: "max_vio", name: "MaxVio of the batch", type: "value" },
  { field: "bias_spread", name: "max b − min b", type: "value" },
];
const [panelWidth, panelHeight, left, top] = [330, 210, 56, 74];
const [width, height] = [columns.length * panelWidth + 10, followed.length * panelHeight + top + 70];
const panels = followed.flatMap((stream, row) => columns.map((column, place) => ({ stream, row, column, place })));
const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width, height });
chart.setOption({
  animation: false,
  backgroundColor: "#ffffff",
  textStyle: { fontFamily: "sans-serif" },
  title: [
    ...columns.map(({ name }, place) => ({ text: name, left: place * panelWidth + left, top: 8, textStyle: { fontSize: 14 } })),
    ...followed.map(({ title }, row) => ({ text: title, left, top: row * panelHeight + top - 26, textStyle: { fontSize: 12 } })),
  ],
  legend: { data: [...Object.keys(looks), "b*"], bottom: 6, left: "center", width: width - 80, itemWidth: 34, itemGap: 18, itemStyle: { opacity: 0 } },
  grid: panels.map(({ row, place }) => ({
    left: place * panelWidth + left,
    top: row * panelHeight + top,
    width: panelWidth - left - 14,
    height: panelHeight - 64,
  })),
  xAxis: panels.map((_, gridIndex) => ({ gridIndex, type: "value", min: 0, max: 100, interval: 25 })),
  yAxis: panels.map(({ column: { type, min, max } }, gridIndex) => ({
    gridIndex,
    type,
    min,
    max,
    splitNumber: 4,
    axisLabel: { formatter: short.format },
  })),
  series: panels.flatMap(({ stream, column: { field } }, panel) => {
    const line = (name, [color, type], data) => ({
      name,
      type: "line",
      xAxisIndex: panel,
      yAxisIndex: panel,
      showSymbol: false,
      symbol: "none",
      color,
      lineStyle: { width: 1.5, type },
      data,
    });
    const drawn = Object.entries(looks).map(([rule, look]) =>
      line(
        rule,
        look,
        stream.rows
          .filter((row) => row.rule === rule)
          .map((row) => [row.step, field.endsWith("gap") ? Math.max(floor, row[field]) : row[field]]),
      ),
    );
    const best = {
      batch_gap: stream.fixed.map((value, step) => [step, value]),
      bias_spread: stream.fixed.map((_, step) => [step, stream.spread]),
    }[field];
    return best === undefined ? drawn : [...drawn, line("b*", ["#888888", "solid"], best)];
  }),
});
writeFileSync(new URL("rules.svg", import.meta.url), `${chart.renderToSVGString()}\n`);
chart.dispose();

const lastTenth = (rows) => rows.slice(-rows.length / 10);
const tables = followed.map(({ title, rows, fixed, gap }) => {
  const lines = Object.keys(looks).map((rule) => {
    const own = rows.filter((row) => row.rule === rule);
    const late = lastTenth(own);
    return [
      `\`${rule}\``,
      ...["gap", "batch_gap", "max_vio", "bias_spread"].map((field) => short.format(mean(late, (row) => row[field]))),
    ];
  });
  const head = ["rule", "distance from b*", "from the batch's own", "MaxVio of a batch", "max b − min b"];
  return [
    `**${title}**, means over the last 10 steps; b* itself is ${short.format(mean(lastTenth(fixed)))} from the batches' own ` +
      `optima (proven to ${gap.toExponential(0)})`,
    "",
    table(head, lines),
  ].join("\n");
});
const page = new URL("../docs/one-dual.md", import.meta.url);
const between = /(<!-- rules:begin -->\n)[^]*(<!-- rules:end -->)/;
writeFileSync(
  page,
  readFileSync(page, "utf8").replace(between, (_, begin, end) => `${begin}\n${tables.join("\n\n")}\n\n${end}`),
);
