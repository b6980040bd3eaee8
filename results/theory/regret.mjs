import { mean } from "d3-array";
import { linearRegression, linearRegressionLine, rSquared } from "simple-statistics";
import { simulate } from "../../dist/index.js";
import { createDualRegretMeter } from "../../dist/core/metrics/dual-regret.js";
import { colors, draw, format, table, writeRows } from "./output.mjs";
import { loadTheory, record } from "./recording.mjs";

// Regret is bounded in expectation: the mean over these seeds, 1, 2, … stands for it.
const seedCount = 8;

/** A function of the bias `[experts]`: the mean over all recorded tokens of the dual's gradient. */
function createGradient({ kernels, logits }, { steps, tokens, experts, topK }, scores) {
  const all = steps * tokens;
  const prices = kernels.allocateFloat64(experts);
  const expert = kernels.allocateInt32(all * topK);
  const load = kernels.allocateInt32(experts);
  return (bias) => {
    prices.set(bias);
    kernels.selectTopK(logits, scores, prices, all, experts, topK, expert, load);
    return Float64Array.from(load, (pairs) => pairs / all - topK / experts);
  };
}

/** The smallest curvature at `bias` across the direction (1, …, 1), along which the dual is constant. */
function leastCurvature(gradientAt, bias) {
  const reach = 0.02;
  const hessian = Array.from(bias, (_, e) => {
    const [ahead, behind] = [reach, -reach].map((by) => gradientAt(bias.map((value, j) => (j === e ? value + by : value))));
    return ahead.map((value, j) => (value - behind[j]) / (2 * reach));
  });
  const trace = hessian.reduce((sum, row, e) => sum + row[e], 0);
  // Power iteration on trace − H, whose largest eigenvalue there is trace less the smallest of H.
  let vector = bias.map((_, e) => Math.sin(e + 1));
  let least = trace;
  for (let iteration = 0; iteration < 500; iteration++) {
    const centre = mean(vector);
    const length = Math.hypot(...vector.map((value) => value - centre));
    const unit = vector.map((value) => (value - centre) / length);
    const image = hessian.map((row) => row.reduce((sum, value, j) => sum + value * unit[j], 0));
    least = image.reduce((sum, value, e) => sum + value * unit[e], 0);
    vector = unit.map((value, e) => trace * value - image[e]);
  }
  return least;
}

const stepSize = { constant: (rate) => rate, "inverse-sqrt": (rate, n) => rate / Math.sqrt(n), inverse: (rate, n) => rate / n };

/**
 * The dual regret over the steps so far, of each router on one seed. With it half the sum of u_i·|g_i|², the bound on its
 * expectation under strong convexity, and |g|² of each step.
 */
async function regretOfSeed(scenario) {
  const { tokens } = scenario;
  const simulated = await simulate(scenario);
  const runs = simulated.runs.map(({ name, options, steps, dualRegret }) => {
    let bound = 0;
    const rows = steps.map(({ load }, step) => {
      const square = load.reduce((sum, pairs) => sum + ((pairs - mean(load)) / tokens) ** 2, 0);
      bound += (stepSize[options.schedule](options.updateRate, step + 1) * square) / 2;
      return { regret: dualRegret.cumulative[step], bound, square };
    });
    return { name, options, rows };
  });
  return { runs, curvature: await curvatureOf(scenario) };
}

/** The least curvature of the mean dual at the best bias in hindsight. */
async function curvatureOf(scenario) {
  const recording = await record(scenario);
  const { scores } = scenario.routers[0];
  const { tokens, experts } = scenario;
  const meter = createDualRegretMeter(recording.kernels, scenario, scores);
  for (let step = 0; step < scenario.steps; step++) {
    const logits = recording.logits.subarray(step * tokens * experts, (step + 1) * tokens * experts);
    meter.observe({ step, tokens, experts, logits });
  }
  return leastCurvature(createGradient(recording, scenario, scores), meter.hindsight().bias);
}

/** The regret of each router at some steps n, evenly spaced in log n; means over seeds. */
async function meanRegret(scenario) {
  const seeds = [];
  for (let seed = 1; seed <= seedCount; seed++) seeds.push(await regretOfSeed({ ...scenario, seed }));
  const counts = [...new Set(Array.from({ length: 60 }, (_, i) => Math.round(10 * (scenario.steps / 10) ** (i / 59))))];
  const runs = seeds[0].runs.map(({ name, options }, run) => {
    const meanOf = (field, n) => mean(seeds, ({ runs }) => runs[run].rows[n - 1][field]);
    const points = counts.map((n) => ({ n, regret: meanOf("regret", n), bound: meanOf("bound", n) }));
    const fit = (scale) => {
      const pairs = points.map(({ n, regret }) => [scale(n), regret]);
      const line = linearRegression(pairs);
      return { slope: line.m, rSquared: rSquared(pairs, linearRegressionLine(line)) };
    };
    const square = mean(seeds, ({ runs }) => mean(runs[run].rows.slice(scenario.steps / 2), (row) => row.square));
    return { name, options, points, square, logarithmic: fit(Math.log), linear: fit((n) => n) };
  });
  return { runs, curvature: mean(seeds, (seed) => seed.curvature) };
}

/** Steps u/n lose a·ln n against the best fixed bias of a stationary stream, constant steps u/4·|g|² a step. */
export async function regret() {
  const scenario = await loadTheory("regret");
  const stationary = await meanRegret(scenario);
  const drift = await loadTheory("drift");
  const swinging = await meanRegret(drift);
  writeRows(
    "regret",
    Object.entries({ stationary, swinging }).flatMap(([stream, { runs }]) =>
      runs.flatMap(({ name, points }) => points.map(({ n, regret, bound }) => ({ stream, router: name, n, regret, bound }))),
    ),
  );
  const lines = ({ runs }) =>
    runs.map(({ name, points }, run) => ({ name, color: colors[run], data: points.map(({ n, regret }) => [n, regret]) }));
  draw("regret", [
    {
      title: "Stationary stream: regret against the best fixed bias",
      x: { name: "steps n", type: "log", min: 10, max: scenario.steps },
      y: { name: "regret of f", max: 0.6 },
      lines: [
        ...lines(stationary),
        {
          name: "bound, inverse 1",
          color: colors[0],
          type: "dotted",
          data: stationary.runs[0].points.map(({ n, bound }) => [n, bound]),
        },
      ],
    },
    { title: "Swinging stream", x: { name: "steps n" }, y: { name: "regret of f" }, lines: lines(swinging) },
  ]);
  const isBounded = ({ schedule, updateRate }) => schedule === "inverse" && updateRate >= 1 / stationary.curvature;
  const cells = ({ name, options, points, logarithmic, linear }) => [
    `\`${name}\``,
    format(points.at(-1).regret),
    isBounded(options) ? format(points.at(-1).bound) : "–",
    format(logarithmic.slope),
    logarithmic.rSquared.toFixed(3),
    format(linear.slope),
    linear.rSquared.toFixed(3),
  ];
  const fits = table(
    ["router", `regret after ${scenario.steps}`, "bound", "a of a·ln n + c", "R²", "slope of a line", "R²"],
    stationary.runs.map(cells),
  );
  const constant = table(
    ["router", "slope measured", "u/4 · mean \\|g\\|²"],
    stationary.runs
      .filter(({ options }) => options.schedule === "constant")
      .map(({ name, options, linear, square }) => [
        `\`${name}\``,
        format(linear.slope),
        format((options.updateRate / 4) * square),
      ]),
  );
  return {
    regret: `Least curvature, mean over the seeds: ${format(stationary.curvature)}.\n\n${fits}\n\n${constant}`,
    drift: table(
      ["router", `regret after ${drift.steps}`],
      swinging.runs.map(({ name, points }) => [`\`${name}\``, format(points.at(-1).regret)]),
    ),
  };
}
