import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { createRandom } from "../../src/core/random.ts";
import { npyBytes, readNpy } from "../support/npy.ts";
import { readCsv, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const [ranks, layers, experts, topK] = [2, [3, 5], 6, 2];
/** Tokens of each step on one rank; the last step is a short one. */
const tokensOf = [8, 8, 5];
const random = createRandom("router trace");

/** One record of a router trace. */
interface Traced {
  readonly step: number;
  readonly layer: number;
  readonly rank: number;
  /** `[tokens][experts]`, exact in bfloat16. */
  readonly logits: number[][];
}

const records: Traced[] = [];
for (let rank = 0; rank < ranks; rank++) {
  for (const [step, tokens] of tokensOf.entries()) {
    for (const layer of layers) {
      // Distinct within a row, so that there are no ties.
      const logits = Array.from({ length: tokens }, () =>
        Array.from({ length: experts }, (_, place) => ({ place, at: random.uniform() }))
          .sort((a, b) => a.at - b.at)
          .map(({ place }) => place / 4 + layer / 8),
      );
      records.push({ step, layer, rank, logits });
    }
  }
}

const chosenBy = (row: readonly number[]) =>
  Array.from(row.keys())
    .sort((a, b) => row[b] - row[a])
    .slice(0, topK);

/** Load of a layer in a step, over all ranks. */
function loadOf(layer: number, step: number): number[] {
  const load = new Array<number>(experts).fill(0);
  for (const record of records) {
    if (record.layer !== layer || record.step !== step) continue;
    for (const row of record.logits) for (const expert of chosenBy(row)) load[expert] += 1;
  }
  return load;
}

/** Writes what Megatron-LM leaves of its routers, beside which stand other files of it. */
function writeTrace(folder: string): void {
  mkdirSync(folder);
  for (let rank = 0; rank < ranks; rank++) {
    const lines: string[] = [];
    const bytes: number[] = [];
    for (const { step, layer, logits } of records.filter((record) => record.rank === rank)) {
      const values = Float32Array.from(logits.flat());
      const halves = new Uint16Array(values.buffer).filter((_, i) => i % 2 === 1);
      const shape = [logits.length, experts];
      const place = { logit_offset: bytes.length, logit_bytes: halves.byteLength, logit_shape: shape };
      bytes.push(...new Uint8Array(halves.buffer));
      const record = { step: 100 + step, stage: "pre_dispatch", block: "decoder", layer, rank, ...place };
      lines.push(JSON.stringify({ ...record, top_indices: logits.map(chosenBy) }));
    }
    writeFileSync(path.join(folder, `router_trace_rank${rank}.jsonl`), `${lines.join("\n")}\n`);
    writeFileSync(path.join(folder, `logits_rank${rank}.bin`), Uint8Array.from(bytes));
    writeFileSync(path.join(folder, `hidden_states_rank${rank}.bin`), Uint8Array.of(1, 0, 2, 0));
  }
  writeFileSync(path.join(folder, "router_weights.npy"), npyBytes([2, experts], new Float32Array(2 * experts)));
}

let folder: string;
beforeAll(() => {
  folder = temporaryFolder();
  writeTrace(path.join(folder, "trace"));
  const scenario = `name: traced
topK: 2
stream: { kind: trace, path: trace }
loadSamples: 8
routers: [{ kind: topk }]
`;
  writeFileSync(path.join(folder, "traced.yaml"), scenario);
});

const run = (...words: string[]) => runInProcess(words, folder);

describe("a folder of rank files", () => {
  it("is measured as the recorded choices, and as its logits", async () => {
    for (const [out, ...options] of [["choices"], ["logits", "--as", "logits", "--top-k", "2"]]) {
      const { code, stdout, stderr } = await run("measure", "trace", "--out", out, "--json", ...options);
      expect([code, stderr]).toEqual([0, ""]);
      expect(JSON.parse(stdout).notes.join(" ")).toMatch(/Left out.*hidden_states_rank0.*router_weights/);
      const rows = readCsv(path.join(folder, out, "loads.csv"));
      for (const layer of layers) {
        for (const step of tokensOf.keys()) {
          const own = rows.filter((row) => row.layer === `${layer}` && row.step === `${step}`);
          expect(own.map(({ load }) => Number(load))).toEqual(loadOf(layer, step));
        }
      }
    }
  });

  it.each(["trace", "trace/*rank*", "./trace/"])("is routed by %s: all ranks of a step together", async (logits) => {
    const { code, stderr } = await run(
      "route",
      "--router",
      "topk",
      "--logits",
      logits,
      "--top-k",
      "2",
      "--out",
      "a.csv",
    );
    expect([code, stderr]).toEqual([0, ""]);
    const rows = readCsv(path.join(folder, "a.csv"));
    for (const layer of layers) {
      for (const step of tokensOf.keys()) {
        const load = new Array<number>(experts).fill(0);
        for (const row of rows) if (row.layer === `${layer}` && row.step === `${step}`) load[Number(row.expert)] += 1;
        expect(load).toEqual(loadOf(layer, step));
      }
    }
  });

  it("has an optimum in each step of each layer", async () => {
    const { code, stdout } = await run("optimum", "--logits", "trace", "--top-k", "2", "--scores", "logits");
    expect(code).toBe(0);
    const found = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(found.map(({ layer }) => layer)).toEqual(layers.flatMap((layer) => tokensOf.map(() => layer)));
    expect(found.every(({ exact }) => exact)).toBe(true);
  });

  it("is a stream, whose files run.json describes together", async () => {
    const { code, stderr } = await run("run", "traced.yaml", "--out", "run", "--quiet");
    expect([code, stderr]).toEqual([0, ""]);
    const { input } = JSON.parse(readFileSync(path.join(folder, "run/run.json"), "utf8"));
    // The other files of the folder count, too: the folder is what the stream names.
    expect(input).toMatchObject({ path: "trace", files: 7 });
    const rows = readCsv(path.join(folder, "run/loads.csv"));
    for (const layer of layers) {
      const own = rows.filter((row) => row.layer === `${layer}` && row.step === "2");
      expect(own.map(({ load }) => Number(load))).toEqual(loadOf(layer, 2));
    }
  });

  it("can be skipped into, and exported where all steps are alike", async () => {
    const skipped = await run("run", "traced.yaml", "--set", "stream.skip=1", "--out", "skipped", "--quiet");
    expect([skipped.code, skipped.stderr]).toEqual([0, ""]);
    const rows = readCsv(path.join(folder, "skipped/loads.csv")).filter(({ layer }) => layer === "3");
    expect(rows.map(({ load }) => Number(load))).toEqual([...loadOf(3, 1), ...loadOf(3, 2)]);
    const exported = await run("export", "traced.yaml", "--set", "steps=2", "--out", "first.npy", "--quiet");
    expect([exported.code, exported.stderr]).toEqual([0, ""]);
    expect(readNpy(path.join(folder, "first.npy")).shape).toEqual([2, 2, 16, experts]);
    const all = await run("run", "traced.yaml", "--set", "stream.skip=3", "--out", "none");
    expect([all.code, all.stderr]).toEqual([2, expect.stringMatching(/skip: 3 leaves none of the 3 steps/)]);
  });

  it("without the logits of a rank, or as choices, is not routed", async () => {
    const missing = path.join(folder, "missing");
    writeTrace(missing);
    const only = ["router_trace_rank0.jsonl", "router_trace_rank1.jsonl", "logits_rank0.bin"].map((name) =>
      path.join("missing", name),
    );
    const { code, stderr } = await run("route", "--router", "topk", "--logits", only[0], "--out", "b.csv");
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/router_trace_rank0.*logits_rank\*\.bin.*name the folder/),
    ]);
    const measured = await run("measure", ...only, "--out", "c", "--json");
    expect(measured.code).toBe(0);
    expect(JSON.parse(measured.stdout).notes.join(" ")).toMatch(/not among the files for .*router_trace_rank1/);
  });
});

describe("several files, one after another in time", () => {
  it("SGLang's statistics", async () => {
    const counts = [
      [
        [0, 0, 0],
        [4, 1, 1],
      ],
      [
        [0, 0, 0],
        [2, 2, 2],
      ],
    ];
    for (const [name, steps] of [
      ["one.json", counts],
      ["two.json", counts.slice(0, 1)],
    ] as const) {
      writeFileSync(path.join(folder, name), JSON.stringify({ logical_count: steps }));
    }
    const { code, stdout } = await run("measure", "two.json", "one.json", "--out", "sglang", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      recording: "2 files: SGLang expert distribution (stat): loads, 3 steps × 2 layers × 3 experts",
      absent_layers: [0],
    });
    const loads = readCsv(path.join(folder, "sglang/loads.csv")).map(({ load }) => Number(load));
    expect(loads).toEqual([4, 1, 1, 4, 1, 1, 2, 2, 2]);
    writeFileSync(path.join(folder, "other.json"), JSON.stringify({ logical_count: [[[1, 2]]] }));
    const unlike = await run("measure", "one.json", "other.json", "--out", "unlike");
    expect([unlike.code, unlike.stderr]).toEqual([2, expect.stringMatching(/other.json: it differs from one.json/)]);
  });

  it("arrays whose names differ in a number, and no others", async () => {
    mkdirSync(path.join(folder, "batches"));
    const batches = [0, 1, 10].map((number) => Float32Array.from({ length: 4 * 3 }, (_, i) => (i * 7 + number) % 5));
    for (const [index, number] of [0, 1, 10].entries()) {
      writeFileSync(path.join(folder, `batches/batch_${number}.npy`), npyBytes([4, 3], batches[index]));
    }
    const together = new Float32Array(36);
    for (const [index, values] of batches.entries()) together.set(values, 12 * index);
    writeFileSync(path.join(folder, "together.npy"), npyBytes([12, 3], together));
    for (const logits of ["batches", "together.npy"]) {
      const { code, stderr } = await run("route", "--router", "topk", "--logits", logits, "--out", `${logits}.csv`);
      expect([code, stderr]).toEqual([0, ""]);
    }
    const read = (name: string) => readFileSync(path.join(folder, name), "utf8");
    expect(read("batches.csv")).toBe(read("together.npy.csv"));
    writeFileSync(path.join(folder, "batches/other.npy"), npyBytes([4, 3], batches[0]));
    const { code, stderr } = await run("route", "--router", "topk", "--logits", "batches", "--out", "d.csv");
    expect([code, stderr]).toEqual([2, expect.stringMatching(/several recordings, not parts of one/)]);
  });
});

describe("measure", () => {
  it("leaves out notes and settings beside arrays, and asks if there are two kinds of arrays", async () => {
    const mixed = path.join(folder, "mixed");
    mkdirSync(mixed);
    writeFileSync(path.join(mixed, "gate.npy"), npyBytes([2, 3], [3, 2, 1, 1, 2, 3]));
    writeFileSync(path.join(mixed, "notes.txt"), "recorded on a Monday\n");
    writeFileSync(path.join(mixed, "config.json"), '{"num_experts": 3}');
    const { code, stdout } = await run("measure", "mixed", "--top-k", "1", "--out", "of-arrays", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout).notes).toEqual([
      expect.stringMatching(/Left out.*(config.json.*notes.txt|notes.txt.*config.json)/),
    ]);
    const header = JSON.stringify({ gate: { dtype: "F32", shape: [1, 3], data_offsets: [0, 12] } });
    const bytes = Buffer.concat([
      Buffer.from(BigUint64Array.of(BigInt(header.length)).buffer),
      Buffer.from(header),
      Buffer.alloc(12),
    ]);
    writeFileSync(path.join(mixed, "gate.safetensors"), bytes);
    const two = await run("measure", "mixed", "--top-k", "1", "--out", "of-two");
    expect([two.code, two.stderr]).toEqual([2, expect.stringMatching(/several recordings.*\.npy.*\.safetensors/)]);
  });

  it("skips steps of tokens that it cuts itself, with a mask of all tokens", async () => {
    const chosen = Array.from({ length: 6 }, (_, token) => `${(token + 1) % 3},${token % 3}\n`).join("");
    writeFileSync(path.join(folder, "chosen.csv"), chosen);
    writeFileSync(path.join(folder, "mask.csv"), "0\n1\n0\n1\n0\n0\n");
    const words = ["measure", "chosen.csv", "--as", "selections", "--experts", "3", "--json", "--skip"];
    const { code, stderr } = await run(
      ...words,
      "1",
      "--batch-tokens",
      "2",
      "--padding-mask",
      "mask.csv",
      "--out",
      "cut",
    );
    expect([code, stderr]).toEqual([0, ""]);
    // Tokens 2, 4 and 5 are left.
    expect(readCsv(path.join(folder, "cut/loads.csv")).map(({ load }) => Number(load))).toEqual([1, 0, 1, 1, 1, 2]);
    const all = await run(...words, "3", "--batch-tokens", "2", "--out", "all");
    expect([all.code, all.stderr]).toEqual([2, expect.stringMatching(/all its steps are skipped/)]);
    const uncut = await run(...words, "1", "--out", "uncut");
    expect([uncut.code, uncut.stderr]).toEqual([2, expect.stringMatching(/no steps to skip.*--batch-tokens/)]);
  });

  it.skipIf(!existsSync("/proc/self/fd"))("leaves no padding mask open", async () => {
    const mask = path.join(folder, "open-mask.csv");
    writeFileSync(path.join(folder, "two.csv"), "1,0\n1,2\n");
    writeFileSync(mask, "0\n1\n");
    await run(
      "measure",
      "two.csv",
      "--as",
      "selections",
      "--padding-mask",
      "open-mask.csv",
      "--out",
      "masked",
      "--json",
    );
    const open = readdirSync("/proc/self/fd").map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return "";
      }
    });
    expect(open).not.toContain(mask);
  });
});
