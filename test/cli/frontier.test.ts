import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { highsOptimum, highsTolerance } from "../support/highs.ts";
import { npyBytes } from "../support/npy.ts";
import { affinities, toMatrix } from "../support/plain.ts";
import { readCsv, temporaryFolder } from "../support/program.ts";
import { skewedLogits } from "../support/random-logits.ts";
import { runInProcess } from "../support/run-in-process.ts";

const [layers, tokens, experts] = [2, 24, 6];
const logits = skewedLogits("frontier", layers * tokens, experts, 2);

let folder: string;
beforeAll(() => {
  folder = temporaryFolder();
  writeFileSync(path.join(folder, "batch.npy"), npyBytes([tokens, experts], logits.subarray(0, tokens * experts)));
  writeFileSync(path.join(folder, "layers.npy"), npyBytes([layers, tokens, experts], logits));
  writeFileSync(
    path.join(folder, "same.npy"),
    npyBytes([tokens, experts], new Array(tokens * experts).fill(-Infinity)),
  );
  const routers = [{ kind: "topk" }, { kind: "alf-lb", label: "bias" }, { kind: "base" }];
  const scenario = { name: "small", steps: 6, tokens: 32, experts: 8, topK: 2, stream: { kind: "clusters" }, routers };
  const write = (name: string, fields: object) =>
    writeFileSync(path.join(folder, name), JSON.stringify({ ...scenario, ...fields }));
  write("small.json", { scores: "softmax", regret: { every: 2 } });
  write("adversarial.json", { stream: { kind: "adversarial" } });
  write("unmeasured.json", { regret: { every: 0 } });
});

const frontier = (...words: string[]) => runInProcess(["frontier", ...words], folder);

async function jsonOf(...words: string[]) {
  const { code, stdout, stderr } = await frontier(...words, "--json");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout);
}

describe("moesim frontier", () => {
  it("finds the best score of a file's batch at every capacity factor", async () => {
    const found = await jsonOf("batch.npy", "--top-k", "2");
    const matrix = affinities(toMatrix(logits, tokens, experts), "softmax");
    expect(found.points.map((point: { capacity_factor: number }) => point.capacity_factor)).toEqual([
      1, 1.05, 1.1, 1.25, 1.5, 2,
    ]);
    for (const point of found.points) {
      expect(point.capacity_tokens).toBe(Math.ceil(Number((point.capacity_factor * 8).toPrecision(12))));
      expect(point).toMatchObject({ exact: true, gap_max: 0, score_ci95: null });
      const best = highsOptimum(matrix, 2, point.capacity_tokens) / (tokens * 2);
      expect(Math.abs(point.score - best)).toBeLessThan(2 * highsTolerance + 1e-12);
      expect(point.price).toBeCloseTo(found.unbounded.score - point.score, 15);
    }
    expect(found.routers).toHaveLength(1);
    expect(found.routers[0]).toMatchObject({
      router: "topk",
      score: found.unbounded.score,
      price: 0,
      regret_at_own_load: 0,
    });
  });

  it("cuts a file into batches, takes other affinities and places routers by their kind", async () => {
    const words = [
      "batch.npy",
      "--batch-tokens",
      "8",
      "--scores",
      "sigmoid",
      "--factors",
      "2,1",
      "--router",
      "topk",
      "base",
    ];
    const found = await jsonOf(...words);
    expect(found).toMatchObject({ name: "batch", steps: 3, tokens: 8, measured_steps: 3, scores: "sigmoid" });
    expect(found.points.map((point: { capacity_factor: number }) => point.capacity_factor)).toEqual([1, 2]);
    expect(found.points[0].price_ci95).toBeGreaterThan(0);
    expect(found.routers.map((router: { router: string }) => router.router)).toEqual(["topk", "base"]);
  });

  it("leaves out the first steps and a mask's tokens if it is told to", async () => {
    const rows = toMatrix(logits, layers * tokens, experts);
    const write = (name: string, kept: number[][]) =>
      writeFileSync(path.join(folder, name), npyBytes([kept.length, experts], kept.flat()));
    write("tail.npy", rows.slice(8, 24));
    const priceOf = async (...words: string[]) =>
      (await jsonOf(...words, "--batch-tokens", "8", "--top-k", "2")).points[0];
    expect(await priceOf("batch.npy", "--skip", "1")).toEqual(await priceOf("tail.npy"));
    write(
      "odd.npy",
      rows.slice(0, 24).filter((_, token) => token % 2 === 1),
    );
    writeFileSync(
      path.join(folder, "mask.csv"),
      rows
        .slice(0, 24)
        .map((_, token) => 1 - (token % 2))
        .join("\n"),
    );
    const masked = await jsonOf("batch.npy", "--padding-mask", "mask.csv", "--top-k", "2");
    expect(masked.points).toEqual((await jsonOf("odd.npy", "--top-k", "2")).points);
  });

  it("measures the steps and routers of a scenario, and writes the table and the picture", async () => {
    const { code, stdout } = await frontier("small.json", "--out", "prices");
    expect(code).toBe(0);
    expect(stdout).toContain("small: 6 steps of 32 tokens, 8 experts, top-2");
    expect(stdout).toContain("mean over 3 measured steps");
    expect(readdirSync(path.join(folder, "prices")).sort()).toEqual(["frontier.csv", "frontier.png", "frontier.svg"]);
    const rows = readCsv(path.join(folder, "prices", "frontier.csv"));
    expect(rows.map(({ curve, router }) => router || curve)).toEqual([
      ...new Array(6).fill("optimum"),
      "unbounded",
      "topk",
      "bias",
      "base",
    ]);
    expect(rows[9]).toMatchObject({ capacity_factor: "1", price: rows[0].price, regret_at_own_load: "0", steps: "3" });
    expect(readFileSync(path.join(folder, "prices", "frontier.svg"), "utf8")).toContain("best possible");
    const again = await frontier("small.json", "--out", "again", "--quiet");
    expect(again).toEqual({ code: 0, stdout: "", stderr: "" });
    for (const name of ["frontier.csv", "frontier.png"]) {
      expect(readFileSync(path.join(folder, "again", name))).toEqual(readFileSync(path.join(folder, "prices", name)));
    }
    const found = await jsonOf("small.json", "--top-k", "3", "--router", "bias", "--every", "1", "--set", "steps=2");
    expect(found).toMatchObject({ top_k: 3, measured_steps: 2 });
    expect(found.routers.map((router: { router: string }) => router.router)).toEqual(["bias"]);
    expect(await jsonOf("unmeasured.json")).toMatchObject({ measured_steps: 6 });
  });

  it("names the layer that pays most, and lists all", async () => {
    const words = ["layers.npy", "--axes", "layers,tokens,experts"];
    const found = await jsonOf(...words);
    const prices = found.layers.map((layer: { points: { price: number }[] }) => layer.points[0].price);
    expect(found.points[0].price).toBeCloseTo((prices[0] + prices[1]) / 2, 15);
    expect(found.points[0].worst_layer).toBe(prices[0] >= prices[1] ? 0 : 1);
    const one = await jsonOf(...words, "--layers", "1");
    expect(one.points[0].price).toBe(prices[1]);
    const { stdout } = await frontier(...words);
    expect(stdout).toContain("worst");
    expect(stdout).toMatch(/^Taken for: NumPy array: logits, 2 layers × \d+ tokens × \d+ experts$/m);
    expect(found.recording).toMatch(/^NumPy array: logits, 2 layers/);
  });

  it("runs a stream that reacts to its router with one router", async () => {
    const { code, stderr } = await frontier("adversarial.json");
    expect(code).toBe(2);
    expect(stderr).toContain("choose one with --router: topk, bias, base");
    expect((await jsonOf("adversarial.json", "--router", "bias")).routers).toHaveLength(1);
  });

  it("says what is wrong with its input, and writes nothing", async () => {
    const wrong: [words: string[], message: string][] = [
      [["batch.npy", "--factors", "1,x"], '--factors: "x" is not allowed'],
      [["batch.npy", "--factors", "0"], '--factors: "0" is not allowed'],
      [["batch.npy", "--factors", "1,,2"], '--factors: "" is not allowed'],
      [["batch.npy", "--every", "0"], "--every: 0 is not allowed"],
      [["batch.npy", "--gap=-1"], "--gap: -1 is not allowed"],
      [["batch.npy", "--top-k", "7"], "--top-k: 7 is more than the 6 experts"],
      [["batch.npy", "--router", "topq"], "--router topq: there is no such router. Did you mean"],
      [["batch.npy", "--set", "steps=2"], "--set: changes fields of a scenario"],
      [["small.json", "--scores", "sigmoid"], "--scores: small.json is a scenario"],
      [["small.json", "--router", "alf-lb"], "--router alf-lb: small.json has no such router"],
      [["same.npy"], "empty stream: no step has a token with an expert"],
      [["none.npy"], "none.npy"],
      [["batch.npy", "--batch-tokens", "0"], "--batch-tokens"],
    ];
    for (const [words, message] of wrong) {
      const { code, stdout, stderr } = await frontier(...words, "--out", "wrong");
      expect([words, code, stdout]).toEqual([words, 2, ""]);
      expect(stderr).toContain(message);
    }
    writeFileSync(path.join(folder, "nan.npy"), npyBytes([1, 2], [Number.NaN, 1]));
    expect((await frontier("nan.npy")).stderr).toBe(
      `moesim: ${path.join(folder, "nan.npy")}: the logit of step 0, token 0 of that step, expert 0 is NaN; logits must be ` +
        "finite as float32, or -inf for a disabled expert\n",
    );
    writeFileSync(path.join(folder, "frontier.csv"), "0.1,0.2,0.3\n0.3,0.2,0.4\n");
    const { code, stderr } = await frontier("frontier.csv", "--out", ".");
    expect(code).toBe(2);
    expect(stderr).toContain("name the same file");
    expect(existsSync(path.join(folder, "wrong"))).toBe(false);
  });
});
