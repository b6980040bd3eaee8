import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { npyBytes, readIntegerNpy, readNpy } from "../support/npy.ts";
import { listFiles, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const small = { name: "small", seed: 3, steps: 12, tokens: 64, experts: 8, topK: 2, regret: { every: 4 } };
const routers = [{ kind: "topk" }, { kind: "alf-lb", label: "by bias", updateRate: 0.05 }, { kind: "noisy-topk" }];
const training = { stream: { kind: "training", width: 8, hidden: 8 }, capacity: "drop" };
const adversarial = { stream: { kind: "adversarial" } };

/** Runs `moesim` on a scenario that is written into `folder`; returns what it printed. */
async function onScenario(folder: string, words: string[], fields: object = {}): Promise<string> {
  const file = path.join(folder, "scenario.json");
  writeFileSync(file, JSON.stringify({ ...small, stream: { kind: "clusters" }, routers, ...fields }));
  const { code, stdout, stderr } = await runInProcess([words[0], file, "--quiet", ...words.slice(1)]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

/** What is wrong with the command, which must leave everything as it was. */
async function refused(folder: string, words: string[], fields: object = {}): Promise<string> {
  const file = path.join(folder, "scenario.json");
  writeFileSync(file, JSON.stringify({ ...small, stream: { kind: "clusters" }, routers, ...fields }));
  const before = listFiles(folder);
  const { code, stdout, stderr } = await runInProcess(["export", file, ...words]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(listFiles(folder)).toEqual(before);
  return stderr;
}

describe("moesim export", () => {
  it.each([{ kind: "clusters" }, { kind: "drift", rate: 0.2 }, { kind: "zipf-text" }])(
    "writes the logits of %o, which come to the same run when they are read as a trace",
    async (stream) => {
      const folder = temporaryFolder();
      const inFolder = (name: string) => path.join(folder, name);
      await onScenario(folder, ["run", "--out", inFolder("original")], { stream });
      await onScenario(folder, ["export", "--out", inFolder("logits.npy")], { stream });
      const trace = { kind: "trace", path: "logits.npy" };
      await onScenario(folder, ["run", "--out", inFolder("again")], { stream: trace });
      for (const file of ["loads.csv", "steps.csv", "summary.csv", "diagnostics.csv"]) {
        expect(readFileSync(inFolder(`again/${file}`), "utf8")).toBe(
          readFileSync(inFolder(`original/${file}`), "utf8"),
        );
      }
    },
  );

  it.each([
    ["a stream that answers its router", adversarial],
    ["a gate that learns behind its router", training],
  ])("writes what %s shows the one that is named", async (_, fields) => {
    const folder = temporaryFolder();
    const logits = path.join(folder, "logits.npy");
    await onScenario(folder, ["run", "--out", path.join(folder, "original")], fields);
    const original = readFileSync(path.join(folder, "original/loads.csv"), "utf8").split("\n");
    const seen = [];
    for (const router of routers) {
      const label = router.label ?? router.kind;
      await onScenario(folder, ["export", "--router", label, "--out", logits], fields);
      seen.push(readNpy(logits).values.join());
      const alone = { routers: [router], stream: { kind: "trace", path: "logits.npy" } };
      await onScenario(folder, ["run", "--out", path.join(folder, "again")], alone);
      const [header, ...rows] = readFileSync(path.join(folder, "again/loads.csv"), "utf8").split("\n");
      expect(header).toBe(original[0]);
      expect(rows.slice(0, -1)).toEqual(original.filter((row) => row.startsWith(`small,${label},`)));
    }
    expect(new Set(seen).size).toBe(routers.length);
  });

  it("follows --seed and --set, and needs no --router where there is one router", async () => {
    const folder = temporaryFolder();
    const logits = path.join(folder, "logits.npy");
    const words = ["export", "--out", logits, "--seed", "9", "--set", "steps=2", "routers=[{kind: ssr}]"];
    await onScenario(folder, words, adversarial);
    const { shape, values } = readNpy(logits);
    expect(shape).toEqual([2, 64, 8]);
    expect(values).toHaveLength(2 * 64 * 8);
    await onScenario(folder, words.with(4, "8"), adversarial);
    expect(readNpy(logits).values).not.toEqual(values);
  });

  it("copies recorded logits, and refuses a shorter last step, for which the file has no place", async () => {
    const folder = temporaryFolder();
    const recorded = Float32Array.from({ length: 20 * 4 }, (_, i) => Math.sin(i));
    writeFileSync(path.join(folder, "recorded.npy"), npyBytes([20, 4], recorded));
    const fields = { stream: { kind: "trace", path: "recorded.npy" }, steps: undefined, tokens: 8, experts: 4 };
    const out = ["--out", path.join(folder, "logits.npy")];
    expect(await refused(folder, out, fields)).toMatch(
      /scenario\.json: stream: step 2 has 4 tokens, the others 8, .* leave it out with --set steps=2/,
    );
    await onScenario(folder, ["export", ...out, "--set", "steps=2"], fields);
    expect(readNpy(path.join(folder, "logits.npy"))).toEqual({ shape: [2, 8, 4], values: recorded.slice(0, 64) });
    expect(await refused(folder, ["--out", path.join(folder, "recorded.npy")], fields)).toContain("name the same file");
  });

  it("asks for a router that there is, where the stream answers it and there are several", async () => {
    const folder = temporaryFolder();
    const out = ["--out", path.join(folder, "logits.npy")];
    expect(await refused(folder, out, adversarial)).toMatch(/choose one with --router: topk, by bias, noisy-topk\n$/);
    for (const fields of [{}, adversarial]) {
      expect(await refused(folder, [...out, "--router", "topc"], fields)).toMatch(
        /--router topc: .*scenario\.json has no such router\. Did you mean "topk"\? Allowed: topk, by bias, noisy-topk\.\n$/,
      );
    }
  });

  it("refuses logits that are not finite, and leaves nothing behind", async () => {
    const folder = temporaryFolder();
    const recorded = Float32Array.from({ length: 8 }, (_, i) => (i === 5 ? Number.NaN : i));
    writeFileSync(path.join(folder, "bad.npy"), npyBytes([2, 1, 4], recorded));
    const bad = { stream: { kind: "trace", path: "bad.npy" }, steps: 2, tokens: undefined, experts: 4 };
    expect(await refused(folder, ["--out", path.join(folder, "logits.npy")], bad)).toMatch(
      /bad\.npy: the logit of step 1, token 0 of that step, expert 1 is NaN/,
    );
  });

  describe("--what selections", () => {
    const skewed = { stream: { kind: "skewed", target: { maxVio: 1 } } };
    const selectionsOf = async (folder: string, words: string[], fields: object) => {
      const files = { ids: path.join(folder, "ids.npy"), gates: path.join(folder, "gates.npy") };
      await onScenario(
        folder,
        ["export", "--what", "selections", "--out", files.ids, "--gates", files.gates, ...words],
        fields,
      );
      return { ...readIntegerNpy(files.ids), gates: readNpy(files.gates) };
    };

    it("writes each token's experts and gates under plain top-k, which place and measure read", async () => {
      const folder = temporaryFolder();
      const { shape, values, gates } = await selectionsOf(folder, [], skewed);
      expect([shape, gates.shape]).toEqual([
        [12, 64, 2],
        [12, 64, 2],
      ]);
      await onScenario(folder, ["export", "--out", path.join(folder, "logits.npy")], skewed);
      const logits = readNpy(path.join(folder, "logits.npy")).values;
      const load = new Int32Array(8);
      for (let token = 0; token < 12 * 64; token++) {
        const row = logits.subarray(token * 8, (token + 1) * 8);
        const best = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 2);
        expect(Array.from(values.subarray(token * 2, token * 2 + 2))).toEqual(best);
        const share = 1 / (1 + Math.exp(row[best[1]] - row[best[0]]));
        expect(gates.values[token * 2]).toBeCloseTo(share, 6);
        for (const e of best) load[e] += 1;
      }
      expect(Math.max(...load) / ((12 * 64 * 2) / 8)).toBeCloseTo(2, 2);
      const file = path.join(folder, "ids.npy");
      const words = ["place", file, "--as", "selections", "--experts", "8", "--gpus", "8", "--split", "1", "--json"];
      const { stdout } = await runInProcess(words);
      expect(JSON.parse(stdout).layers[0]).toMatchObject({ steps: 12, unplaced: { max_rank_load: Math.max(...load) } });
    });

    it("writes those of the router that is named, on the batches that it saw", async () => {
      const folder = temporaryFolder();
      for (const [fields, label] of [
        [skewed, "by bias"],
        [adversarial, "by bias"],
      ] as const) {
        await onScenario(folder, ["run", "--out", path.join(folder, "run")], fields);
        const { values } = await selectionsOf(folder, ["--router", label], fields);
        const rows = readFileSync(path.join(folder, "run/loads.csv"), "utf8").split("\n");
        const loads = rows.filter((row) => row.startsWith(`small,${label},`)).map((row) => Number(row.split(",")[5]));
        const counted = new Array(12 * 8).fill(0);
        values.forEach((expert, pair) => {
          counted[Math.floor(pair / 128) * 8 + expert] += 1;
        });
        expect(counted).toEqual(loads);
      }
    });

    it("has the dimension of the layers, and says what it wrote", async () => {
      const folder = temporaryFolder();
      const fields = { stream: { ...skewed.stream, layers: 3 } };
      const { shape, values } = await selectionsOf(folder, [], fields);
      expect(shape).toEqual([12, 3, 64, 2]);
      expect(values.slice(0, 128)).toEqual((await selectionsOf(folder, [], skewed)).values.slice(0, 128));
      expect(values.slice(128, 256)).not.toEqual(values.slice(0, 128));
      const out = path.join(folder, "again.npy");
      const file = path.join(folder, "scenario.json");
      const { stdout } = await runInProcess(["export", file, "--what", "selections", "--out", out]);
      expect(stdout).toContain("top-2 of topk, written to ");
      const { stdout: json } = await runInProcess(["export", file, "--what", "selections", "--out", out, "--json"]);
      expect(JSON.parse(json)).toMatchObject({ path: out, what: "selections", top_k: 2, gates: null });
    });

    it("refuses gates of logits, one file for both, and routers without a number of experts per token", async () => {
      const folder = temporaryFolder();
      const out = ["--out", path.join(folder, "ids.npy")];
      expect(await refused(folder, [...out, "--gates", path.join(folder, "gates.npy")])).toContain(
        "--gates: logits have no gates; add --what selections",
      );
      const selections = [...out, "--what", "selections"];
      expect(await refused(folder, [...selections, "--gates", out[1]])).toContain("name the same file");
      expect(await refused(folder, [...selections, "--router", "topc"])).toContain('Did you mean "topk"?');
      const chosen = { routers: [{ kind: "expert-choice" }] };
      expect(await refused(folder, [...selections, "--router", "expert-choice"], chosen)).toContain(
        "the tokens of expert-choice have different numbers of experts",
      );
    });
  });
});
