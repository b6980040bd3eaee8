/**
 * Placement: how far DeepSeek's balancer and `balanced` are from the proven bound, and how long they take. Build the program,
 * then:
 *
 *     node bench/placement.mjs                      random loads, and times by size
 *     node bench/placement.mjs LOADS.npy GPUS SLOTS recorded loads [layers × experts]
 *
 * Prints tables for docs/placement.md; loads are / mean, times are of the processor.
 */
import { openVector } from "../dist/core/formats/vector.js";
import { createBalancedPlacer } from "../dist/core/placement/balanced.js";
import { placeByEplb } from "../dist/core/placement/eplb.js";
import { placeContiguously, placedLoad, replicaCounts } from "../dist/core/placement/placement.js";
import { platform } from "../dist/core/platform.js";
import { createRandom } from "../dist/core/random.js";
import "../dist/node/platform.js";

const print = (line) => process.stdout.write(`${line}\n`);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const percent = (ratio) => `${(100 * (ratio - 1)).toFixed(ratio - 1 < 0.001 ? 3 : ratio - 1 < 0.1 ? 2 : 1)} %`;

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

print(
  "| loads | experts | GPUs × slots | in order | eplb | balanced | bound | eplb over bound | balanced over bound | proven best | eplb ms | balanced ms |",
);
print("|---|---|---|---|---|---|---|---|---|---|---|---|");
const [file, gpus, slots, nodes = 1, groups = 1] = process.argv.slice(2);
if (file === undefined) {
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
  print(`\n61 layers × 256 experts, 288 slots, 32 GPUs: ${(ms / 1000).toFixed(2)} s of one core`);
} else {
  const vector = await openVector(await platform().open(file));
  const experts = vector.shape.at(-1);
  const loads = [];
  for (let row = 0; row < vector.length / experts; row++) {
    const load = new Float64Array(experts);
    await vector.read(load);
    if (load.some((each) => each > 0)) loads.push(load);
  }
  await vector.close();
  const shape = { experts, gpus: +gpus, slots: +slots, nodes: +nodes, groups: +groups };
  compare(file.split("/").at(-1), loads, shape);
}
