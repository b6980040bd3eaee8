import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { mean } from "d3-array";
import { beforeAll, describe, expect, it } from "vitest";
import { metricColumns } from "../../src/core/metrics/catalogue.ts";
import { createRandom } from "../../src/core/random.ts";
import { safetensorsBytes } from "../core/formats/recorded-files.ts";
import { npyBytes, readNpy } from "../support/npy.ts";
import { moesim, projectPath, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const [steps, layers, tokens, experts] = [6, 4, 48, 8];
const checked = ["summary.csv", "layers.csv", "steps.csv", "loads.csv", "diagnostics.csv"];
const routers = [
  { kind: "topk" },
  { kind: "alf-lb", updateRate: 0.05 },
  { kind: "ssr", select: { mode: "probability", p: 0.5 } },
  { kind: "noisy-topk" },
  { kind: "random" },
];

type Row = Record<string, string>;

function rowsOf(file: string): Row[] {
  const [header, ...lines] = readFileSync(file, "utf8").trimEnd().split("\n");
  const columns = header.split(",");
  return lines.map((line) => Object.fromEntries(line.split(",").map((cell, at) => [columns[at], cell])));
}

/** Rows of `layer`, or all if null, without the column. */
function rowsOfLayer(file: string, layer: number | null): Row[] {
  return rowsOf(file)
    .filter((row) => layer === null || row.layer === String(layer))
    .map(({ layer: _, ...row }) => row);
}

let folder: string;
let logits: Float32Array;

/** Writes a scenario that replays logits.npy with changes to its stream, runs it, and returns the folder of its results. */
async function run(name: string, stream: object = {}, ...words: string[]): Promise<string> {
  const file = path.join(folder, `${name}.json`);
  const scenario = { name: "layers", ranks: 2, seed: 3, regret: { every: 2 }, routers, stream: {} };
  const traced = { kind: "trace", path: "logits.npy", ...stream };
  writeFileSync(
    file,
    JSON.stringify({ ...scenario, stream: "kind" in stream ? { ...traced, path: undefined } : traced }),
  );
  const out = path.join(folder, name);
  const { code, stderr } = await runInProcess(["run", file, "--out", out, "--quiet", ...words]);
  expect(code, stderr).toBe(0);
  return out;
}

beforeAll(async () => {
  folder = temporaryFolder();
  const random = createRandom("layers");
  // Each layer has favourites of its own.
  const favour = Array.from({ length: layers * experts }, () => 1.5 * random.normal());
  logits = Float32Array.from({ length: steps * layers * tokens * experts }, (_, i) => {
    const [expert, layer] = [i % experts, Math.floor(i / (tokens * experts)) % layers];
    return favour[layer * experts + expert] + random.normal();
  });
  writeFileSync(path.join(folder, "logits.npy"), npyBytes([steps, layers, tokens, experts], logits));
  await run("whole");
});

/** The logits of `layer`, `[steps × tokens × experts]`. */
function sliceOf(layer: number): Float32Array {
  const size = tokens * experts;
  const slice = new Float32Array(steps * size);
  for (let step = 0; step < steps; step++) {
    const start = (step * layers + layer) * size;
    slice.set(logits.subarray(start, start + size), step * size);
  }
  return slice;
}

describe("a run of several layers", () => {
  it("does in each layer what a run of that layer alone does, whatever else is selected", async () => {
    const whole = path.join(folder, "whole");
    const pair = await run("pair", { layers: ["2-3", 1] });
    for (const layer of [1, 2]) {
      const alone = await run(`layer-${layer}`, { layers: [layer] });
      expect(existsSync(path.join(alone, "layers.csv"))).toBe(false);
      for (const file of ["steps.csv", "loads.csv", "diagnostics.csv"]) {
        const expected = rowsOf(path.join(alone, file));
        expect(expected[0]).not.toHaveProperty("layer");
        for (const results of [whole, pair]) expect(rowsOfLayer(path.join(results, file), layer)).toEqual(expected);
      }
      const expected = rowsOf(path.join(alone, "summary.csv"));
      for (const results of [whole, pair])
        expect(rowsOfLayer(path.join(results, "layers.csv"), layer)).toEqual(expected);
    }
    // Layers draw numbers of their own.
    const [first, second] = [1, 2].map((layer) =>
      rowsOfLayer(path.join(whole, "loads.csv"), layer).filter(({ router }) => router === "random"),
    );
    expect(first).not.toEqual(second);
  });

  it("does in layer 0 what a run of a file with that layer's logits does", async () => {
    writeFileSync(path.join(folder, "slice.npy"), npyBytes([steps, tokens, experts], sliceOf(0)));
    const slice = await run("slice", { path: "slice.npy" });
    for (const file of ["steps.csv", "loads.csv", "diagnostics.csv"]) {
      expect(rowsOfLayer(path.join(folder, "whole", file), 0)).toEqual(rowsOf(path.join(slice, file)));
    }
    expect(rowsOfLayer(path.join(folder, "whole/layers.csv"), 0)).toEqual(rowsOf(path.join(slice, "summary.csv")));
  });

  it("does the same in another layer with that layer's random numbers, which follow from its id", async () => {
    const data = new Uint8Array(Float32Array.from(sliceOf(2)).buffer);
    const header = { "layer.2": { dtype: "F32", shape: [steps, tokens, experts], data_offsets: [0, data.length] } };
    writeFileSync(path.join(folder, "two.safetensors"), safetensorsBytes(header, data));
    const two = await run("two", { path: "two.safetensors", tensor: "layer.*" });
    expect(rowsOfLayer(path.join(folder, "whole/steps.csv"), 2)).toEqual(rowsOf(path.join(two, "steps.csv")));
  });

  it("has in summary.csv the mean over the layers of each metric, and the worst layer", () => {
    const [summary, perLayer] = ["summary.csv", "layers.csv"].map((file) => rowsOf(path.join(folder, "whole", file)));
    expect(summary.map(({ router }) => router)).toEqual(routers.map(({ kind }) => kind));
    expect(perLayer.map(({ router, layer }) => `${router} ${layer}`)).toEqual(
      routers.flatMap(({ kind }) => Array.from({ length: layers }, (_, layer) => `${kind} ${layer}`)),
    );
    let compared = 0;
    for (const row of summary) {
      const own = perLayer.filter(({ router }) => router === row.router);
      for (const { column, metric } of metricColumns) {
        if (metric.layered || !(column in row)) continue;
        const values = own.map((ofLayer) => ofLayer[column]).filter((cell) => cell !== "");
        const expected = values.length === 0 ? "" : mean(values.map(Number))!;
        if (expected === "") expect(row[column], column).toBe("");
        else expect(Number(row[column]), column).toBeCloseTo(expected, 12);
        compared += values.length;
      }
      const worst = own.reduce((a, b) => (Number(b.max_vio_global) > Number(a.max_vio_global) ? b : a));
      expect([row.max_vio_worst, row.max_vio_worst_layer]).toEqual([worst.max_vio_global, worst.layer]);
    }
    expect(compared).toBeGreaterThan(400);
    expect(Object.keys(summary[0]).slice(-2)).toEqual(["max_vio_worst", "max_vio_worst_layer"]);
    for (const file of checked.slice(1)) {
      expect(Object.keys(rowsOf(path.join(folder, "whole", file))[0]).at(-1), file).toBe("layer");
    }
  });

  it("gives the same bytes with two workers, which share the layers", async () => {
    const file = path.join(folder, "whole.json");
    const shared = path.join(folder, "shared");
    const { code, stderr } = moesim(["run", file, "--out", shared, "--quiet", "--workers", "2"]);
    expect(code, stderr).toBe(0);
    for (const name of checked) {
      expect(readFileSync(path.join(shared, name), "utf8"), name).toBe(
        readFileSync(path.join(folder, "whole", name), "utf8"),
      );
    }
  });

  it("takes a tensor per layer with the model's ids, and leaves absent layers out of every mean", async () => {
    const size = steps * tokens * experts * 4;
    const ids = [3, 7];
    const header = Object.fromEntries([
      ...ids.map((id, at) => [
        `layers.${id}.logits`,
        { dtype: "F32", shape: [steps * tokens, experts], data_offsets: [at * size, (at + 1) * size] },
      ]),
      ["layers.0.logits", { dtype: "F32", shape: [0, experts], data_offsets: [2 * size, 2 * size] }],
    ]);
    const data = new Uint8Array(2 * size);
    data.set(new Uint8Array(sliceOf(1).buffer));
    data.set(new Uint8Array(sliceOf(2).buffer), size);
    writeFileSync(path.join(folder, "dense.safetensors"), safetensorsBytes(header, data));
    const scenario = path.join(folder, "dense.json");
    const stream = { kind: "trace", path: "dense.safetensors", batchTokens: tokens };
    writeFileSync(scenario, JSON.stringify({ name: "dense", routers: [{ kind: "topk" }], stream }));
    const out = path.join(folder, "dense");
    const { stdout, code } = await runInProcess(["run", scenario, "--out", out]);
    expect(code).toBe(0);
    expect(stdout).toContain("dense: 2 layers (3, 7), 6 steps of 48 tokens");
    expect(stdout.match(/Layer 0 has no logits: absent, and in no mean\./g)).toHaveLength(1);
    expect(rowsOf(path.join(out, "layers.csv")).map(({ layer }) => layer)).toEqual(["3", "7"]);
    const record = JSON.parse(readFileSync(path.join(out, "run.json"), "utf8"));
    expect(record).toMatchObject({ layers: [3, 7], absentLayers: [0] });
    // The same logits, under other ids: top-k draws no numbers.
    const values = (file: string, layer: number) =>
      rowsOfLayer(file, layer).map(({ router, max_vio }) => [router, max_vio]);
    const expected = values(path.join(folder, "whole/steps.csv"), 1).filter(([router]) => router === "topk");
    expect(values(path.join(out, "steps.csv"), 3)).toEqual(expected);
  });

  it("leaves a layer out of every mean in which all experts are disabled, and says so once", async () => {
    const masked = logits.map((logit, i) =>
      Math.floor(i / (tokens * experts)) % layers === 1 ? Number.NEGATIVE_INFINITY : logit,
    );
    writeFileSync(path.join(folder, "masked.npy"), npyBytes([steps, layers, tokens, experts], masked));
    const scenario = path.join(folder, "masked.json");
    const stream = { kind: "trace", path: "masked.npy" };
    writeFileSync(scenario, JSON.stringify({ name: "masked", routers: [{ kind: "topk" }], stream }));
    const out = path.join(folder, "masked");
    const { stdout, code } = await runInProcess(["run", scenario, "--out", out]);
    expect(code).toBe(0);
    expect(stdout.match(/Layer 1 sends no token to any expert: absent, and in no mean\./g)).toHaveLength(1);
    const own = rowsOf(path.join(out, "layers.csv")).filter(({ layer }) => layer !== "1");
    const [summary] = rowsOf(path.join(out, "summary.csv"));
    for (const column of ["max_vio_global", "load_entropy", "idle_fraction_mean", "dead_experts"]) {
      expect(Number(summary[column]), column).toBeCloseTo(mean(own, (row) => Number(row[column]))!, 12);
    }
  });

  it("runs again from its record to the same bytes", async () => {
    const again = path.join(folder, "again");
    const { code, stderr } = await runInProcess([
      "run",
      path.join(folder, "whole/run.json"),
      "--out",
      again,
      "--quiet",
    ]);
    expect(code, stderr).toBe(0);
    for (const name of checked) {
      expect(readFileSync(path.join(again, name)), name).toEqual(readFileSync(path.join(folder, "whole", name)));
    }
  });

  it("replaces results of several layers by those of one, and leaves no layers.csv", async () => {
    const out = await run("replaced");
    expect(existsSync(path.join(out, "layers.csv"))).toBe(true);
    await run("replaced", { layers: [1] });
    expect(existsSync(path.join(out, "layers.csv"))).toBe(false);
  });
});

describe("the layers of a synthetic stream", () => {
  const stream = { kind: "bursty", layers: 3 };
  const sizes = ["--set", "steps=5", "tokens=64", "experts=8"];

  it("have gates of their own, of which the first is that of a stream without layers", async () => {
    const [three, one] = [await run("made-3", stream, ...sizes), await run("made-1", { kind: "bursty" }, ...sizes)];
    for (const file of ["steps.csv", "loads.csv"]) {
      expect(rowsOfLayer(path.join(three, file), 0)).toEqual(rowsOf(path.join(one, file)));
      expect(rowsOfLayer(path.join(three, file), 1)).not.toEqual(rowsOf(path.join(one, file)));
    }
    const same = await run("made-explicit", { kind: "bursty", layers: 1 }, ...sizes);
    for (const file of ["summary.csv", "steps.csv", "loads.csv", "diagnostics.csv"]) {
      expect(readFileSync(path.join(same, file))).toEqual(readFileSync(path.join(one, file)));
    }
  });

  it("train models of their own", async () => {
    const training = { kind: "training", task: "clusters", width: 8, hidden: 8 };
    const sizes = ["--set", "steps=6", "tokens=32", "experts=4"] as const;
    const three = await run("made-trained-3", { ...training, layers: 3 }, ...sizes);
    const one = await run("made-trained-1", training, ...sizes);
    expect(rowsOfLayer(path.join(three, "steps.csv"), 0)).toEqual(rowsOf(path.join(one, "steps.csv")));
    expect(rowsOfLayer(path.join(three, "steps.csv"), 1)).not.toEqual(rowsOf(path.join(one, "steps.csv")));
  });

  it("are swept, with means over the layers in each cell's rows", async () => {
    const file = path.join(folder, "swept.json");
    const written = { name: "swept", steps: 4, tokens: 32, experts: 8, stream, routers: routers.slice(0, 2) };
    writeFileSync(file, JSON.stringify({ ...written, sweep: { "stream.layers": [1, 3] }, seeds: [0, 1] }));
    const out = path.join(folder, "swept");
    const first = await runInProcess(["sweep", file, "--out", out, "--quiet"]);
    expect(first.code, first.stderr).toBe(0);
    const summary = rowsOf(path.join(out, "summary.csv"));
    expect(summary).toHaveLength(8);
    for (const row of summary) expect(row.max_vio_worst !== "").toBe(row["stream.layers"] === "3");
    expect([0, 1, 2, 3].map((cell) => existsSync(path.join(out, `cells/${cell}/layers.csv`)))).toEqual([
      false,
      false,
      true,
      true,
    ]);
    const perLayer = rowsOf(path.join(out, "layers.csv"));
    expect(perLayer).toEqual(
      [2, 3].flatMap((cell) =>
        rowsOf(path.join(out, `cells/${cell}/layers.csv`)).map((row) => ({ ...row, "stream.layers": "3" })),
      ),
    );
    const resumed = await runInProcess(["sweep", file, "--out", out, "--resume", "--quiet"]);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(rowsOf(path.join(out, "summary.csv"))).toEqual(summary);
    expect(rowsOf(path.join(out, "layers.csv"))).toEqual(perLayer);
    const check = await runInProcess(["check", out, "--baseline", out, "--fail-on", "different"]);
    expect(check.code, check.stderr).toBe(0);
  });
});

describe("commands on results of several layers", () => {
  it("check compares each layer, and a gate can name one", async () => {
    const [whole, changed] = ["whole", "changed"].map((name) => path.join(folder, name));
    await run("changed");
    const file = path.join(changed, "layers.csv");
    const [row] = rowsOfLayer(file, 2);
    const text = readFileSync(file, "utf8");
    // The first row of layer 2 is top-k's.
    const worse = text.replace(`,${row.max_vio_global},`, `,${Number(row.max_vio_global) + 1},`);
    expect(worse).not.toBe(text);
    writeFileSync(file, worse);
    const check = await runInProcess(["check", changed, "--baseline", whole]);
    expect(check.code).toBe(1);
    expect(check.stdout).toMatch(/worse +layers\.csv +topk +2 +max_vio_global/);

    const gate = path.join(folder, "gate.yaml");
    writeFileSync(gate, `- { metric: max_vio_global, router: topk, layer: 2, max: ${row.max_vio_global} }\n`);
    expect((await runInProcess(["check", whole, "--gate", gate])).code).toBe(0);
    expect((await runInProcess(["check", changed, "--gate", gate])).code).toBe(1);
  });

  it("compare shows the means, and report the layers", async () => {
    const [whole, pair] = [path.join(folder, "whole"), await run("compared", { layers: [0, 2] })];
    const compared = await runInProcess(["compare", whole, pair, "--json"]);
    expect(compared.code, compared.stderr).toBe(0);
    expect(compared.stdout).toContain("max_vio_worst");
    const { stdout, code, stderr } = await runInProcess(["report", whole]);
    expect(code, stderr).toBe(0);
    const [topk] = rowsOf(path.join(whole, "summary.csv"));
    const page = readFileSync(path.join(whole, "report.html"), "utf8");
    for (const id of ["layer-max-vio", "layer-gain", "layer-loads"]) expect(page).toContain(`id="${id}"`);
    // What would add up experts of different layers is not drawn.
    for (const id of ["loads", "load-curves"]) expect(page).not.toContain(`id="${id}"`);
    expect(page).toContain("<dt>Layers</dt><dd>0-3</dd>");
    expect(page).toContain("Each step's value is the mean over the layers.");
    expect(stdout).toMatch(new RegExp(`MaxVio by layer: .*topk in layer ${topk.max_vio_worst_layer} `));
  });
});

describe("commands on a file with layers", () => {
  const file = () => path.join(folder, "logits.npy");

  it("route routes each layer, and writes its id last", async () => {
    const [all, one] = ["all.csv", "one.csv"].map((name) => path.join(folder, name));
    const words = ["route", "--router", "alf-lb", "--logits", file()];
    const { code, stdout, stderr } = await runInProcess([...words, "--out", all]);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("alf-lb: 4 layers (0-3), 6 steps of 48 tokens");
    await runInProcess([...words, "--layers", "2", "--out", one]);
    expect(rowsOf(one)[0]).not.toHaveProperty("layer");
    expect(rowsOfLayer(all, 2)).toEqual(rowsOf(one));
    expect(rowsOf(all)).toHaveLength(steps * layers * tokens * 2);
  });

  it("route --plan asks for one layer", async () => {
    const plan = path.join(folder, "plan.npy");
    const words = ["route", "--router", "ssr", "--logits", file(), "--out", path.join(folder, "p.csv"), "--plan", plan];
    const { code, stderr } = await runInProcess(words);
    expect(code).toBe(2);
    expect(stderr).toContain("choose one with --layers");
    expect((await runInProcess([...words, "--layers", "1"])).code).toBe(0);
    expect(readNpy(plan).shape).toEqual([steps, tokens, experts]);
  });

  it("optimum prints a line for each layer and step", async () => {
    const { stdout } = await runInProcess(["optimum", "--logits", file(), "--layers", "1,3", "--top-k", "2"]);
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ layer }) => layer)).toEqual([...Array(steps).fill(1), ...Array(steps).fill(3)]);
    const one = await runInProcess(["optimum", "--logits", file(), "--layers", "3", "--top-k", "2"]);
    const alone = one.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.slice(steps).map(({ layer: _, ...found }) => found)).toEqual(alone);
  });

  it("name the axes of the file, and refuse those that do not fit", async () => {
    const out = path.join(folder, "axes.csv");
    const words = ["route", "--router", "topk", "--logits", file(), "--out", out];
    expect((await runInProcess([...words, "--axes", "layers,steps,tokens,experts"])).stdout).toContain(
      "6 layers (0-5), 4 steps",
    );
    const refused: readonly (readonly [string[], string])[] = [
      [["--axes", "layers,tokens,experts"], "the axes layers,tokens,experts do not fit logits [6, 4, 48, 8]"],
      [["--axes", "layer,tokens"], 'Did you mean "layers"?'],
      [["--layers", "9"], "there is no layer 9; the file has 0-3"],
      [["--layers", "x"], '--layers: "x" is not allowed'],
    ];
    for (const [more, message] of refused) {
      const { code, stderr } = await runInProcess([...words, ...more]);
      expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
    }
  });

  it("export writes layers back as they were read", async () => {
    const out = path.join(folder, "exported.npy");
    const { code, stderr } = await runInProcess(["export", path.join(folder, "whole.json"), "--out", out, "--quiet"]);
    expect(code, stderr).toBe(0);
    const { shape, values } = readNpy(out);
    expect(shape).toEqual([steps, layers, tokens, experts]);
    expect(values).toEqual(logits);
  });

  it("reads the file of steps × layers × tokens × experts from the field", async () => {
    const shared = projectPath("../shared/cases/10/layers_steps.safetensors");
    if (!existsSync(shared)) return;
    const { stdout } = await runInProcess([
      "route",
      "--router",
      "topk",
      "--logits",
      shared,
      "--out",
      path.join(folder, "field.csv"),
    ]);
    expect(stdout).toContain("3 layers (0-2), 2 steps of 4 tokens, 8 experts");
  });
});
