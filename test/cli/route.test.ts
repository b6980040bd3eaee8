import { lstatSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { createRandom } from "../../src/core/random.ts";
import { npyBytes, readNpy } from "../support/npy.ts";
import { toMatrix } from "../support/plain.ts";
import { listFiles, moesim, readCsv, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const [steps, tokens, experts, topK] = [3, 20, 6, 2];
const random = createRandom("route");
const logits = Float32Array.from({ length: steps * tokens * experts }, (_, i) => random.normal() + (i % experts) / 3);

let folder: string;
beforeAll(() => {
  folder = temporaryFolder();
  writeFileSync(path.join(folder, "steps.npy"), npyBytes([steps, tokens, experts], logits));
  writeFileSync(path.join(folder, "batch.npy"), npyBytes([tokens, experts], logits.subarray(0, tokens * experts)));
});

function route(router: string, words: readonly string[]) {
  return runInProcess(["route", "--router", router, "--top-k", String(topK), ...words], folder);
}

function assignmentsOf(file: string) {
  return readCsv(path.join(folder, file)).map(({ step, token, slot, expert, gate }) => ({
    step: Number(step),
    token: Number(token),
    slot: Number(slot),
    expert: Number(expert),
    gate: Number(gate),
  }));
}

/** Softmax affinities of one row, in float64. */
function softmax(row: ArrayLike<number>): number[] {
  const largest = Math.max(...Array.from(row));
  const exponentials = Array.from(row, (z) => Math.exp(z - largest));
  const sum = exponentials.reduce((total, x) => total + x);
  return exponentials.map((x) => x / sum);
}

/** The K largest, lowest index first among equals. */
function largest(row: readonly number[], count: number): number[] {
  return row
    .map((_, e) => e)
    .sort((a, b) => row[b] - row[a] || a - b)
    .slice(0, count);
}

/** Sinkhorn's algorithm as the textbook has it, in float64 on P = exp(Z/ε). */
function sinkhornPlan(batch: Float32Array, epsilon: number, sweeps: number): number[][] {
  const kernel = Array.from({ length: tokens }, (_, t) =>
    Array.from(batch.subarray(t * experts, (t + 1) * experts), (z) => Math.exp(z / epsilon)),
  );
  let v = new Array<number>(experts).fill(1);
  const rowsExact = () =>
    kernel.map((row) => {
      const scaled = row.map((k, e) => k * v[e]);
      const sum = scaled.reduce((total, x) => total + x);
      return scaled.map((x) => x / sum);
    });
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const plan = rowsExact();
    v = v.map((scale, e) => (scale * (tokens / experts)) / plan.reduce((sum, row) => sum + row[e], 0));
  }
  return rowsExact();
}

describe("moesim route", () => {
  it("writes each token's experts and gates for a single batch", async () => {
    const { code, stderr } = await route("topk", ["--logits", "batch.npy", "--out", "topk.csv"]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const rows = assignmentsOf("topk.csv");
    expect(rows).toHaveLength(tokens * topK);
    for (let t = 0; t < tokens; t++) {
      const scores = softmax(logits.subarray(t * experts, (t + 1) * experts));
      const chosen = largest(scores, topK);
      const sum = chosen.reduce((total, e) => total + scores[e], 0);
      for (const [slot, expert] of chosen.entries()) {
        const row = rows[t * topK + slot];
        expect(row).toMatchObject({ step: 0, token: t, slot, expert });
        // Gates are float32.
        expect(row.gate).toBeCloseTo(scores[expert] / sum, 6);
      }
    }
  });

  it("keeps the router's state from step to step of a file with three dimensions", async () => {
    const words = ["--logits", "steps.npy", "--param", "updateRate=0.05", "--out", "alf.csv"];
    expect((await route("alf-lb", words)).code).toBe(0);
    const rows = assignmentsOf("alf.csv");
    const bias = new Array<number>(experts).fill(0);
    for (let step = 0; step < steps; step++) {
      const load = new Array<number>(experts).fill(0);
      for (let t = 0; t < tokens; t++) {
        const start = (step * tokens + t) * experts;
        const keys = Array.from(logits.subarray(start, start + experts), (z, e) => 1 / (1 + Math.exp(-z)) + bias[e]);
        const chosen = largest(keys, topK);
        for (const e of chosen) load[e] += 1;
        const written = rows.filter((row) => row.step === step && row.token === t).map(({ expert }) => expert);
        expect(written).toEqual(chosen);
      }
      for (let e = 0; e < experts; e++) bias[e] += 0.05 * Math.sign((tokens * topK) / experts - load[e]);
    }
    expect(bias.some((b) => b !== 0)).toBe(true);
  });

  it("writes the transport plan of every step, which is Sinkhorn's", async () => {
    const words = ["--logits", "steps.npy", "--param", "epsilon=0.5", "--out", "s.csv", "--plan", "s.npy"];
    expect((await route("sinkhorn", [...words, "--param", "tolerance=1e-9", "maxIterations=2000"])).code).toBe(0);
    const { shape, values } = readNpy(path.join(folder, "s.npy"));
    expect(shape).toEqual([steps, tokens, experts]);
    const rows = assignmentsOf("s.csv");
    for (let step = 0; step < steps; step++) {
      const batch = logits.subarray(step * tokens * experts, (step + 1) * tokens * experts);
      const expected = sinkhornPlan(batch, 0.5, 2000);
      for (let t = 0; t < tokens; t++) {
        const start = (step * tokens + t) * experts;
        const row = Array.from(values.subarray(start, start + experts));
        // Both have converged to 1e-9; what is left is float32.
        for (let e = 0; e < experts; e++) expect(row[e]).toBeCloseTo(expected[t][e], 6);
        const written = rows.filter((r) => r.step === step && r.token === t).map(({ expert }) => expert);
        expect(written).toEqual(largest(expected[t], topK));
      }
    }
  });

  it("finds by Sinkhorn–Newton–Sparse the plan that Sinkhorn finds", async () => {
    const words = ["--logits", "batch.npy", "--out", "n.csv", "--plan", "n.npy"];
    const fine = ["epsilon=0.1", "tolerance=1e-9", "solver=sns"];
    const { code, stderr } = await route("sinkhorn", [...words, "--param", ...fine]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const { values } = readNpy(path.join(folder, "n.npy"));
    const expected = sinkhornPlan(logits.subarray(0, tokens * experts), 0.1, 20_000);
    // Both have converged; what is left is float32.
    expected.flat().forEach((mass, entry) => {
      expect(values[entry]).toBeCloseTo(mass, 6);
    });
    expect(assignmentsOf("n.csv").map(({ expert }) => expert)).toEqual(expected.flatMap((row) => largest(row, topK)));
  });

  it("writes a plan of two dimensions for a batch, with rows that sum to 1, for every router that has one", async () => {
    for (const router of ["sinkhorn", "ssr", "scot"]) {
      expect((await route(router, ["--logits", "batch.npy", "--out", "p.csv", "--plan", "p.npy"])).code).toBe(0);
      const { shape, values } = readNpy(path.join(folder, "p.npy"));
      expect(shape).toEqual([tokens, experts]);
      for (let t = 0; t < tokens; t++) {
        const sum = values.subarray(t * experts, (t + 1) * experts).reduce((total, x) => total + x, 0);
        // Six float32 numbers.
        expect(sum).toBeCloseTo(1, 6);
      }
    }
  });

  it.each([
    ["its softmax", [], 0.05],
    ["the logits", ["cost=logits", "epsilon=1"], 1],
  ] as const)("reads gates from the plan of %s on the steps that ssr selects", async (_, further, epsilon) => {
    const always = ["--param", "select={mode: every, n: 1}", "maxIterations=5", "tolerance=0", ...further];
    expect(
      (await route("ssr", ["--logits", "batch.npy", ...always, "--out", "ssr.csv", "--plan", "ssr.npy"])).code,
    ).toBe(0);
    const rows = toMatrix(logits, tokens, experts);
    const cost = Float32Array.from((epsilon === 1 ? rows : rows.map(softmax)).flat());
    const plan = sinkhornPlan(cost, epsilon, 5);
    for (const { token, expert, gate, slot } of assignmentsOf("ssr.csv")) {
      const chosen = largest(plan[token], topK);
      expect(expert).toBe(chosen[slot]);
      expect(gate).toBeCloseTo(plan[token][expert] / (plan[token][chosen[0]] + plan[token][chosen[1]]), 5);
    }
  });

  it("lists for expert choice the slots there are", async () => {
    expect((await route("expert-choice", ["--logits", "batch.npy", "--out", "ec.csv"])).code).toBe(0);
    const rows = assignmentsOf("ec.csv");
    // ⌈20 · 2 / 6⌉ = 7 tokens for each of 6 experts.
    expect(rows).toHaveLength(42);
    for (let e = 0; e < experts; e++) expect(rows.filter(({ expert }) => expert === e)).toHaveLength(7);
  });

  it("routes as a published model does, with parameters changed and another router in its place", async () => {
    const shape = [4, 8];
    const rows = logits.subarray(0, 32);
    writeFileSync(path.join(folder, "eight.npy"), npyBytes(shape, rows));
    const words = ["route", "--model", "mixtral-8x7b", "--logits", "eight.npy"];
    const gates = async (more: readonly string[]) => {
      const { code, stderr } = await runInProcess([...words, "--out", "model.csv", ...more], folder);
      expect([code, stderr]).toEqual([0, ""]);
      return assignmentsOf("model.csv");
    };
    const routed = await gates([]);
    expect(routed).toHaveLength(8);
    for (const { token, slot, expert, gate } of routed) {
      const scores = softmax(rows.subarray(token * 8, (token + 1) * 8));
      const chosen = largest(scores, 2);
      expect(expert).toBe(chosen[slot]);
      expect(gate).toBeCloseTo(scores[expert] / (scores[chosen[0]] + scores[chosen[1]]), 6);
    }
    const raw = await gates(["--param", "renormalize=false", "--top-k", "3"]);
    expect(raw).toHaveLength(12);
    for (const { token, expert, gate } of raw) {
      expect(gate).toBeCloseTo(softmax(rows.subarray(token * 8, (token + 1) * 8))[expert], 6);
    }
    for (const { gate } of await gates(["--router", "round-robin"])) expect(gate).toBe(0.5);
  });

  it("refuses logits of another number of experts than the model has", async () => {
    const words = ["route", "--model", "mixtral-8x7b", "--logits", "batch.npy", "--out", "none.csv"];
    const { code, stderr } = await runInProcess(words, folder);
    expect(code).toBe(2);
    expect(stderr).toContain("--model: mixtral-8x7b has 8 experts, but batch.npy has logits of 6");
  });

  it("takes all experts as topK where there are fewer than two", () => {
    writeFileSync(path.join(folder, "one.npy"), npyBytes([3, 1], [1, 2, 3]));
    expect(moesim(["route", "--router", "topk", "--logits", "one.npy", "--out", "one.csv"], folder).code).toBe(0);
    expect(assignmentsOf("one.csv").map(({ expert, gate }) => [expert, gate])).toEqual([
      [0, 1],
      [0, 1],
      [0, 1],
    ]);
  });

  it("makes the same files for the same seed", async () => {
    const texts: string[] = [];
    for (const [i, seed] of ["1", "1", "2"].entries()) {
      await route("random", ["--logits", "batch.npy", "--seed", seed, "--out", `r${i}.csv`]);
      texts.push(readFileSync(path.join(folder, `r${i}.csv`), "utf8"));
    }
    expect(texts[1]).toBe(texts[0]);
    expect(texts[2]).not.toBe(texts[0]);
  });

  it("replaces neither its input nor what is no file, and follows a link", async () => {
    const input = readFileSync(path.join(folder, "batch.npy"));
    symlinkSync("missing.csv", path.join(folder, "nowhere.csv"));
    for (const [out, message] of [
      ["batch.npy", /same file/],
      ["/dev/null", /no regular file/],
      [".", /no regular file/],
      ["new/", /is a folder/],
      ["nowhere.csv", /a link that leads nowhere/],
      [`${"x".repeat(300)}.csv`, /cannot be written to/],
    ] as const) {
      const { code, stderr } = await route("topk", ["--logits", "batch.npy", "--out", out]);
      expect(code).toBe(2);
      expect(stderr).toMatch(message);
    }
    expect(readFileSync(path.join(folder, "batch.npy")).equals(input)).toBe(true);

    writeFileSync(path.join(folder, "target.csv"), "old");
    symlinkSync("target.csv", path.join(folder, "link.csv"));
    expect((await route("topk", ["--logits", "batch.npy", "--out", "link.csv"])).code).toBe(0);
    expect(lstatSync(path.join(folder, "link.csv")).isSymbolicLink()).toBe(true);
    expect(assignmentsOf("target.csv")).toHaveLength(tokens * topK);
  });

  it.each([
    ["topk", ["--logits", "batch.npy", "--plan", "x.npy"], /"topk" has no transport plan.*sinkhorn, ssr, scot/],
    ["topk", ["--logits", "gone.npy"], /gone\.npy/],
    ["topk", ["--logits", "batch.npy", "--param", "renormalise=true"], /Did you mean "renormalize"/],
    ["topk", ["--logits", "batch.npy", "--top-k", "7"], /--top-k: given twice/],
    ["sinkhron", ["--logits", "batch.npy"], /sinkhorn/],
    ["topk", ["--logits", "batch.npy", "--param", "kind=hash"], /kind: router "topk" has no such parameter/],
    [
      "topk",
      ["--logits", "batch.npy", "--param", "foo=1"],
      /--param foo: router "topk" has no such parameter\. Allowed: renormalize, gateScale, scores\.$/m,
    ],
    [
      "ssr",
      ["--logits", "batch.npy", "--param", "select.mode=first", "select.steps=1", "select.foo=1"],
      /--param select\.foo: unknown key/,
    ],
    ["topk", ["--logits", "batch.npy", "--param", "__proto__.x=1"], /"__proto__" is not a field/],
    ["ssr", ["--logits", "batch.npy", "--plan", "refused.csv"], /same file/],
    ["ssr", ["--logits", "batch.npy", "--plan", "batch.npy"], /--plan and --logits name the same file/],
    ["ssr", ["--logits", "batch.npy", "--plan", "."], /no regular file/],
  ])("refuses %s with %j and writes nothing", async (router, words, message) => {
    const before = listFiles(folder);
    const { code, stderr } = await route(router, [...words, "--out", "refused.csv"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(listFiles(folder)).toEqual(before);
  });
});

describe("padding", () => {
  /** Every third token, and all of the last step. */
  const isPadding = (step: number, token: number) => step === steps - 1 || token % 3 === 1;
  const places = Array.from({ length: steps * tokens }, (_, i) => ({
    step: Math.floor(i / tokens),
    token: i % tokens,
  }));

  it.each(["topk", "expert-choice", "base", "ssr", "quantile"])("is routed nowhere by %s", async (router) => {
    writeFileSync(
      path.join(folder, "mask.csv"),
      places.map(({ step, token }) => (isPadding(step, token) ? "1\n" : "0\n")).join(""),
    );
    // The same tokens without the padding, the last step left out.
    const real = places.filter(({ step, token }) => !isPadding(step, token));
    const rows = real.flatMap(({ step, token }) =>
      Array.from(logits.subarray((step * tokens + token) * experts, (step * tokens + token + 1) * experts)),
    );
    writeFileSync(path.join(folder, "real.npy"), npyBytes([steps - 1, real.length / (steps - 1), experts], rows));
    const plan = router === "ssr" ? ["--param", "select.mode=every", "select.n=1"] : [];
    const masked = await route(router, [
      "--logits",
      "steps.npy",
      "--padding-mask",
      "mask.csv",
      "--out",
      "masked.csv",
      ...plan,
    ]);
    expect(masked.code, masked.stderr).toBe(0);
    await route(router, ["--logits", "real.npy", "--out", "real.csv", ...plan]);
    const tokenOf = real.filter(({ step }) => step === 0).map(({ token }) => token);
    expect(assignmentsOf("masked.csv")).toEqual(
      assignmentsOf("real.csv").map((row) => ({ ...row, token: tokenOf[row.token] })),
    );
  });

  it("has a plan of zeros, each other token the row of its place", async () => {
    const words = ["--param", "select.mode=every", "select.n=1", "--plan"];
    await route("ssr", ["--logits", "steps.npy", "--padding-mask", "mask.csv", "--out", "m.csv", ...words, "m.npy"]);
    await route("ssr", ["--logits", "real.npy", "--out", "r.csv", ...words, "r.npy"]);
    const [masked, real] = ["m.npy", "r.npy"].map((file) => readNpy(path.join(folder, file)));
    expect(masked.shape).toEqual([steps, tokens, experts]);
    let next = 0;
    for (const [i, { step, token }] of places.entries()) {
      const row = Array.from(masked.values.subarray(i * experts, (i + 1) * experts));
      if (isPadding(step, token)) expect(row).toEqual(new Array(experts).fill(0));
      else {
        expect(row).toEqual(Array.from(real.values.subarray(next, next + experts)));
        next += experts;
      }
    }
  });

  it("is in no metric of a run, and in no optimum", async () => {
    const scenario = (file: string, mask: object) => ({
      name: "padding",
      topK,
      stream: { kind: "trace", path: file, ...mask },
      routers: [{ kind: "topk" }, { kind: "base" }, { kind: "alf-lb" }],
    });
    writeFileSync(path.join(folder, "m.json"), JSON.stringify(scenario("steps.npy", { paddingMask: "mask.csv" })));
    writeFileSync(path.join(folder, "r.json"), JSON.stringify(scenario("real.npy", {})));
    for (const name of ["m", "r"]) {
      const { code, stderr } = await runInProcess(["run", `${name}.json`, "--out", `${name}-out`], folder);
      expect(code, stderr).toBe(0);
    }
    const [masked, real] = ["m", "r"].map((name) => readCsv(path.join(folder, `${name}-out`, "summary.csv")));
    for (const [index, row] of masked.entries()) {
      const { steps: all, tokens: most, ...others } = row;
      const { steps: _, tokens: __, ...expected } = real[index];
      expect(others).toEqual(expected);
      expect([all, most]).toEqual([String(steps), String(tokens)]);
    }
    const last = readCsv(path.join(folder, "m-out", "steps.csv")).filter(({ step }) => step === String(steps - 1));
    for (const { max_vio, score, regret, dropped_fraction } of last) {
      expect([max_vio, score, regret, dropped_fraction]).toEqual(["", "", "", ""]);
    }
    const optimumOf = (words: string[]) =>
      runInProcess(["optimum", "--logits", ...words, "--top-k", String(topK)], folder);
    const ofMasked = await optimumOf(["steps.npy", "--padding-mask", "mask.csv"]);
    const ofReal = await optimumOf(["real.npy"]);
    const none = '{"optimum":0,"upper_bound":0,"exact":true}\n';
    expect(ofMasked.stdout).toBe(`${ofReal.stdout}${none}`);
  });
});

describe("probabilities instead of logits", () => {
  const rows = toMatrix(logits, steps * tokens, experts).map(softmax);
  beforeAll(() => {
    const shape = [steps, tokens, experts];
    writeFileSync(path.join(folder, "probabilities.npy"), npyBytes(shape, rows.flat()));
    writeFileSync(path.join(folder, "logarithms.npy"), npyBytes(shape, rows.flat().map(Math.log)));
    const [first] = rows;
    writeFileSync(path.join(folder, "negative.npy"), npyBytes([1, experts], first.with(2, -0.25)));
  });

  it.each(["probabilities", "log-probabilities"])("routes %s as the logits they were made of", async (input) => {
    const file = input === "probabilities" ? "probabilities.npy" : "logarithms.npy";
    const { code, stderr } = await route("topk", ["--logits", file, "--input", input, "--out", "p.csv", "--quiet"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    await route("topk", ["--logits", "steps.npy", "--out", "z.csv"]);
    const expected = assignmentsOf("z.csv");
    expect(assignmentsOf("p.csv")).toEqual(expected.map((row) => ({ ...row, gate: expect.closeTo(row.gate, 6) })));

    const optimumOf = async (...words: string[]) => {
      const { stdout } = await runInProcess(["optimum", "--logits", ...words, "--top-k", "2"], folder);
      return stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).optimum as number);
    };
    const ofLogits = await optimumOf("steps.npy");
    const found = await optimumOf(file, "--input", input);
    expect(found).toEqual(ofLogits.map((value) => expect.closeTo(value, 4)));
  });

  it("warns of them if nobody said so: route, optimum and the runs of trace streams", async () => {
    const warning =
      /warning: .*probabilities\.npy: Every row looks like probabilities.* set input to probabilities \(--input probabilities/s;
    const routed = await route("topk", ["--logits", "probabilities.npy", "--out", "p.csv", "--quiet"]);
    const solved = await runInProcess(["optimum", "--logits", "probabilities.npy"], folder);
    const stream = { kind: "trace", path: "probabilities.npy" };
    const scenario = { name: "p", topK, stream, routers: [{ kind: "topk" }], seeds: [1, 2] };
    writeFileSync(path.join(folder, "p.json"), JSON.stringify(scenario));
    const ran = await runInProcess(["run", "p.json", "--out", "p-run", "--quiet"], folder);
    const swept = await runInProcess(["sweep", "p.json", "--out", "p-sweep", "--quiet", "--workers", "1"], folder);
    for (const { code, stderr } of [routed, solved, ran, swept]) {
      expect(code).toBe(0);
      expect(stderr).toMatch(warning);
      expect(stderr.match(/warning:/g)).toHaveLength(1);
    }
    expect(readFileSync(path.join(folder, "p-run", "run.json"), "utf8")).not.toContain("Every row");
    const told = await runInProcess(
      ["run", "p.json", "--set", "stream.input=probabilities", "--out", "t", "--quiet"],
      folder,
    );
    expect(told).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  it("refuses numbers that are no probabilities", async () => {
    const words = ["--logits", "negative.npy", "--input", "probabilities", "--out", "n.csv"];
    const { code, stderr } = await route("topk", words);
    expect(code).toBe(2);
    expect(stderr).toContain("negative.npy: step 0, expert 2: -0.25 is not a probability; they are from 0 to 1");
  });
});
