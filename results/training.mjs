// Makes the results of the training scenarios again: their means and intervals in results/training, and from these the
// tables and the pictures of docs/training.md. Takes about an hour on two cores. With a folder for an argument the sweeps
// stay there, and an interrupted one resumes; names of scenarios after it make only these. `npm run results:training`
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "csv-parse/sync";

const root = fileURLToPath(new URL("..", import.meta.url));
const records = path.join(root, "results/training");
const program = path.join(root, "dist/cli/main.js");
const moesim = (...words) => execFileSync(process.execPath, [program, ...words, "--quiet"], { stdio: "inherit" });

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
];

const [given, ...names] = process.argv.slice(2);
const scenarios = all.filter(({ name }) => names.length === 0 || names.includes(name));
const folder = given ?? mkdtempSync(path.join(tmpdir(), "moesim-training-"));
mkdirSync(records, { recursive: true });
for (const { name, picture, timed } of scenarios) {
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
}
if (given === undefined) rmSync(folder, { recursive: true });

const read = (file) => parse(readFileSync(path.join(records, file)), { columns: true });
const page = path.join(root, "docs/training.md");
let text = readFileSync(page, "utf8");
for (const { name, columns, timed, heads } of scenarios) {
  const between = new RegExp(`(<!-- ${name}:begin -->\n)[^]*(<!-- ${name}:end -->)`);
  const timing = timed ? read(`${name}-timing.csv`) : null;
  text = text.replace(between, `$1${tableOf(read(`${name}.csv`), columns, timing, heads)}\n$2`);
}
writeFileSync(page, text);

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
