import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import seedrandom from "seedrandom";
import { describe, expect, it } from "vitest";
import { choicesByLayer, leastExperts } from "../../../src/core/formats/recorded-choices.ts";
import { openRecording, type Recording, type RecordingOptions } from "../../../src/core/formats/recording.ts";
import { plainCrc32 } from "../../../src/core/formats/zip.ts";
import { idleFraction, maxVio } from "../../../src/core/metrics/load.ts";
import { bytesSource } from "../../../src/core/source.ts";
import { openInputFile } from "../../../src/node/files/input-file.ts";
import { projectPath } from "../../support/program.ts";
import { expectInputError, npyBytes, npyHeader, recordedFolder, throwsOnlyInputErrors } from "./recorded-files.ts";

/** Files of real systems; they are not part of the project. */
const formats = projectPath("../shared/formats");
const cases = projectPath("../shared/cases");
const hasFiles = existsSync(formats);
const unlessMissing = hasFiles ? "" : " (skipped without ../shared/formats)";

async function open(files: string | readonly string[], options: RecordingOptions = {}): Promise<Recording> {
  const paths = typeof files === "string" ? [files] : files;
  return openRecording(await Promise.all(paths.map((file) => openInputFile(file))), options);
}

/** What was counted in one layer. */
interface Counted {
  readonly layer: number;
  readonly load: Float64Array;
  /** Pairs of each step. */
  readonly pairs: readonly number[];
}

/** Counts every layer of a recording, closes it, and returns the layers that have a pair. */
async function count(recording: Recording, experts: number, topK?: number): Promise<Counted[]> {
  const layerOf = choicesByLayer(recording, { experts, topK });
  const counted: Counted[] = [];
  for (const layer of recording.layers) {
    const choices = layerOf(layer);
    const load = new Float64Array(experts);
    const pairs: number[] = [];
    for (let step = await choices.next(); step !== null; step = await choices.next()) {
      let sum = 0;
      for (const [expert, each] of step.load.entries()) {
        load[expert] += each;
        sum += each;
      }
      if (sum > 0) pairs.push(sum);
    }
    if (pairs.length > 0) counted.push({ layer, load, pairs });
  }
  await recording.close();
  return counted;
}

const totalOf = ({ pairs }: Counted) => pairs.reduce((sum, each) => sum + each, 0);

/** Fails unless the layers have the MaxVio that the files' description states. */
function expectFigures(counted: readonly Counted[], [mean, worst, worstLayer, first, last]: readonly number[]): void {
  const vios = counted.map(({ load }) => maxVio(load));
  expect(vios.reduce((sum, each) => sum + each, 0) / vios.length).toBeCloseTo(mean, 6);
  expect(Math.max(...vios)).toBeCloseTo(worst, 6);
  expect(counted[vios.indexOf(Math.max(...vios))].layer).toBe(worstLayer);
  expect(vios[0]).toBeCloseTo(first, 6);
  expect(vios.at(-1)).toBeCloseTo(last, 6);
}

const idleOf = (counted: readonly Counted[]) => counted.map(({ load }) => Math.round(idleFraction(load) * load.length));

const sum = (values: readonly number[]) => values.reduce((total, each) => total + each, 0);

/** MaxVio of the short recording of DeepSeek-V4-Flash: mean, worst, its layer, first live, last. */
const shortFigures = [24.657658, 38.207207, 36, 31.288288, 13.990991];
const [shortPairs, shortIdle] = [222, 7846];

describe.skipIf(!hasFiles)(`files of real systems${unlessMissing}`, () => {
  const file = (name: string) => join(formats, name);

  it.each<[string, number, number, readonly number[]]>([
    // This file does not name its layers, which are 0, 7 and 15.
    ["olmoe-github-expert-counts.pkl", 64, 1_671_168, [4.223843, 5.156633, 1, 4.006281, 3.508617]],
    ["olmoe-dpo-tulu-expert-counts.pkl", 64, 1_641_944, [2.459548, 2.970084, 1, 1.916543, 2.492017]],
    ["mixtral-github-expert-counts.pkl", 8, 417_792, [0.290039, 0.328393, 2, 0.296607, 0.328393]],
  ])("counters in a pickle: %s", async (name, experts, total, figures) => {
    const recording = await open(file(name));
    expect(recording).toMatchObject({ holds: "loads", experts, layers: [0, 1, 2], hasShares: false });
    expect(recording.description).toBe(`counters of experts by layer: loads, 1 step × 3 layers × ${experts} experts`);
    expect(recording.notes.join(" ")).toContain("does not name its layers");
    const counted = await count(recording, experts);
    expect(counted.map(totalOf)).toEqual([total, total, total]);
    expectFigures(counted, figures);
    expect(idleOf(counted)).toEqual([0, 0, 0]);
  });

  it("a table of choices, whose positions and weights are no experts", async () => {
    const recording = await open(file("ds4-deepseek-v4-flash-full-route.csv"));
    expect(recording).toMatchObject({ holds: "selections", experts: null, topK: 6, hasSteps: false });
    expect(recording.layers).toEqual(Array.from({ length: 40 }, (_, i) => i + 3));
    expect(recording.description).toBe("table: selections, 40 layers × 299 tokens × top-6");
    expect(await leastExperts(recording)).toBe(256);
    const counted = await count(recording, 256);
    expect(new Set(counted.map(totalOf))).toEqual(new Set([1794]));
    expectFigures(counted, [27.061538, 40.09699, 8, 30.964326, 15.267559]);
    expect(sum(idleOf(counted))).toBe(4425);
    expect(Math.max(...idleOf(counted))).toBe(149);
    expect(idleOf(counted)[16 - 3]).toBe(149);
  });

  it("ids and weights of ESFT, a layer per file", async () => {
    const recording = await open(file("esft-deepseek-v2-lite-intent-layer1.txt"), { experts: 64 });
    expect(recording).toMatchObject({ holds: "selections", topK: 6, layers: [1] });
    const counted = await count(recording, 64);
    expect(counted.map(totalOf)).toEqual([49_332]);
    expect(maxVio(counted[0].load)).toBeCloseTo(3.176113, 6);
    expect(idleOf(counted)).toEqual([0]);
  });

  it("shares, which are said to be shares", async () => {
    const recording = await open(file("esft-deepseek-v2-lite-intent-summary.json"));
    expect(recording).toMatchObject({ holds: "loads", hasShares: true, experts: 64 });
    expect(recording.description).toContain("loads as shares");
    expect(recording.notes.join(" ")).toContain("not counts");
    const counted = await count(recording, 64);
    expect(counted).toHaveLength(26);
    expect(totalOf(counted[0])).toBeCloseTo(1.0004, 9);
    expect(totalOf(counted[25])).toBeCloseTo(0.9998, 9);
  });

  const threeSteps = [72, 72, 78];
  const stepless = [222];
  it.each<[string, string, string, readonly number[], RecordingOptions?]>([
    ["ds4-deepseek-v4-flash-short-route.csv", "table: selections, 40 layers × 37 tokens × top-6", "", stepless],
    [
      "made-sglang-stat.pt",
      "SGLang expert distribution (stat): loads, 8 steps × 43 layers × 256 experts",
      "",
      threeSteps,
    ],
    [
      "made-sglang-stat-old.pt",
      "SGLang expert distribution (stat): loads, 8 steps × 43 layers × 256 experts",
      "",
      threeSteps,
    ],
    [
      "made-sglang-per-pass_0.pt made-sglang-per-pass_1.pt",
      "SGLang expert distribution (per_pass, 2 ranks): loads, 3 steps × 43 layers × 256 experts",
      "288 physical experts are counted as the 256 logical ones",
      threeSteps,
    ],
    [
      "made-sglang-per-token.pt",
      "SGLang expert distribution (per_token): selections, 3 steps × 43 layers × 13 tokens × top-6 × 256 experts",
      "Of the 8 slots of a token, 6 are used",
      threeSteps,
    ],
    [
      "made-sglang-routed-experts.jsonl",
      "routed experts of 2 responses: selections, 43 layers × 37 tokens × top-6",
      "6 experts per token, as the ids repeat",
      stepless,
    ],
    [
      "made-sglang-routed-experts.jsonl",
      "routed experts of 2 responses: selections, 43 layers × 37 tokens × top-6",
      "",
      stepless,
      { topK: 6 },
    ],
    [
      "made-vllm-routed-experts.jsonl",
      "routed experts of 2 responses: selections, 43 layers × 37 tokens × top-6",
      "",
      stepless,
    ],
    ["made-r3-samples.npz", "NumPy archive of 2 samples: selections, 43 layers × 37 tokens × top-6", "", stepless],
    [
      "made-per-layer.npz",
      "NumPy archive: selections, 40 layers × 37 tokens × top-6",
      'Left out of the file: "doc_id"',
      stepless,
    ],
    [
      "made-slime-rollout_0.pt",
      "rollout data of slime, 2 samples: selections, 43 layers × 37 tokens × top-6",
      "",
      stepless,
    ],
    [
      "made-trtllm-expert-statistic",
      "TensorRT-LLM expert statistic (2 ranks): loads, 3 steps × 40 layers × 256 experts",
      "",
      threeSteps,
    ],
    [
      "made-megatron-tpe-rank0.jsonl made-megatron-tpe-rank1.jsonl",
      "tokens per expert of Megatron-LM (2 ranks side by side): loads, 3 steps × 40 layers × 256 experts",
      "",
      threeSteps,
    ],
    // Ranks stand in the order of their numbers, not of the files.
    [
      "made-megatron-tpe-rank1.jsonl made-megatron-tpe-rank0.jsonl",
      "tokens per expert of Megatron-LM (2 ranks side by side): loads, 3 steps × 40 layers × 256 experts",
      "",
      threeSteps,
    ],
    ["made-reap-observations.pt", "observations of REAP: loads, 1 step × 40 layers × 256 experts", "", stepless],
    ["made-llama-imatrix.gguf", "imatrix of llama.cpp (GGUF): loads, 1 step × 40 layers × 256 experts", "", stepless],
    [
      "made-aisimulate-model_expert_popularity.parquet",
      "long Parquet table (layer_id, expert_id, activation_count): loads, 1 step × 40 layers × 256 experts",
      '"popularity_rank"',
      stepless,
    ],
    [
      "made-long-loads.csv",
      "long table (layer_id, expert_id, count): loads, 1 step × 40 layers × 256 experts",
      "count 0",
      stepless,
    ],
    ["made-colibri.coli_usage", "usage of experts of colibrì: loads, 1 step × 40 layers × 256 experts", "", stepless],
  ])("the same routes in every container: %s", async (names, description, note, pairs, options) => {
    const paths = names
      .split(" ")
      .map(file)
      .flatMap((path) => (statSync(path).isDirectory() ? readdirSync(path).map((each) => join(path, each)) : [path]));
    const recording = await open(paths, options);
    expect(recording.description).toBe(description);
    if (note !== "") expect(recording.notes.join(" ")).toContain(note);
    const counted = await count(recording, 256);
    expect(counted.map(({ layer }) => layer)).toEqual(Array.from({ length: 40 }, (_, i) => i + 3));
    expect(new Set(counted.map(totalOf))).toEqual(new Set([shortPairs]));
    for (const each of counted) expect(each.pairs).toEqual(pairs);
    expectFigures(counted, shortFigures);
    expect(sum(idleOf(counted))).toBe(shortIdle);
  });

  it("routed experts as nested lists, without the tokens of a prefix cache", async () => {
    const counted = await count(await open(file("made-vllm-v021-routed-experts.json")), 256);
    expect(new Set(counted.map(totalOf))).toEqual(new Set([96]));
  });

  it("divides the counts of ranks that count the same tokens, and only if they do", async () => {
    const ranks = ["made-sglang-per-pass_0.pt", "made-sglang-per-pass_0.pt"].map(file);
    const once = await count(await open(ranks[0]), 256);
    const halved = await count(await open(ranks, { divide: 2 }), 256);
    expect(halved.map(totalOf)).toEqual(once.map(totalOf));
    await expectInputError(() => open(ranks[0], { divide: 2 }), "per-pass_0", "not a multiple of 2");
  });

  it("leaves out the first steps when told to", async () => {
    const counted = await count(await open(file("made-sglang-stat.pt"), { skip: 2 }), 256);
    expect(new Set(counted.map(totalOf))).toEqual(new Set([78]));
    await expectInputError(() => open(file("made-sglang-stat.pt"), { skip: 8 }), "stat.pt", "empty stream");
  });

  it("logits of a model, in bfloat16, a tensor per layer", async () => {
    const recording = await open(file("made-hf-router-logits.pt"));
    expect(recording).toMatchObject({ holds: "logits", layers: [0, 1], experts: 256, notes: [] });
    expect(recording.description).toBe("PyTorch file: logits, 2 layers × 37 tokens × 256 experts");
    const reader = recording.layer(1);
    const piece = await reader.next();
    expect(piece).toMatchObject({ step: 0, rows: 37, endsStep: true });
    expect(await reader.next()).toBeNull();
    expect((await count(recording, 256, 6)).map(totalOf)).toEqual([222, 222]);
  });

  it("balancedness from the log lines of engines", async () => {
    const recording = await open(file("made-vllm-eplb.log"));
    expect(recording).toMatchObject({ holds: "balancedness", experts: null });
    const reader = recording.layer(0);
    const values: number[] = [];
    for (let piece = await reader.next(); piece !== null; piece = await reader.next()) values.push(piece.values[0]);
    expect(values).toEqual([0.4531, 0.64, 0.41]);
    await recording.close();
  });

  it.each([
    ["made-hostile-global.pt", "refused: it names os.getpid", "Nothing was executed"],
    ["vllm-ascend-expert-map.json", "a placement of experts", "no loads"],
    ["made-trtllm-moe-load-balancer.yaml", "a placement of experts", "no loads"],
  ])("refuses %s in a sentence that says what it is", async (name, ...parts) => {
    await expectInputError(() => open(file(name)), name, ...parts);
  });

  const small = join(formats, "made-small");
  const expected = hasFiles ? JSON.parse(readFileSync(join(small, "expected.json"), "utf8")) : {};
  it.each<[string, RecordingOptions?, number?]>([
    ["expert_distribution_recorder_1.pt"],
    ["loads-steps-layers-experts.npy"],
    ["logical_count.json"],
    ["long.csv"],
    ["routed.jsonl"],
    ["router_trace_rank0.jsonl router_trace_rank1.jsonl"],
    ["logits_rank0.bin logits_rank1.bin router_trace_rank0.jsonl router_trace_rank1.jsonl"],
    ["logits_rank0.bin logits_rank1.bin router_trace_rank0.jsonl router_trace_rank1.jsonl", { as: "logits" }, 4],
    ["logits.npz", {}, 4],
    ["router_logits.pt", {}, 4],
  ])("small routes give one answer: %s %j", async (names, options, topK) => {
    const recording = await open(
      names.split(" ").map((name) => join(small, name)),
      options,
    );
    const counted = await count(recording, 32, topK);
    expect(counted.map(totalOf)).toEqual(Array(4).fill(expected.pairs_per_layer));
    for (const [i, { load }] of counted.entries()) expect(maxVio(load)).toBeCloseTo(expected.max_vio[i], 12);
    expect(idleOf(counted)).toEqual(expected.idle);
    // Logits by position do not say which layers of the model they are.
    if (!names.endsWith("router_logits.pt")) expect(counted.map(({ layer }) => layer)).toEqual(expected.layers);
  });

  it("keeps the logits of a router trace beside the choices", async () => {
    const names = ["logits_rank0.bin", "logits_rank1.bin", "router_trace_rank0.jsonl", "router_trace_rank1.jsonl"];
    const recording = await open(names.map((name) => join(small, name)));
    expect(recording).toMatchObject({ holds: "selections", experts: 32 });
    expect(recording.beside).toMatchObject({ holds: "logits", experts: 32, layers: expected.layers });
    await recording.close();
  });

  it("asks for one of several recordings, and names files that are none", async () => {
    const all = readdirSync(small).map((name) => join(small, name));
    await expectInputError(() => open(all), "long.csv", "several recordings", "Megatron-LM router trace");
    const names = ["made-trtllm-expert-statistic/rank0.safetensors", "made-trtllm-moe-load-balancer.yaml"];
    const recording = await open(names.map(file));
    expect(recording.notes.join(" ")).toMatch(/Left out, as no parts of it: .*load-balancer.yaml/);
    await recording.close();
  });
});

describe.skipIf(!existsSync(cases))("small inputs from the field", () => {
  const input = (name: string) => join(cases, name);

  it("takes a header of 0, 1, … for a header", async () => {
    const loads = await open(input("05/loads.csv"));
    expect(loads).toMatchObject({ holds: "loads", experts: 8 });
    expect(loads.notes.join()).toContain("taken for a header");
    expect((await count(loads, 8)).map(({ pairs, load }) => [pairs, maxVio(load)])).toEqual([[[32, 32, 32], 0]]);
    const selections = await count(await open(input("05/selections.csv")), 8);
    expect(selections.map(({ pairs, load }) => [pairs, maxVio(load)])).toEqual([[[16], 0]]);
    const logits = await open(input("05/logits.csv"));
    expect(logits.description).toBe("table: logits, 4 tokens × 8 experts");
    await logits.close();
  });

  it.each(["07/routing.parquet", "07/routing.safetensors"])("reads the ids beside their weights: %s", async (name) => {
    const recording = await open(input(name));
    expect(recording.notes.join()).toContain("topk_weights");
    expect((await count(recording, 8)).map(({ load }) => maxVio(load))).toEqual([0]);
    const options = name.endsWith("parquet") ? { column: "topk_ids" } : { tensor: "topk_ids" };
    expect((await count(await open(input(name), options), 8)).map(totalOf)).toEqual([16]);
    const wrong = name.endsWith("parquet") ? { column: "ids" } : { tensor: "ids" };
    await expectInputError(() => open(input(name), wrong), name, '"ids"', '"topk_ids"', '"topk_weights"');
  });

  it("warns of probabilities, and makes logits of them", async () => {
    const name = input("07/routing.safetensors");
    const plain = await open(name, { tensor: "topk_weights" });
    expect(plain.notes.join()).toMatch(/looks like probabilities/);
    await plain.close();
    const converted = await open(name, { tensor: "topk_weights", input: "probabilities" });
    expect(converted.notes).toEqual([]);
    const piece = await converted.layer(0).next();
    expect(piece!.values[0]).toBeCloseTo(Math.log(0.5), 6);
    await converted.close();
  });

  it("counts rows of −1 as padding", async () => {
    for (const name of ["08/padded.npy", "08/unpadded.npy"]) {
      const recording = await open(input(name), { experts: 8 });
      const step = await choicesByLayer(recording, { experts: 8 })(0).next();
      expect(step).toMatchObject({ tokens: 8, load: Int32Array.from(Array(8).fill(2)) });
      await recording.close();
    }
  });

  it.each<[string, RecordingOptions]>([
    ["10/layers_by_experts.npy", { axes: ["layers", "experts"] }],
    ["10/steps_layers_experts.npy", {}],
  ])("keeps layers apart, each collapsed on an expert of its own: %s", async (name, options) => {
    const counted = await count(await open(input(name), options), 8);
    expect(counted.map(({ load }) => maxVio(load))).toEqual(Array(8).fill(7));
    expect(idleOf(counted)).toEqual(Array(8).fill(7));
  });

  it("reads logits with steps and layers, in either order", async () => {
    const name = input("10/layers_steps.safetensors");
    const usual = await open(name);
    expect(usual.description).toBe("safetensors file: logits, 2 steps × 3 layers × 4 tokens × 8 experts");
    await usual.close();
    const turned = await open(name, { axes: ["layers", "steps", "tokens", "experts"] });
    expect(turned.description).toBe("safetensors file: logits, 3 steps × 2 layers × 4 tokens × 8 experts");
    await turned.close();
    await expectInputError(() => open(name, { axes: ["layers", "tokens"] }), name, "layers,tokens", "do not fit");
  });

  it("reads lists of lists as the layers of each token", async () => {
    const recording = await open(input("18/routed.parquet"));
    expect(recording.description).toBe("Parquet table: selections, 2 layers × 2 tokens × top-2");
    const counted = await count(recording, 8);
    expect(counted.map(({ load }) => Array.from(load))).toEqual([
      [1, 1, 0, 0, 1, 1, 0, 0],
      [0, 0, 1, 1, 0, 0, 1, 1],
    ]);
  });
});

describe("archives and pickles", () => {
  const fixture = (name: string) => projectPath("test/fixtures/recorded", name);
  const loads = [
    [9, 6, 1, 0],
    [3, 4, 5, 4],
  ];

  it.each<[string, string, readonly number[]]>([
    ["stat.pt", "SGLang expert distribution (stat): loads, 2 steps × 3 layers × 4 experts", [1, 2]],
    ["layers.npz", "NumPy archive: loads, 2 steps × 2 layers × 4 experts", [1, 2]],
    ["counters.pkl", "counters of experts by layer: loads, 1 step × 2 layers × 4 experts", [0, 1]],
  ])("give one answer: %s", async (name, description, layers) => {
    const recording = await open(fixture(name));
    expect(recording.description).toBe(description);
    const counted = await count(recording, 4);
    expect(counted.map(({ layer }) => layer)).toEqual(layers);
    expect(counted.map(({ load }) => Array.from(load))).toEqual(loads);
  });

  it("are refused if a byte of the data has changed", async () => {
    const bytes = readFileSync(fixture("stat.pt"));
    // The loads of expert 0: 5 in the first step.
    const at = bytes.indexOf(Buffer.from(Int32Array.of(5, 2, 1, 0).buffer));
    expect(at).toBeGreaterThan(0);
    bytes[at] = 6;
    const changed = bytesSource(new Uint8Array(bytes), "stat.pt");
    await expectInputError(() => openRecording(changed), "stat.pt", "damaged", "checksum");
  });

  it("are refused if they name what no routing data needs, whatever the name would do", async () => {
    // cos\nsystem\n(S'true'\ntR. — `os.system('true')` in protocol 0, behind a header of protocol 2.
    const hostile = Buffer.concat([Buffer.from([0x80, 2]), Buffer.from("cos\nsystem\n(S'true'\ntR.")]);
    const file = bytesSource(new Uint8Array(hostile), "hostile.pkl");
    await expectInputError(() => openRecording(file), "hostile.pkl", "it names os.system", "Nothing was executed");
  });
});

it("has the checksum of archives without Node too", () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * i) % 251);
  for (const cut of [0, 1, 500, 1000]) {
    const computed = plainCrc32(bytes.subarray(cut), plainCrc32(bytes.subarray(0, cut), 0));
    expect(computed).toBe(crc32(bytes));
  }
});

it.each<[string, string, RecordingOptions?]>([
  ["[[0, 1], [2, 3], [-1, -1]]", "JSON: selections, 3 tokens × top-2"],
  ["[[0.5, 1], [2, 3]]", "JSON: logits, 2 tokens × 2 experts"],
  ['{"3": {"0": 5, "2": 1}, "5": {"1": 2}}', "counters of experts by layer: loads, 1 step × 2 layers × 3 experts"],
  ['{"3": {"0": 5}}', "counters of experts by layer: loads, 1 step × 1 layer × 8 experts", { experts: 8 }],
  ['{"logical_count": [[[1, 0], [2, 2]]]}', "SGLang expert distribution (stat): loads, 1 step × 2 layers × 2 experts"],
  ['{"router_logits": [[0.5, 1], [2, 3]]}', "JSON: logits, 2 tokens × 2 experts"],
  ['{\n  "layer_1": [[4, 4]],\n  "layer_4": [[4, 4]]\n}', "JSON: loads, 1 step × 2 layers × 2 experts"],
])("reads JSON by what is in it: %s", async (content, description, options) => {
  const recording = await openRecording(text(content), options);
  expect(recording.description).toBe(description);
  await recording.close();
});

/** A text file, as it is dropped onto a page. */
const text = (content: string, name = "made.txt") => bytesSource(new Uint8Array(Buffer.from(content)), name);

describe("tables by the names of their columns", () => {
  it.each<[string, string, string, RecordingOptions?]>([
    ["an index of a data frame", ",0,1,2\n0,4,4,4\n1,4,4,4\n", "table: loads, 2 steps × 3 experts"],
    ["an index with its usual name", "Unnamed: 0,a,b\n0,0.5,1\n1,0.25,2\n", "table: logits, 2 tokens × 2 experts"],
    ["positions", "pos,a,b\n0,0.5,1\n1,0.25,2\n", "table: logits, 2 tokens × 2 experts"],
    ["steps", "step,0,1,2\n10,4,4,4\n20,4,4,4\n", "table: loads, 2 steps × 3 experts"],
    ["layers", "layer,0,1,2\n3,4,4,4\n5,4,4,4\n", "table: loads, 1 step × 2 layers × 3 experts"],
    [
      "layers without a name",
      "4,4,4\n4,4,4\n",
      "table: loads, 1 step × 2 layers × 3 experts",
      { as: "loads", axes: ["layers", "experts"] },
    ],
    ["tabs", "a\tb\n0.5\t1\n0.25\t2\n", "table: logits, 2 tokens × 2 experts"],
    ["semicolons", "a;b\n0.5;1\n0.25;2\n", "table: logits, 2 tokens × 2 experts"],
    ["spaces", "0.5 1\n0.25 2\n", "table: logits, 2 tokens × 2 experts"],
    [
      "spaces between names",
      "layer expert count\n0 0 5\n0 1 7\n",
      "long table (layer, expert, count): loads, 1 step × 1 layer × 2 experts",
    ],
    [
      "a row per token and expert",
      "step,token,layer,expert\n0,0,1,5\n0,0,1,2\n0,1,1,3\n1,0,1,0\n",
      "long table (step, layer, token, expert): selections, 2 steps × 1 layer × 2 tokens × top-2",
    ],
    [
      "shuffled rows",
      "expert,step,layer_id,count\n2,7,1,3\n0,5,1,2.0\n2,7,1,1\n",
      "long table (step, layer_id, expert, count): loads, 2 steps × 1 layer × 3 experts",
    ],
  ])("%s", async (_, content, description, options) => {
    const recording = await openRecording(text(content), options);
    expect(recording.description).toBe(description);
    await recording.close();
  });

  it("adds up rows of one expert, and takes those that are missing for 0", async () => {
    const recording = await openRecording(text("expert,step,layer_id,count\n2,7,1,3\n0,5,1,2.0\n2,7,1,1\n"));
    const next = choicesByLayer(recording, { experts: 3 })(1);
    expect(await next.next()).toMatchObject({ step: 0, load: Int32Array.of(2, 0, 0) });
    expect(await next.next()).toMatchObject({ step: 1, load: Int32Array.of(0, 0, 4) });
  });

  it("says how to separate numbers that several spaces separate", async () => {
    await expectInputError(() => openRecording(text("1  2 3\n4 5  6\n")), "row 2", "separate all cells by commas");
  });

  it("takes a text of two words for no separator", async () => {
    await expectInputError(() => openRecording(text("made by\n1,2\n")), "row 2 has 2 columns; expected 1");
  });

  it("neither reads nor shows texts beside the routes", async () => {
    const secret = "the patient's name is";
    const table = await openRecording(text(`prompt,pos,layer,e0,e1\n${secret},0,1,3,4\n`));
    expect(JSON.stringify(table)).not.toContain(secret);
    for (const content of [
      `a,b\n1,${secret}\n`,
      `{"prompt": "${secret}", "routed_experts": [[[0, 1}`,
      `[["${secret}"]]`,
    ]) {
      const error = await openRecording(text(content)).then(
        () => expect.fail("read"),
        (thrown: Error) => thrown,
      );
      expect(error.message).not.toContain("patient");
    }
  });
});

/** Small files of each kind that has a header or a structure of its own. */
function smallFiles(): [string, Buffer][] {
  const small = join(formats, "made-small");
  const names = ["expert_distribution_recorder_1.pt", "logical_count.json", "routed.jsonl", "long.csv"];
  const files = names.map((name): [string, Buffer] => [name, readFileSync(join(small, name))]);
  const others = [
    "made-r3-samples.npz",
    "mixtral-github-expert-counts.pkl",
    "made-vllm-routed-experts.jsonl",
    "made-hf-router-logits.pt",
  ];
  return [...files, ...others.map((name): [string, Buffer] => [name, readFileSync(join(formats, name))])];
}

describe.skipIf(!hasFiles)(`damaged recordings${unlessMissing}`, () => {
  /** Files of each kind; MOESIM_DAMAGED=5000 tries more than the quick tests can. */
  const damagedFiles = Number(process.env.MOESIM_DAMAGED ?? 220);

  /** Returns a number that nearly every other recording would not give. */
  async function readThrough(bytes: Buffer, name: string): Promise<number> {
    const recording = await openRecording(bytesSource(new Uint8Array(bytes), name));
    const experts = recording.experts ?? 256;
    const counted = await count(recording, experts, Math.min(4, experts));
    return sum(
      counted.flatMap(({ layer, load }) => Array.from(load, (each, expert) => each * (layer + 1) * (expert + 1))),
    );
  }

  function damage(valid: Buffer, random: () => number): Buffer {
    const below = (limit: number) => Math.floor(random() * limit);
    const bytes = Buffer.from(valid);
    // Half of the injuries are where structure is: at both ends.
    const place = () => {
      const reach = Math.min(bytes.length, 600);
      if (random() < 0.5) return random() < 0.5 ? below(reach) : bytes.length - 1 - below(reach);
      return below(bytes.length);
    };
    for (let injuries = 1 + below(3); injuries > 0; injuries--) {
      const at = place();
      const kind = below(5);
      if (kind === 0) bytes[at] ^= 1 << below(8);
      else if (kind === 1) bytes[at] = below(256);
      else if (kind === 2) bytes.fill([0, 0x7f, 0x80, 0xff][below(4)], at, Math.min(bytes.length, at + 1 + below(8)));
      else if (kind === 3) bytes.copy(bytes, place(), at, Math.min(bytes.length, at + 1 + below(16)));
      else return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + below(32))]);
    }
    return bytes;
  }

  it.each(hasFiles ? [...smallFiles(), ["imatrix.gguf", smallGguf()] as const] : [])(
    "are read or refused, soon and in one sentence: %s",
    async (name, valid) => {
      const right = await readThrough(valid, name);
      expect(right).toBeGreaterThan(0);
      // Archives have checksums.
      const isArchive = /\.(pt|npz)$/.test(name);
      const random = seedrandom(name);
      let refused = 0;
      for (let i = 0; i < damagedFiles; i++) {
        const damaged = damage(valid, random);
        const start = performance.now();
        let figure = right;
        const attempt = async () => {
          figure = await readThrough(damaged, name);
        };
        if (await throwsOnlyInputErrors(attempt)) refused += 1;
        if (isArchive) expect(figure, `file ${i}`).toBe(right);
        expect(performance.now() - start, `file ${i}`).toBeLessThan(3000);
      }
      expect(refused).toBeGreaterThan(damagedFiles / 10);
    },
    600_000,
  );
});

/** An imatrix of two layers with four experts. */
function smallGguf(): Buffer {
  const text = (value: string) => Buffer.concat([u64(value.length), Buffer.from(value)]);
  const u64 = (value: number) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
  const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
  const tensors = [1, 2].map((layer, i) =>
    Buffer.concat([text(`blk.${layer}.ffn_up_exps.weight.counts`), u32(2), u64(1), u64(4), u32(0), u64(32 * i)]),
  );
  const header = Buffer.concat([
    Buffer.from("GGUF"),
    u32(3),
    u64(tensors.length),
    u64(1),
    text("general.type"),
    u32(8),
    text("imatrix"),
    ...tensors,
  ]);
  const padded = Buffer.concat([header, Buffer.alloc((32 - (header.length % 32)) % 32)]);
  const counts = (values: number[]) => Buffer.concat([Buffer.from(Float32Array.from(values).buffer), Buffer.alloc(16)]);
  return Buffer.concat([padded, counts([3, 1, 0, 4]), counts([2, 2, 2, 2])]);
}

describe("whole numbers", () => {
  const { write } = recordedFolder();
  const holdsOf = async (name: string, bytes: string | Uint8Array, options: RecordingOptions = {}) => {
    const recording = await openRecording(write(name, bytes), options);
    await recording.close();
    return `${recording.holds} ${recording.experts}`;
  };
  const layers = [2857, 1200, 900, 643, 400, 1000, 700, 300];

  it.each([
    ["above the experts of any model", "3946,4023,4510\n3563,3896,4143\n", "loads 3"],
    ["of equal sums, too large for ids", "10,20,30,40\n40,30,19,11\n", "loads 4"],
    ["under numbers of experts, beside an index", ",0,1,2,3\n0,10,20,30,40\n1,11,21,31,41\n", "loads 4"],
    ["under numbers of experts, beside steps", "step,0,1,2,3\n0,1,2,3,4\n1,4,3,2,1\n", "loads 4"],
    ["that are ids", "0,1\n1,2\n2,3\n3,0\n", "selections null"],
    ["that are ids, under numbers of choices", "0,1\n0,1\n1,2\n2,3\n3,0\n", "selections null"],
    ["that are always 0", "0,0,0,0\n0,0,0,0\n1,1,1,1\n", "loads 4"],
  ])("%s", async (_, text, expected) => {
    expect(await holdsOf("whole.csv", text)).toBe(expected);
  });

  it("or shares of a layer and expert are loads, whatever their column is called", async () => {
    for (const name of ["share", "fraction", "routed"]) {
      const recording = await openRecording(write("shares.csv", `layer,expert,${name}\n0,0,0.25\n0,1,0.75\n`));
      expect(recording).toMatchObject({ holds: "loads", experts: 2, hasShares: true });
      await recording.close();
    }
  });

  it("are what the axes say", async () => {
    const bytes = npyBytes(npyHeader("<i4", [2, 4]), new Uint8Array(Int32Array.from([1, 2, 3, 4, 4, 3, 2, 0]).buffer));
    expect(await holdsOf("axes.npy", bytes, { axes: ["layers", "experts"] })).toBe("loads 4");
    expect(await holdsOf("axes.npy", bytes, { axes: ["tokens", "topK"] })).toBe("selections null");
    const many = npyBytes(npyHeader("<i4", [1, 8]), new Uint8Array(Int32Array.from(layers).buffer));
    expect(await holdsOf("many.npy", many)).toBe("loads 8");
  });

  it("are refused if they can be either", async () => {
    const path = write("either.csv", "10,20,30,40\n11,21,31,41\n");
    await expectInputError(() => openRecording(path), path, "--as loads or --as selections");
  });

  it("of a model's layers are its loads", async () => {
    const traces = projectPath("../shared/traces/mixtral-8x7b-instruct-loads.npy");
    if (!existsSync(traces)) return;
    const recording = await openRecording(traces);
    expect(recording.description).toBe("NumPy array: loads, 32 steps × 8 experts");
    const [{ load, pairs }] = await count(recording, 8);
    expect(pairs.every((each) => each === 14_398)).toBe(true);
    expect(maxVio(load)).toBeCloseTo(0.08479, 5);
  });

  it("are choices if the model has more experts than columns, which ids can exceed", async () => {
    expect(await holdsOf("ids.csv", "0,9\n9,1\n", { experts: 4 })).toBe("selections 4");
  });
});
