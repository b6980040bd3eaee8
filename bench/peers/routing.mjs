// Kernels and routing steps by this project and by its peers, interleaved on the same machine, after a check that both
// compute the same. Needs `npm run build`, and a python3 with torch, numpy, scipy and POT (`install.sh`), or the one that
// PYTHON names.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { median, min, quantile } from "d3-array";
import "../../dist/node/platform.js";
import { formatTable } from "../../dist/cli/text/table.js";
import { prepareBenchmark } from "../../dist/node/run/benchmarks.js";
import { startPeer } from "./peer.mjs";

const size = { tokens: 8192, experts: 256, topK: 8 };
const rounds = 9;
const repeats = 3;
// A peer's idle threads go on spinning for a while after they have worked.
const restMs = 300;
// And a core that has rested takes a while to come to speed.
const warmMs = 100;
const folder = mkdtempSync(path.join(tmpdir(), "moesim-peers-"));

/** Starts the peers on these logits. */
function startPeers(logits) {
  const file = path.join(folder, "logits.f32");
  writeFileSync(file, Buffer.from(Float32Array.from(logits).buffer));
  return startPeer("routing.py", [file, size.tokens, size.experts, size.topK, folder]);
}

function timeOurs(run) {
  for (const end = performance.now() + warmMs; performance.now() < end; ) run();
  return Array.from({ length: repeats }, () => {
    const start = performance.now();
    run();
    return performance.now() - start;
  });
}

/** The array that a peer wrote. */
function readArray(name, file) {
  const { buffer } = new Uint8Array(readFileSync(file));
  return name === "expert" || name === "load" ? new Int32Array(buffer) : new Float32Array(buffer);
}

/** Largest |a − b| relative to the largest |b|. */
function relativeError(ours, theirs) {
  let error = 0;
  let largest = 0;
  for (let i = 0; i < theirs.length; i++) {
    error = Math.max(error, Math.abs(ours[i] - theirs[i]));
    largest = Math.max(largest, Math.abs(theirs[i]));
  }
  return error / largest;
}

/** The gates `[tokens × experts]` of a choice: of whom, and how much, in no order. */
function spread({ expert, gate }) {
  const dense = new Float32Array(size.tokens * size.experts);
  for (let pair = 0; pair < expert.length; pair++) {
    dense[Math.floor(pair / size.topK) * size.experts + expert[pair]] = gate[pair];
  }
  return dense;
}

/** Throws where a peer's result is not ours. */
async function checkSame(name, peer, ours, peers) {
  const files = await peers.ask({ peer, name, threads: 1, repeats: 0 });
  const theirs = Object.fromEntries(Object.entries(files).map(([key, file]) => [key, readArray(key, file)]));
  // Float32 sums of thousands of terms in another order; a key on a float32 tie may be another expert's.
  const tolerance = 2e-5;
  // POT scales the columns first, and so is elsewhere after few iterations.
  const mostMoved = peer.startsWith("POT") ? 0.05 : 1e-3;
  if (theirs.expert === undefined) {
    for (const [key, values] of Object.entries(theirs)) {
      const error = relativeError(ours[key], values);
      if (!(error <= tolerance)) throw new Error(`${name}, ${peer}: ${key} differs by ${error}`);
    }
    return;
  }
  const [own, other] = [spread(ours), spread(theirs)];
  let moved = 0;
  let error = 0;
  for (let i = 0; i < own.length; i++) {
    if (own[i] > 0 !== other[i] > 0) moved += 1;
  }
  for (let t = 0; t < own.length; t += size.experts) {
    const rows = [own, other].map((dense) => dense.subarray(t, t + size.experts));
    if (rows[0].every((value, e) => value > 0 === rows[1][e] > 0)) error = Math.max(error, relativeError(...rows));
  }
  const pairs = size.tokens * size.topK;
  if (moved / pairs > mostMoved) throw new Error(`${name}, ${peer}: ${moved} of ${pairs} pairs differ`);
  if (!(error <= (peer.startsWith("POT") ? 0.1 : 1e-3))) throw new Error(`${name}, ${peer}: gates differ by ${error}`);
  const loads = ours.load.reduce((sum, load, e) => sum + Math.abs(load - theirs.load[e]), 0);
  if (loads > moved) throw new Error(`${name}, ${peer}: loads differ by ${loads}, choices by ${moved}`);
}

const rows = [];
let versions;
try {
  const names = ["sinkhorn-sweep", "softmax", "topk-step", "ssr-step", "alf-lb-step", "quantile-step"];
  const prepared = new Map();
  for (const name of names) prepared.set(name, await prepareBenchmark(name, size));
  const peers = await startPeers(prepared.get(names[0]).logits);
  versions = peers.versions;
  for (const [name, peer] of peers.work) {
    const { run, result } = await prepareBenchmark(name, size);
    run();
    await checkSame(name, peer, result(), peers);
    const times = { ours: [], one: [], two: [] };
    for (let round = 0; round < rounds; round++) {
      await setTimeout(restMs);
      times.ours.push(...timeOurs(run));
      times.one.push(...(await peers.ask({ peer, name, threads: 1, repeats, warm_ms: warmMs })).ms);
      times.two.push(...(await peers.ask({ peer, name, threads: 2, repeats, warm_ms: warmMs })).ms);
    }
    const [ours, one, two] = [times.ours, times.one, times.two].map((ms) => median(ms));
    const middleHalf = `${quantile(times.ours, 0.25).toPrecision(3)}–${quantile(times.ours, 0.75).toPrecision(3)}`;
    rows.push([name, peer, ours, middleHalf, one, two, one / ours, min(times.one) / min(times.ours), two / ours]);
  }
  peers.stop();
} finally {
  rmSync(folder, { recursive: true });
}
const header = [
  "work",
  "peer",
  "ours\nms",
  "middle half\nms",
  "peer, 1 thread\nms",
  "2 threads\nms",
  "ratio\n1 thread",
  "of the\nleast",
  "its 2 threads\nto our 1",
];
process.stdout.write(
  `${size.tokens} × ${size.experts}, top-${size.topK}, stream "clusters"; ours on one thread; medians of ${rounds * repeats}\n` +
    `${cpus()[0].model}, Node ${process.version}, ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}\n${formatTable(header, rows)}\n`,
);
