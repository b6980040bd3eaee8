// Makes the results of the training scenarios again: their means and intervals in results/training, and from these the
// tables and the pictures of docs/training.md. The sweeps go to build/training-results, or to the folder that the first
// argument names; what is there already is not computed again, and an interrupted sweep resumes. Names of scenarios after
// it make only these. `npm run results:training`
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "csv-parse/sync";

const root = fileURLToPath(new URL("..", import.meta.url));
const records = path.join(root, "results/training");
const program = path.join(root, "dist/cli/main.js");
// On a terminal it shows how far it is. It says itself what went wrong, also if it is interrupted.
function moesim(...words) {
  const { status } = spawnSync(process.execPath, [program, ...words], { stdio: ["ignore", "ignore", "inherit"] });
  if (status === 0) return;
  process.stderr.write("Run the same command again to resume.\n");
  process.exit(status ?? 130);
}

const loss = { name: "task loss", column: "task_loss", digits: 3 };
const batch = { name: "MaxVio batch", column: "max_vio_batch_mean", digits: 2 };
const run = { name: "run", column: "max_vio_global", digits: 2 };
const idle = { name: "idle %", column: "idle_fraction_mean", digits: 1, factor: 100 };
const dead = { name: "dead", column: "dead_experts", digits: 1 };
const regret = { name: "regret", column: "regret_mean", digits: 4 };
const specialisation = { name: "specialisation", column: "specialisation", digits: 2 };
const evalLoss = { name: "eval loss", column: "eval_loss", digits: 3 };
const evalMaxVio = { name: "eval MaxVio", column: "eval_max_vio", digits: 2 };
const evalIdle = { name: "eval idle %", column: "eval_idle_fraction", digits: 1, factor: 100 };
const similarity = { name: "similarity", column: "expert_similarity", digits: 2 };

const selective = [evalLoss, evalMaxVio, evalIdle, loss, batch];
const all = [
  { name: "training-clusters", columns: [loss, batch, run, idle, regret, specialisation], timed: true },
  { name: "training-text", columns: [loss, batch, run, idle, regret, similarity], timed: true, picture: "task-loss-balance" },
  { name: "training-collapse", columns: [loss, batch, idle, dead, specialisation], picture: "idle" },
  { name: "training-bias-rate", columns: [loss, batch, run, idle] },
  { name: "training-aux-weight", columns: [loss, batch, run, idle] },
  { name: "training-ssr-clusters", columns: selective, heads: ["p", "cost", "gradient"] },
  { name: "training-ssr-text", columns: selective, heads: ["p", "cost", "gradient"] },
  { name: "training-shift", columns: [loss, batch, run, idle], picture: "max-vio" },
  { name: "training-published", columns: [loss, batch, run, evalLoss, evalMaxVio] },
];

const wang = "Wang et al. 2024, tables 2 to 4";
/**
 * Orders that papers report: the value of `column` is less, for each router in turn, than for the next; with `most` it is at
 * most so.
 */
const claims = [
  { says: "MaxVio of the run: proportional 0.01 is below proportional 0.001", paper: wang, column: run, routers: ["proportional 0.01", "proportional 0.001"] },
  { says: "MaxVio of the run: proportional 0.001 is below sign 0.001", paper: wang, column: run, routers: ["proportional 0.001", "sign 0.001"] },
  { says: "MaxVio of the run: sign 0.001 is far below an auxiliary loss of 0.001", paper: wang, column: run, routers: ["sign 0.001", "auxiliary loss 0.001"] },
  { says: "A rate of 0.0001 balances late: MaxVio over all batches is above that of 0.001", paper: wang, column: batch, routers: ["sign 0.001", "sign 0.0001"] },
  { says: "A rate of 0.01 swings at the end: MaxVio then is above that of 0.001", paper: wang, column: evalMaxVio, routers: ["sign 0.001", "sign 0.01"] },
  { says: "Loss: biases cost no more than an auxiliary loss", paper: wang, column: evalLoss, routers: ["sign 0.001", "auxiliary loss 0.001"], most: true },
  { says: "Freezing the bias at the end does not undo balance", paper: "DeepSeek-V3, section 4.2", column: evalMaxVio, routers: ["sign 0.001 frozen", "sign 0.001"], most: true },
];

const [given, ...names] = process.argv.slice(2);
const scenarios = all.filter(({ name }) => names.length === 0 || names.includes(name));
const folder = given ?? path.join(root, "build/training-results");
mkdirSync(records, { recursive: true });
for (const [index, { name, picture, timed }] of scenarios.entries()) {
  const start = performance.now();
  process.stdout.write(`${index + 1} of ${scenarios.length}: ${name}\n`);
  const scenario = path.join(root, `scenarios/${name}.yaml`);
  const out = path.join(folder, name);
  moesim("sweep", scenario, "--out", out, "--workers", "2", "--resume");
  copyFileSync(path.join(out, "intervals.csv"), path.join(records, `${name}.csv`));
  if (picture !== undefined) {
    moesim("report", out, "--svg", path.join(folder, "svg"));
    copyFileSync(path.join(folder, `svg/${picture}.svg`), path.join(records, `${name}.svg`));
  }
  if (timed) {
    const alone = path.join(folder, `${name}-timed`);
    moesim("run", scenario, "--set", "steps=100", "regret.every=0", "--workers", "1", "--out", alone);
    copyFileSync(path.join(alone, "timing.csv"), path.join(records, `${name}-timing.csv`));
  }
  process.stdout.write(`  ${((performance.now() - start) / 60_000).toFixed(1)} minutes\n`);
}

const read = (file) => parse(readFileSync(path.join(records, file)), { columns: true });
const page = path.join(root, "docs/training.md");
let text = readFileSync(page, "utf8");
for (const { name, columns, timed, heads } of scenarios) {
  const between = new RegExp(`(<!-- ${name}:begin -->\n)[^]*(<!-- ${name}:end -->)`);
  const timing = timed ? read(`${name}-timing.csv`) : null;
  text = text.replace(between, `$1${tableOf(read(`${name}.csv`), columns, timing, heads)}\n$2`);
  if (name !== "training-published") continue;
  const ofClaims = /(<!-- published-orders:begin -->\n)[^]*(<!-- published-orders:end -->)/;
  text = text.replace(ofClaims, `$1${claimsTable(read(`${name}.csv`))}\n$2`);
}
writeFileSync(page, text);

/** One row a claim; it is decided where the 95 % intervals of the two means do not meet. */
function claimsTable(rows) {
  const lines = claims.map(({ says, paper, column, routers, most }) => {
    const [lower, upper] = routers.map((router) => rows.find((row) => row.router === router));
    const [[low, lowHalf], [high, highHalf]] = [lower, upper].map((row) => [
      Number(row[column.column]),
      Number(row[`${column.column}_ci95`]),
    ]);
    const apart = Math.abs(high - low) > lowHalf + highHalf;
    const verdict = apart ? (low < high ? "yes" : "no") : most ? "yes: equal within the intervals" : "not decided";
    return `| ${says} | ${paper} | ${cellOf(lower, column)} and ${cellOf(upper, column)} | ${verdict} |`;
  });
  return ["| claim | paper | here | the same order |", "|---|---|---|---|", ...lines].join("\n");
}

/** Rows are routers, the words of their labels under `words`, or the values of what was swept. */
function tableOf(rows, columns, timing, words) {
  const parameters = Object.keys(rows[0]).filter((column) => column.startsWith("routers."));
  const heads = words ?? (parameters.length > 0 ? parameters.map((name) => name.split(".").at(-1)) : [""]);
  const firstOf = (row) => {
    if (words !== undefined) return words.map((_, i) => row.router.replace("p=", "").split(" ")[i] ?? "");
    return parameters.length > 0 ? parameters.map((name) => row[name]) : [`\`${row.router}\``];
  };
  const names = [...heads, ...columns.map(({ name }) => name), ...(timing === null ? [] : ["route ms", "train ms"])];
  const lines = rows.map((row) => {
    const time = timing?.find(({ router }) => router === row.router);
    const times = timing === null ? [] : [time.route_ms_median, time.train_ms_median].map((ms) => Number(ms).toPrecision(2));
    return `| ${[...firstOf(row), ...columns.map((column) => cellOf(row, column)), ...times].join(" | ")} |`;
  });
  return [`| ${names.join(" | ")} |`, `|${"---|".repeat(heads.length)}${"---:|".repeat(names.length - heads.length)}`, ...lines].join("\n");
}

/** Mean and half the width of the 95 % interval. */
function cellOf(row, { column, digits, factor = 1 }) {
  if (row[column] === "") return "";
  const [mean, half] = [row[column], row[`${column}_ci95`]].map((value) => (factor * Number(value)).toFixed(digits));
  return `${mean} ± ${half}`;
}
