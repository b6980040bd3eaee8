/**
 * Placement: how far DeepSeek's balancer and `balanced` are from the proven bound, and how long they take. Build the program,
 * then:
 *
 *     node bench/placement.mjs                            random and skewed loads, and times by size
 *     node bench/placement.mjs NAME PATH GPUSxSLOTS … [-- options of moesim place]
 *                                                         recorded loads: fitted to all steps, or to the first half
 *
 * Prints tables for docs/placement.md; loads are above the mean, times are of the processor.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { createBalancedPlacer } from "../dist/core/placement/balanced.js";
import { placeByEplb } from "../dist/core/placement/eplb.js";
import { placeContiguously, placedLoad, replicaCounts } from "../dist/core/placement/placement.js";
import { createRandom } from "../dist/core/random.js";
import { solveShares } from "../dist/core/streams/parts/target-shares.js";

const print = (line) => process.stdout.write(`${line}\n`);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const percent = (ratio) => {
  // Rounding can leave a bound below the mean.
  const above = Math.max(0, ratio - 1);
  return `${(100 * above).toFixed(above < 0.001 ? 3 : above < 0.1 ? 2 : 1)} %`;
};

function largest(load, placed, gpus) {
  return Math.max(...placedLoad(load, placed, replicaCounts(placed, load.length), new Float64Array(gpus)));
}

/** Runs `work` and returns what it returned, and the milliseconds of processor time. */
function timed(work) {
  const start = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(start);
  return [result, (user + system) / 1000];
}

function compare(name, loads, shape) {
  const place = createBalancedPlacer(shape, 0);
  const inOrder = placeContiguously({ ...shape, slots: Math.ceil(shape.experts / shape.gpus) * shape.gpus });
  const rows = loads.map((load) => {
    const average = mean(Array.from(load)) * (shape.experts / shape.gpus);
    const [eplb, eplbMs] = timed(() => placeByEplb(load, shape));
    const [balanced, ms] = timed(() => place(load));
    return {
      unplaced: shape.experts % shape.gpus === 0 ? largest(load, inOrder, shape.gpus) / average : Number.NaN,
      eplb: largest(load, eplb, shape.gpus) / average,
      balanced: balanced.largest / average,
      bound: balanced.lowerBound / average,
      isProven: balanced.largest === balanced.lowerBound,
      eplbMs,
      ms,
    };
  });
  const of = (key) => percent(mean(rows.map((row) => row[key])));
  const gap = (key) => percent(mean(rows.map((row) => row[key] / row.bound)));
  const { experts, gpus, slots, nodes, groups } = shape;
  const hierarchy = nodes > 1 ? `, ${groups} groups on ${nodes} nodes` : "";
  const proven = `${rows.filter(({ isProven }) => isProven).length} of ${rows.length}`;
  print(
    `| ${name} | ${experts} | ${gpus} × ${slots / gpus}${hierarchy} | ${Number.isNaN(rows[0].unplaced) ? "–" : of("unplaced")} | ${of("eplb")} | ${of("balanced")} | ${of("bound")} | ${gap("eplb")} | ${gap("balanced")} | ${proven} | ${mean(rows.map((row) => row.eplbMs)).toFixed(1)} | ${mean(rows.map((row) => row.ms)).toFixed(1)} |`,
  );
}

const [name, path, ...rest] = process.argv.slice(2);
if (name === undefined) synthetic();
else recorded(name, path, rest);

function synthetic() {
  print(
    "| loads | experts | GPUs × slots | in order | eplb | balanced | bound | eplb over bound | balanced over bound | proven best | eplb ms | balanced ms |",
  );
  print("|---|---|---|---|---|---|---|---|---|---|---|---|");
  const count = 20;
  const shapes = [
    [64, 8, 64],
    [64, 8, 72],
    [64, 16, 64],
    [64, 16, 80],
    [128, 16, 128],
    [128, 16, 144],
    [256, 32, 256],
    [256, 32, 288],
    [256, 32, 288, 4, 8],
    [256, 144, 288],
    [256, 96, 288],
  ];
  for (const [experts, gpus, slots, nodes = 1, groups = 1] of shapes) {
    for (const spread of [0.3, 0.7, 1.2]) {
      const random = createRandom(`${experts}/${gpus}/${slots}/${spread}`);
      const loads = Array.from({ length: count }, () =>
        Float64Array.from({ length: experts }, () => Math.round(1000 * Math.exp(spread * random.normal()))),
      );
      compare(`log-normal, σ ${spread}`, loads, { experts, gpus, slots, nodes, groups });
    }
  }
  const random = createRandom("layers");
  const layers = Array.from({ length: 61 }, () =>
    Float64Array.from({ length: 256 }, () => Math.round(1000 * Math.exp(0.7 * random.normal()))),
  );
  const [, ms] = timed(() => {
    const place = createBalancedPlacer({ experts: 256, gpus: 32, slots: 288, nodes: 1, groups: 1 }, 0);
    for (const load of layers) place(load);
  });
  print(`\n61 layers × 256 experts, 288 slots, 32 GPUs: ${(ms / 1000).toFixed(2)} s of one core\n`);
  skewed();
}

/** What moving gains, and what one spare slot per GPU does, as loads get more uneven: loads of a `skewed` stream. */
function skewed() {
  const shapes = [
    [64, 6, 8],
    [64, 6, 16],
    [256, 8, 32],
  ];
  print("| experts | GPUs | MaxVio | in order | moved | bound | with a spare slot per GPU | bound |");
  print("|---|---|---|---|---|---|---|---|");
  for (const [experts, topK, gpus] of shapes) {
    for (const maxVio of [0.5, 1, 2, 3, 4, 6, 8]) {
      const shares = solveShares({ maxVio }, { experts, topK });
      const rows = Array.from({ length: 20 }, (_, seed) => {
        const load = shuffled(shares, createRandom(`${experts}/${gpus}/${seed}`));
        const average = topK / gpus;
        const of = (slots) => {
          const shape = { experts, gpus, slots, nodes: 1, groups: 1 };
          const { largest: most, lowerBound } = createBalancedPlacer(shape, 0)(load);
          return { most: most / average, bound: lowerBound / average, shape };
        };
        const [moved, spare] = [of(experts), of(experts + gpus)];
        return [
          largest(load, placeContiguously(moved.shape), gpus) / average,
          moved.most,
          moved.bound,
          spare.most,
          spare.bound,
        ];
      });
      const cells = [0, 1, 2, 3, 4].map((at) => percent(mean(rows.map((row) => row[at]))));
      print(`| ${experts} | ${gpus} | ${maxVio} | ${cells.join(" | ")} |`);
    }
  }
}

function shuffled(values, random) {
  const order = Float64Array.from(values);
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random.uniform() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

/** Places a recording by `moesim place`; of several steps also by the first half, judged on the second. */
function recorded(name, path, rest) {
  const end = rest.indexOf("--") < 0 ? rest.length : rest.indexOf("--");
  const options = rest.slice(end + 1);
  const program = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
  const layersOf = (gpus, slots, split, ...method) => {
    const words = ["place", path, "--gpus", gpus, "--slots", slots, "--split", split, ...method, "--json", ...options];
    return JSON.parse(execFileSync(process.execPath, [program, ...words], { encoding: "utf8", maxBuffer: 2 ** 28 }));
  };
  const over = (layers, value) => percent(mean(layers.map(value)));
  print("| loads | experts | GPUs × slots | in order | eplb | balanced | bound |");
  print("|---|---|---|---|---|---|---|");
  const later = [];
  for (const size of rest.slice(0, end)) {
    const [gpus, slots] = size.split("x");
    const { experts, layers: balanced } = layersOf(gpus, slots, 1);
    const { layers: eplb } = layersOf(gpus, slots, 1, "--method", "eplb");
    const most = (each) => each.max_rank_load / each.mean_rank_load;
    const cells = [
      experts % gpus === 0 ? over(balanced, (each) => each.unplaced.max_rank_load / each.mean_rank_load) : "–",
      over(eplb, most),
      over(balanced, most),
      over(balanced, (each) => each.lower_bound / each.mean_rank_load),
    ];
    const shape = `${gpus} × ${slots / gpus}`;
    print(`| ${name} | ${experts} | ${shape} | ${cells.join(" | ")} |`);
    if (balanced[0].steps < 2) continue;
    const judged = [["--method", "eplb"], [], ["--gap", "0.01"]].map(
      (method) => layersOf(gpus, slots, 0.5, ...method).layers,
    );
    const times = judged.map((layers) => over(layers, (each) => each.later.step_time));
    later.push(
      `| ${name} | ${shape} | ${over(judged[0], (each) => each.later.unplaced.step_time)} | ${times.join(" | ")} |`,
    );
  }
  if (later.length === 0) return;
  print("\n| loads, later steps | GPUs × slots | unplaced | eplb | balanced | balanced --gap 0.01 |");
  print("|---|---|---|---|---|---|");
  for (const line of later) print(line);
}
