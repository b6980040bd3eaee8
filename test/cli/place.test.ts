import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { moesim, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

/** Experts 0 and 1 are busy in the first two steps, 0 and 2 in the others. */
const steps = [
  [4, 4, 1, 1],
  [4, 4, 1, 1],
  [4, 1, 4, 1],
  [4, 1, 4, 1],
];

function loadsFile(rows: readonly (readonly number[])[] = steps): string {
  const file = path.join(temporaryFolder(), "counts.csv");
  writeFileSync(file, `${rows.map((row) => row.join(",")).join("\n")}\n`);
  return file;
}

async function place(...words: string[]) {
  const { code, stdout, stderr } = await runInProcess(["place", ...words, "--json"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout);
}

async function refusal(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await runInProcess(["place", ...words]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  return stderr;
}

describe("moesim place", () => {
  it("fits to the first half of the steps and judges on both, as a process", () => {
    const { code, stdout } = moesim(["place", loadsFile(), "--gpus", "2", "--json"]);
    expect(code).toBe(0);
    const plan = JSON.parse(stdout);
    expect(plan).toMatchObject({ method: "balanced", experts: 4, gpus: 2, slots: 4, absent_layers: [] });
    // Experts 0 and 2 share a GPU: balanced while 1 is busy, and 8 of 10 pairs when 2 is.
    expect(plan.layers).toEqual([
      {
        layer: 0,
        steps: 2,
        max_rank_load: 10,
        mean_rank_load: 10,
        rank_load: [10, 10],
        balancedness: 1,
        step_time: 1,
        lower_bound: 10,
        gap: 0,
        unplaced: { max_rank_load: 16, rank_load: [16, 4], step_time: 1.6 },
        later: {
          steps: 2,
          max_rank_load: 16,
          mean_rank_load: 10,
          rank_load: [16, 4],
          balancedness: 0.625,
          step_time: 1.6,
          lower_bound: 10,
          gap: 0.6,
          unplaced: { max_rank_load: 10, rank_load: [10, 10], step_time: 1 },
        },
        replicas: [1, 1, 1, 1],
        physical_to_logical: [0, 2, 1, 3],
      },
    ]);
  });

  it("fits to all steps with --split 1", async () => {
    const [layer] = (await place(loadsFile(), "--gpus", "2", "--split", "1")).layers;
    expect(layer).toMatchObject({ steps: 4, later: null, max_rank_load: 20, lower_bound: 20 });
    // Experts 0 and 3 share a GPU, so that 0 shares none with 1 or 2.
    expect(layer.step_time).toBe(1);
  });

  it("reads every layer of a recording, and says which have no load", async () => {
    const file = path.join(temporaryFolder(), "long.csv");
    const rows = [4, 4, 1, 1].map((count, expert) => `3,${expert},${count}`);
    writeFileSync(file, ["layer_id,expert_id,count", "1,0,0", ...rows, "5,3,6", "5,0,2"].join("\n"));
    const plan = await place(file, "--gpus", "2");
    expect(plan).toMatchObject({ experts: 4, absent_layers: [1] });
    expect(plan.layers.map(({ layer, max_rank_load }: Record<string, number>) => [layer, max_rank_load])).toEqual([
      [3, 5],
      [5, 6],
    ]);
  });

  it("counts the pairs of recorded choices", async () => {
    const file = path.join(temporaryFolder(), "chosen.csv");
    writeFileSync(file, "1,3\n0,1\n0,1\n0,2\n");
    const [layer] = (await place(file, "--as", "selections", "--gpus", "2", "--experts", "4")).layers;
    expect(layer).toMatchObject({ mean_rank_load: 4, max_rank_load: 4, unplaced: { max_rank_load: 6 } });
  });

  it("leaves empty steps out of the mean", async () => {
    const [layer] = (await place(loadsFile([...steps.slice(0, 2), [0, 0, 0, 0], steps[3]]), "--gpus", "2")).layers;
    expect(layer.later).toMatchObject({ steps: 1, step_time: 1.6 });
  });

  it("splits the steps with load, whatever empty rows a recorder's buffer has", async () => {
    const empty = [0, 0, 0, 0];
    const [layer] = (await place(loadsFile([...steps, ...Array(12).fill(empty)]), "--gpus", "2")).layers;
    expect(layer).toMatchObject({ steps: 2, step_time: 1, later: { steps: 2, step_time: 1.6 } });
    const [last] = (await place(loadsFile([empty, empty, empty, steps[0], steps[2]]), "--gpus", "2")).layers;
    expect(last).toMatchObject({ steps: 1, later: { steps: 1, step_time: 1.6 } });
  });

  it("says if nothing is left to judge on, and which loads the picture shows", async () => {
    const picture = path.join(temporaryFolder(), "gpus.svg");
    const one = await runInProcess([
      "place",
      loadsFile(steps.slice(0, 1)),
      "--as",
      "loads",
      "--gpus",
      "2",
      "--picture",
      picture,
    ]);
    expect(one.stdout).toContain("Nothing is judged on later steps: no step with load is left");
    expect(one.stdout).toContain("The picture shows all steps, which the placement was fitted to.");
    const more = await runInProcess(["place", loadsFile(), "--gpus", "2", "--picture", picture]);
    expect(more.stdout).not.toContain("Nothing is judged");
    expect(more.stdout).toContain("The picture shows the steps after those the placement was fitted to.");
  });

  it("replicates", async () => {
    const [layer] = (await place(loadsFile([[6, 1, 1]]), "--gpus", "2", "--slots", "4")).layers;
    expect(layer).toMatchObject({ replicas: [2, 1, 1], max_rank_load: 4, step_time: 1, later: null });
  });

  it.each(["contiguous", "striped", "eplb"])("places by %s", async (method) => {
    const expected = { contiguous: [0, 1, 2, 3], striped: [0, 2, 1, 3], eplb: [0, 2, 1, 3] };
    const [layer] = (await place(loadsFile(), "--gpus", "2", "--method", method)).layers;
    expect(layer.physical_to_logical).toEqual(expected[method as keyof typeof expected]);
    expect(layer.lower_bound).toBe(10);
  });

  it("prints a table of the layers and what it means", async () => {
    const { code, stdout } = await runInProcess(["place", loadsFile(), "--gpus", "2"]);
    expect(code).toBe(0);
    expect(stdout).toContain("1 layer, 4 experts in 4 slots on 2 GPUs, balanced");
    expect(stdout).toContain(
      "On the steps it was fitted to, a step waits 0.00 % longer than in perfect balance; unplaced it waits 60.00 %.",
    );
    expect(stdout).toContain(
      "On the steps after these, a step waits 60.00 % longer than in perfect balance; unplaced it waits 0.00 %.",
    );
  });

  it.each(["sglang", "tensorrt-llm", "vllm-ascend"])("writes a map for %s, and judges it again", async (format) => {
    const loads = loadsFile();
    const out = path.join(temporaryFolder(), "map");
    const plan = await place(loads, "--gpus", "2", "--slots", "6", "--out", out, "--format", format);
    const judged = await place(loads, "--gpus", "2", "--map", out);
    expect(judged).toMatchObject({ method: null, map: out, slots: 6 });
    expect(judged.layers).toEqual(plan.layers);
  });

  it("spreads replicas for vllm-ascend, which knows one slot of an expert on a GPU", async () => {
    const loads = loadsFile([[90, 5, 1, 1]]);
    const out = path.join(temporaryFolder(), "map.json");
    const words = [loads, "--gpus", "2", "--slots", "6"];
    const onGpus = (plan: { layers: { physical_to_logical: number[] }[] }) =>
      [0, 1].map((gpu) => new Set(plan.layers[0].physical_to_logical.slice(gpu * 3, gpu * 3 + 3)).size);
    const eplb = await place(...words, "--method", "eplb");
    expect(onGpus(eplb)).not.toEqual([3, 3]);
    const plan = await place(...words, "--format", "vllm-ascend", "--out", out);
    expect(onGpus(plan)).toEqual([3, 3]);
    expect(plan.layers[0].max_rank_load).toBeLessThanOrEqual(51);
    const sglang = path.join(temporaryFolder(), "sglang.json");
    await place(...words, "--method", "eplb", "--format", "sglang", "--out", sglang);
    const again = [loads, "--gpus", "2", "--map", sglang, "--format", "vllm-ascend", "--out", `${out}2`];
    expect(await refusal(...again)).toMatch(/layer 0: GPU \d holds expert 0 twice, which vllm-ascend cannot read/);
    expect(await refusal(loads, "--gpus", "2", "--slots", "10", "--format", "vllm-ascend", "--out", out)).toContain(
      "--slots: 5 slots per GPU for 4 experts",
    );
  });

  it("matches the layers of a map by the model's numbers, those of vllm-ascend by their order", async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, "long.csv");
    // The first layer is dense; layers 1 and 2 are the places 0 and 1 of vllm-ascend's map.
    const counts = [
      [0, 0, 0, 0],
      [4, 4, 1, 1],
      [4, 1, 4, 1],
    ];
    const rows = counts.flatMap((load, layer) => load.map((count, expert) => `${layer},${expert},${count}`));
    writeFileSync(file, ["layer_id,expert_id,count", ...rows].join("\n"));
    const words = [file, "--gpus", "2"];
    const plan = await place(...words);
    expect(plan.layers.map(({ layer, max_rank_load }: Record<string, number>) => [layer, max_rank_load])).toEqual([
      [1, 5],
      [2, 5],
    ]);
    for (const format of ["vllm-ascend", "sglang", "tensorrt-llm"]) {
      const map = path.join(folder, format);
      await place(...words, "--format", format, "--out", map);
      expect((await place(...words, "--map", map)).layers, format).toEqual(plan.layers);
    }
    const three = path.join(folder, "three");
    writeFileSync(file, ["layer_id,expert_id,count", ...rows, "3,0,1", "3,1,1", "3,2,1", "3,3,1"].join("\n"));
    await place(...words, "--format", "vllm-ascend", "--out", three);
    writeFileSync(file, ["layer_id,expert_id,count", ...rows].join("\n"));
    expect(await refusal(...words, "--map", three)).toContain(
      "the map has 3 layers: 0, 1 and 2; but the loads have 2 layers with experts: 1 and 2. Select those of the map with --layers",
    );
  });

  it("judges the layers that a map names, and refuses the map of another model", async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, "long.csv");
    const rows = [3, 4, 5].flatMap((layer) => [0, 1, 2, 3].map((expert) => `${layer},${expert},${1 + layer * expert}`));
    writeFileSync(file, ["layer_id,expert_id,count", ...rows].join("\n"));
    const map = path.join(folder, "map.yaml");
    const words = [file, "--gpus", "2"];
    await place(...words, "--layers", "4-5", "--format", "tensorrt-llm", "--out", map);
    const whole = await place(...words);
    expect((await place(...words, "--map", map)).layers).toEqual(whole.layers.slice(1));
    const { stdout } = await runInProcess(["place", ...words, "--map", map]);
    expect(stdout).toContain("Not in the map, and left out: layer 3.");
    expect(await refusal(...words, "--layers", "3", "--map", map)).toContain(
      "it has layers 4-5; but the loads have layer 3",
    );
    expect(await refusal(...words, "--layers", "7", "--map", map)).toContain("there is no layer 7; the file has 3-5");
    const wide = loadsFile([[1, 2, 3, 4, 5, 6]]);
    expect(await refusal(wide, "--as", "loads", "--gpus", "2", "--map", map)).toContain(
      "the map has 4 slots in each layer, too few for the 6 experts of the loads: it is the map of another model",
    );
  });

  it("gives a map the bound without groups, which it may break", async () => {
    const loads = loadsFile(Array(4).fill([100, 100, 100, 100, 1, 1, 1, 1]));
    const map = path.join(temporaryFolder(), "map.json");
    writeFileSync(map, JSON.stringify({ physical_to_logical_map: [[0, 4, 1, 5, 2, 6, 3, 7]] }));
    const words = [loads, "--as", "loads", "--gpus", "4", "--nodes", "2", "--groups", "2"];
    expect((await place(...words)).layers[0].lower_bound).toBe(400);
    const judged = await place(...words, "--map", map);
    expect(judged.hierarchical).toBe(false);
    expect(judged.layers[0]).toMatchObject({ max_rank_load: 202, lower_bound: 202, gap: 0 });
  });

  it("writes rows for all layers of the model in SGLang's map", async () => {
    const out = path.join(temporaryFolder(), "map.json");
    const words = [loadsFile(), "--gpus", "2", "--out", out];
    await place(...words, "--format", "sglang", "--model-layers", "3");
    const { physical_to_logical_map: rows } = JSON.parse(readFileSync(out, "utf8"));
    expect(rows).toEqual([
      [0, 2, 1, 3],
      [0, 1, 2, 3],
      [0, 1, 2, 3],
    ]);
    expect(await refusal(...words, "--format", "vllm-ascend", "--model-layers", "3")).toContain("add --format sglang");
    expect(await refusal(...words, "--format", "sglang", "--model-layers", "0")).toContain("--model-layers: 0");
  });

  it("writes the plan as it prints it", async () => {
    const out = path.join(temporaryFolder(), "plan.json");
    const plan = await place(loadsFile(), "--gpus", "2", "--out", out);
    expect(JSON.parse(readFileSync(out, "utf8"))).toEqual(plan);
  });

  it("draws the loads of the GPUs before and after", async () => {
    const folder = temporaryFolder();
    const file = (name: string) => path.join(folder, name);
    const { stdout } = await runInProcess(["place", loadsFile(), "--gpus", "2", "--picture", file("gpus.svg")]);
    expect(stdout).toContain(`Written to ${file("gpus.svg")}`);
    expect(readFileSync(file("gpus.svg"), "utf8")).toMatch(
      /^<svg role="img" aria-label="Loads of the GPUs before and after/,
    );
    await place(loadsFile(), "--gpus", "2", "--picture", file("gpus.png"), "--out", file("plan.json"));
    expect(readFileSync(file("gpus.png")).subarray(1, 4).toString()).toBe("PNG");
    await place(loadsFile(), "--gpus", "2", "--picture", file("gpus.pdf"));
    expect(readFileSync(file("gpus.pdf")).subarray(0, 4).toString()).toBe("%PDF");
    expect(await refusal(loadsFile(), "--gpus", "2", "--picture", file("gpus.jpg"))).toContain(
      "end the name with .svg, .png or .pdf",
    );
    const same = ["--picture", file("x.svg"), "--out", file("x.svg")];
    expect(await refusal(loadsFile(), "--gpus", "2", ...same)).toContain("name the same file");
  });

  it("says what is wrong, where, and what to do", async () => {
    const loads = loadsFile();
    expect(await refusal(loads)).toContain("--gpus is missing");
    expect(await refusal(loads, "--gpus", "0")).toContain("--gpus: 0 is not allowed");
    expect(await refusal(loads, "--gpus", "1000000000")).toContain("--gpus: 1000000000 GPUs are too many");
    expect(await refusal(loads, "--gpus", "2", "--slots", "4000000000")).toContain(
      "--slots: 4000000000 slots are too many",
    );
    expect(await refusal(loads, "--gpus", "2", "--slots", "2")).toContain("--slots: 2 slots for 4 experts");
    expect(await refusal(loads, "--gpus", "4", "--slots", "6")).toContain(
      "--slots: 6 slots do not divide evenly over 4 GPUs; give e.g. 8",
    );
    expect(await refusal(loads, "--gpus", "2", "--nodes", "3")).toContain(
      "--nodes: 2 GPUs do not divide evenly over 3 nodes",
    );
    expect(await refusal(loads, "--gpus", "2", "--groups", "3")).toContain(
      "--groups: 4 experts do not divide evenly into 3 groups",
    );
    expect(await refusal(loads, "--gpus", "2", "--gap", "-1")).toContain("--gap: -1 is not allowed");
    expect(await refusal(loads, "--gpus", "2", "--split", "0")).toContain("--split: 0 is not allowed");
    expect(await refusal(loads, "--gpus", "2", "--format", "sglang")).toContain("--out");
    expect(await refusal(loads, "--gpus", "2", "--out", loads)).toContain("--out and PATH name the same file");
    expect(
      await refusal(
        loadsFile([
          [0, 0],
          [0, 0],
        ]),
        "--as",
        "loads",
        "--gpus",
        "2",
      ),
    ).toContain("no layer has any load");
    expect(await refusal(path.join(temporaryFolder(), "none.csv"), "--gpus", "2")).toContain("no such file");
  });

  it("refuses a map that does not fit", async () => {
    const loads = loadsFile();
    const map = path.join(temporaryFolder(), "map.json");
    writeFileSync(map, JSON.stringify({ physical_to_logical_map: [[0, 1, 2, 2]] }));
    expect(await refusal(loads, "--gpus", "2", "--map", map)).toContain("layer 0: no slot for expert 3");
    expect(await refusal(loads, "--gpus", "2", "--slots", "6", "--map", map)).toContain("the map has 4 slots");
    writeFileSync(map, JSON.stringify({ physical_to_logical_map: [[0, 1, 2, 3]] }));
    expect(await refusal(loads, "--gpus", "3", "--map", map)).toContain("--gpus: the map has 4 slots in each layer");
    writeFileSync(map, "[]");
    expect(await refusal(loads, "--gpus", "2", "--map", map)).toContain("not an expert map");
  });
});
