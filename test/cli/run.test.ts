import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { npyBytes } from "../support/npy.ts";
import { listFiles, moesim, projectPath, readCsv, startMoesim, temporaryFolder } from "../support/program.ts";
import { program } from "../support/pseudo-terminal.ts";
import { runInProcess } from "../support/run-in-process.ts";

/** The contract; metrics that came later follow. */
const summaryHeader =
  "scenario,router,kind,seed,steps,tokens,experts,top_k,max_vio_global,max_vio_batch_mean,max_vio_batch_p95,max_vio_batch_max,load_cv,load_gini,load_entropy,idle_fraction_mean,idle_fraction_max,idle_streak_max,dead_experts,dropped_fraction,score,regret_mean,regret_cumulative,optimum_gap_max,dual_regret_cumulative,churn,rank_max_vio,step_time_mean,sinkhorn_steps,solver_iterations_mean,not_converged_steps,regret_se";
const stepHeader =
  "scenario,router,seed,step,max_vio,load_cv,load_entropy,idle_fraction,dropped_fraction,score,regret,regret_cumulative,optimum_gap,dual_regret_cumulative,churn,rank_max_vio,step_time,solver_iterations,marginal_error";
const loadHeader = "scenario,router,seed,step,expert,load";
const deterministicFiles = ["summary.csv", "steps.csv", "loads.csv", "diagnostics.csv"];

const quickstart = projectPath("scenarios/quickstart.yaml");
const short = ["--set", "steps=12", "tokens=128"];

function headerOf(file: string): string {
  return readFileSync(file, "utf8").split("\n", 1)[0];
}

describe("moesim run", () => {
  it("prints a table and writes the files with the columns of the contract", () => {
    const folder = temporaryFolder();
    const { code, stdout, stderr } = moesim(["run", quickstart, ...short], folder);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    for (const router of ["topk", "alf-lb", "ssr", "expert-choice"])
      expect(stdout).toMatch(new RegExp(`^ ${router} `, "m"));

    const results = path.join(folder, "results/quickstart");
    expect(listFiles(results)).toEqual([...deterministicFiles, "timing.csv", "run.json"].sort());
    const columns = headerOf(path.join(results, "summary.csv")).split(",");
    expect(columns.slice(0, summaryHeader.split(",").length).join()).toBe(summaryHeader);
    expect(headerOf(path.join(results, "steps.csv"))).toBe(stepHeader);
    expect(headerOf(path.join(results, "loads.csv"))).toBe(loadHeader);

    const routers = parse(readFileSync(quickstart, "utf8")).routers.length;
    expect(readCsv(path.join(results, "summary.csv"))).toHaveLength(routers);
    expect(readCsv(path.join(results, "steps.csv"))).toHaveLength(12 * routers);
    const loads = readCsv(path.join(results, "loads.csv"));
    expect(loads).toHaveLength(12 * 32 * routers);
    const topkPairs = loads
      .filter(({ router, step }) => router === "topk" && step === "3")
      .map(({ load }) => Number(load));
    expect(topkPairs.reduce((sum, load) => sum + load)).toBe(128 * 2);
  });

  it("leaves empty what does not apply", async () => {
    const folder = temporaryFolder();
    await runInProcess(["run", quickstart, ...short, "--out", folder]);
    for (const row of readCsv(path.join(folder, "summary.csv"))) {
      expect(row.dual_regret_cumulative !== "").toBe(row.kind === "alf-lb");
      const hasPlan = row.kind === "ssr" || row.kind === "sinkhorn";
      expect(row.sinkhorn_steps).toBe(hasPlan ? (row.kind === "ssr" ? "3" : "12") : "");
      expect(row.not_converged_steps === "").toBe(!hasPlan);
    }
    const ssr = readCsv(path.join(folder, "steps.csv")).filter(({ router }) => router === "ssr");
    expect(ssr.map((row) => row.marginal_error !== "")).toEqual(ssr.map((_, step) => step % 4 === 0));
  });

  it("writes the same bytes with one worker and with two, and again", async () => {
    const folders: string[] = [];
    for (const [program, workers] of [
      [runInProcess, "1"],
      [moesim, "2"],
      [moesim, "2"],
    ] as const) {
      const folder = temporaryFolder();
      expect((await program(["run", quickstart, ...short, "--workers", workers, "--out", folder])).code).toBe(0);
      folders.push(folder);
    }
    for (const file of deterministicFiles) {
      const [first, ...others] = folders.map((folder) => readFileSync(path.join(folder, file), "utf8"));
      for (const other of others) expect(other).toBe(first);
    }
  });

  it("can be run again from its own run.json", async () => {
    const [folder, again] = [temporaryFolder(), temporaryFolder()];
    await runInProcess(["run", quickstart, ...short, "--seed", "9", "--out", folder]);
    const { scenario, seed, versions } = JSON.parse(readFileSync(path.join(folder, "run.json"), "utf8"));
    expect(seed).toBe(9);
    expect(versions.moesim).toBe(JSON.parse(readFileSync(projectPath("package.json"), "utf8")).version);
    writeFileSync(path.join(again, "scenario.json"), JSON.stringify(scenario));
    expect((await runInProcess(["run", path.join(again, "scenario.json"), "--out", again])).code).toBe(0);
    for (const file of deterministicFiles) {
      expect(readFileSync(path.join(again, file), "utf8")).toBe(readFileSync(path.join(folder, file), "utf8"));
    }
  });

  it("follows --seed and --set", async () => {
    const scores: string[] = [];
    for (const seed of ["1", "2"]) {
      const folder = temporaryFolder();
      await runInProcess(["run", quickstart, ...short, "experts=64", "--seed", seed, "--out", folder]);
      const [topk] = readCsv(path.join(folder, "summary.csv"));
      expect(topk).toMatchObject({ seed, experts: "64", tokens: "128" });
      scores.push(topk.score);
    }
    expect(scores[0]).not.toBe(scores[1]);
  });

  it("prints nothing but warnings with --quiet", async () => {
    const { stdout, stderr } = await runInProcess(["run", quickstart, ...short, "--quiet", "--out", temporaryFolder()]);
    expect(stdout + stderr).toBe("");
  });

  it("measures regret on one step drawn from each n, the same for all routers: its sum, its mean and the error of that", async () => {
    const folder = temporaryFolder();
    await runInProcess(["run", quickstart, ...short, "regret.every=5", "--out", folder]);
    const summary = readCsv(path.join(folder, "summary.csv"));
    const measured = new Set<string>();
    for (const { router, regret_mean, regret_se, regret_cumulative, optimum_gap_max } of summary) {
      const steps = readCsv(path.join(folder, "steps.csv")).filter((row) => row.router === router);
      const computed = steps.filter(({ regret }) => regret !== "");
      expect(computed.map(({ step }) => Math.floor(Number(step) / 5))).toEqual([0, 1, 2]);
      measured.add(computed.map(({ step }) => step).join());
      expect(steps.filter((row) => row.regret_cumulative !== "" || row.optimum_gap !== "")).toEqual(computed);
      const [a, b, c] = computed.map(({ regret }) => Number(regret));
      expect(Math.min(a, b, c)).toBeGreaterThanOrEqual(0);
      expect(Number(regret_cumulative)).toBe(a + b + c);
      // 12 steps: the last stratum has two.
      expect(Number(regret_mean)).toBeCloseTo((5 * a + 5 * b + 2 * c) / 12, 14);
      const mean = (a + b + c) / 3;
      const variance = ((a - mean) ** 2 + (b - mean) ** 2 + (c - mean) ** 2) / 2;
      expect(Number(regret_se)).toBeCloseTo((5 / 12) * Math.sqrt(3 * variance), 14);
      expect(optimum_gap_max).toBe("0");
    }
    expect(measured.size).toBe(1);
  });

  it("computes no regret where the scenario asks for none", async () => {
    const folder = temporaryFolder();
    await runInProcess(["run", quickstart, ...short, "regret.every=0", "--out", folder]);
    for (const row of [...readCsv(path.join(folder, "summary.csv")), ...readCsv(path.join(folder, "steps.csv"))]) {
      expect(row.regret_cumulative + row.dual_regret_cumulative).toBe("");
    }
  });

  it("warns of plans that missed their tolerance, after the table, and only notes those that were asked to", () => {
    const hard = ["routers.sinkhorn.epsilon=0.02", "routers.ssr.maxIterations=3"];
    const out = temporaryFolder();
    const command = ["run", quickstart, ...short, ...hard, "--out", out].map((word) => `'${word}'`).join(" ");
    const seen = spawnSync("sh", ["-c", `${program} ${command} 2>&1`], { encoding: "utf8" }).stdout;
    const lines = seen.split("\n");
    expect(lines[0]).toMatch(/^quickstart: /);
    expect(lines.at(-2)).toMatch(/^warning: sinkhorn: on 12 of 12 steps the plan missed its tolerance/);
    expect(lines.filter((line) => line.startsWith("warning:"))).toHaveLength(1);
    expect(lines).toContain(
      "Note: ssr: on 3 of 3 steps the plan missed its tolerance, as its settings request (marginal_error in steps.csv).",
    );
    const missed = readCsv(path.join(out, "summary.csv")).filter((row) => Number(row.not_converged_steps) > 0);
    expect(missed.map(({ router }) => router)).toEqual(["ssr", "sinkhorn"]);
  });

  it("ends with who balances best, who is on the Pareto front and who is dominated, as summary.csv has it", async () => {
    const out = temporaryFolder();
    const { stdout } = await runInProcess(["run", quickstart, ...short, "--out", out]);
    const points = readCsv(path.join(out, "summary.csv")).map((row) => ({
      router: row.router,
      maxVio: Number(row.max_vio_batch_mean),
      regret: Number(row.regret_mean),
    }));
    const dominated = points.filter((one) =>
      points.some(
        (other) =>
          other.maxVio <= one.maxVio &&
          other.regret <= one.regret &&
          (other.maxVio < one.maxVio || other.regret < one.regret),
      ),
    );
    const best = points.toSorted((a, b) => a.maxVio - b.maxVio)[0];
    expect(stdout).toMatch(new RegExp(`^${best.router} balances best: MaxVio of a batch ${best.maxVio}, regret`, "m"));
    const [, front, losers] = /^On the Pareto front of MaxVio and regret: (.*)\. Dominated, .*: (.*)\.$/m.exec(stdout)!;
    expect(losers.split(/, | and /)).toEqual(dominated.map(({ router }) => router));
    for (const { router } of points) expect(front.includes(`${router} (`)).not.toBe(losers.includes(router));
  });

  it("says that it ran once if the scenario asks for a sweep, and how to run that", async () => {
    const folder = temporaryFolder();
    const sweep = { sweep: { topK: [1, 2, 3], "routers.0.renormalize": [true, false] }, seeds: [4, 5] };
    const scenario = {
      ...{ name: "one", steps: 2, tokens: 8, experts: 4, seed: 9 },
      ...{ stream: { kind: "gaussian" }, routers: [{ kind: "topk" }] },
    };
    writeFileSync(path.join(folder, "my scenario.json"), JSON.stringify({ ...scenario, ...sweep }));
    writeFileSync(path.join(folder, "plain.json"), JSON.stringify(scenario));
    expect((await runInProcess(["run", "my scenario.json", "--out", "out"], folder)).stdout).toMatch(
      /^This is one run with seed 9\. The scenario's sweep and seeds ask for 12 cells: moesim sweep 'my scenario.json' runs them\.$/m,
    );
    expect((await runInProcess(["run", "plain.json", "--out", "out"], folder)).stdout).not.toContain("One run");
  });

  it("says which results it replaced, if there were any", async () => {
    const folder = temporaryFolder();
    const words = ["run", quickstart, "--set", "steps=1", "tokens=16", "--out", "out"];
    expect((await runInProcess(words, folder)).stdout).not.toContain("Replaced");
    const { end } = JSON.parse(readFileSync(path.join(folder, "out/run.json"), "utf8"));
    const time = `${end.slice(0, 10)} ${end.slice(11, 16)} UTC`;
    expect((await runInProcess(words, folder)).stdout).toContain(
      `\nReplaced there: the run of ${time} (quickstart, seed 1)\n`,
    );
    writeFileSync(path.join(folder, "out/run.json"), JSON.stringify({ versions: { moesim: "9\n" }, command: "run\n" }));
    expect((await runInProcess(words, folder)).stdout).toContain("\nReplaced there: the run\\u{a} (undefined)\n");
  });

  it.each(["SIGINT", "SIGTERM"] as const)(
    "leaves an earlier result as it was, and nothing else, when %s stops it",
    async (signal) => {
      const folder = temporaryFolder();
      await runInProcess(["run", quickstart, ...short, "--out", path.join(folder, "out")]);
      const before = readFileSync(path.join(folder, "out/summary.csv"), "utf8");
      const files = listFiles(folder);
      const process = startMoesim(
        ["run", quickstart, "--set", "steps=1000000", "--out", path.join(folder, "out")],
        folder,
      );
      const message = text(process.stderr!);
      // The partial folder appears once the run is under way.
      while (listFiles(folder).length === files.length) await setTimeout(20);
      const ended = once(process, "close");
      process.kill(signal);
      expect(await ended).toEqual([null, signal]);
      expect(await message).toMatch(
        /^moesim: interrupted after \d+ of 7000000 steps; nothing is saved\. Use --checkpoint-every N to be able to resume\n$/,
      );
      expect(listFiles(folder)).toEqual(files);
      expect(readFileSync(path.join(folder, "out/summary.csv"), "utf8")).toBe(before);
    },
  );
});

describe("moesim run, given something wrong,", () => {
  /** Runs a scenario that must be refused; returns the message. */
  async function refused(scenario: object | string, files: Record<string, Uint8Array> = {}): Promise<string> {
    const folder = temporaryFolder();
    const file = path.join(folder, "scenario.yaml");
    writeFileSync(file, typeof scenario === "string" ? scenario : JSON.stringify(scenario));
    for (const [name, bytes] of Object.entries(files)) writeFileSync(path.join(folder, name), bytes);
    const before = listFiles(folder);
    const { code, stdout, stderr } = await runInProcess(["run", "scenario.yaml", "--out", "out"], folder);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).not.toMatch(/^ {4}at /m);
    expect(listFiles(folder)).toEqual(before);
    return stderr;
  }
  const small = { name: "small", topK: 2, stream: { kind: "gaussian" }, routers: [{ kind: "topk" }] };
  const trace = (file: string) => ({ ...small, stream: { kind: "trace", path: file } });

  it("names an unknown key and the nearest known one", async () => {
    expect(await refused({ ...small, experts: 8, tokes: 5 })).toMatch(
      /scenario\.yaml: tokes: unknown key\. Did you mean "tokens"\?/,
    );
  });

  it("names K > E", async () => {
    expect(await refused({ ...small, experts: 8, topK: 9 })).toContain("topK: 9 is more than the 8 experts");
  });

  // −∞ disables an expert for a token.
  it.each([Number.NaN, Number.POSITIVE_INFINITY])("names step, token and expert of a logit %s", async (value) => {
    const values = new Array(2 * 3 * 4).fill(0.5);
    values[1 * 12 + 2 * 4 + 1] = value;
    expect(await refused(trace("bad.npy"), { "bad.npy": npyBytes([2, 3, 4], values) })).toMatch(
      /bad\.npy.*step 1, token 2.*expert 1.*finite/,
    );
  });

  it("names a file that is no .npy, and one cut off in its header", async () => {
    expect(await refused(trace("bad.npy"), { "bad.npy": Buffer.from("hello") })).toContain("bad.npy");
    expect(await refused(trace("bad.npy"), { "bad.npy": npyBytes([2, 2, 2], []).subarray(0, 40) })).toContain(
      "bad.npy",
    );
  });

  it("names a header that promises more than the file holds", async () => {
    const message = await refused(trace("bad.npy"), { "bad.npy": npyBytes([2, 2, 2], [1, 2, 3, 4]) });
    expect(message).toContain("bad.npy");
    // 8 float32 were promised and 4 are there.
    expect(message).toMatch(/32/);
    expect(message).toMatch(/16/);
  });

  it("names malformed .safetensors and .parquet files", async () => {
    for (const name of ["bad.safetensors", "bad.parquet"]) {
      for (const bytes of [Buffer.from("{}"), Buffer.alloc(64, 0xff), Buffer.alloc(0)]) {
        expect(await refused(trace(name), { [name]: bytes })).toContain(name);
      }
    }
  });

  it("names a type that logits cannot have", async () => {
    expect(
      await refused(trace("bad.npy"), {
        "bad.npy": npyBytes([2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], "<c8"),
      }),
    ).toMatch(/bad\.npy.*c8/);
  });

  it("refuses to route recorded choices anew", async () => {
    const message = await refused(trace(projectPath("scenarios/traces/made-loads.npy")));
    expect(message).toMatch(/holds recorded choices or loads, not logits/);
  });

  it("names an empty stream", async () => {
    expect(await refused(trace("empty.npy"), { "empty.npy": npyBytes([0, 4], []) })).toContain("empty.npy");
    expect(await refused(trace("empty.csv"), { "empty.csv": Buffer.from("a,b,c\n") })).toContain("empty.csv");
  });

  it("names an output folder that cannot be written", async () => {
    const folder = temporaryFolder();
    writeFileSync(path.join(folder, "file"), "");
    const { code, stderr } = await runInProcess(["run", quickstart, ...short, "--out", "file/out"], folder);
    expect(code).toBe(2);
    expect(stderr).toContain("file/out: cannot be written to");
    expect(listFiles(folder)).toEqual(["file"]);
  });

  it("overwrites nothing when a folder stands where a file should go", async () => {
    const folder = temporaryFolder();
    mkdirSync(path.join(folder, "out/summary.csv"), { recursive: true });
    writeFileSync(path.join(folder, "out/steps.csv"), "old");
    const before = listFiles(folder);
    const { code, stderr } = await runInProcess(["run", quickstart, ...short, "--out", "out"], folder);
    expect(code).toBe(2);
    expect(stderr).toContain("out/summary.csv: cannot be written to");
    expect(listFiles(folder)).toEqual(before);
    expect(readFileSync(path.join(folder, "out/steps.csv"), "utf8")).toBe("old");
  });

  it("names aliases that lead nowhere or too far", async () => {
    expect(await refused("seed: *nowhere")).toContain("Unresolved alias");
    const lists = ["a: &a [1,1,1,1,1,1,1,1,1,1]"];
    for (const [name, before] of ["ba", "cb", "dc", "ed"]) {
      lists.push(`${name}: &${name} [${new Array(10).fill(`*${before}`).join(", ")}]`);
    }
    expect(await refused(lists.join("\n"))).toContain("Excessive alias count");
  });

  it("names text that is no YAML, and a scenario that is no mapping", async () => {
    expect(await refused("name: [")).toContain("not valid YAML");
    expect(await refused("just text")).toContain("scenario.yaml");
    expect(await refused("")).toContain("scenario.yaml");
  });

  it("asks for labels where names would clash, and for steps that a file has", async () => {
    expect(await refused({ ...small, experts: 4, routers: [{ kind: "topk" }, { kind: "topk" }] })).toContain("label");
    const file = { "two.npy": npyBytes([2, 1, 2], [1, 2, 3, 4]) };
    expect(await refused({ ...trace("two.npy"), topK: 1, steps: 3 }, file)).toMatch(/2 steps.*3 are requested/);
  });

  it("says so for sizes that no memory holds", async () => {
    const huge = { ...small, experts: 65_536, tokens: 65_536, steps: 1 };
    expect(await refused(huge)).toMatch(/65536 tokens × 65536 experts/);
  });

  it.each([
    [["run"], /^moesim: run: missing <scenario>; usage: moesim run <scenario> /],
    [["run", quickstart, "--seed", "abc"], /^moesim: --seed: the value is not a number; give one$/m],
    [["run", quickstart, "--seed", "1", "--seed", "2"], /^moesim: --seed: given twice; give it once$/m],
    [
      ["run", quickstart, "--set", "tokens=2000000000", "routers=[{kind: topk}]"],
      /quickstart\.yaml: 2000000000 tokens × 32 experts for 1 router: .* GiB.* left\. Regret takes part of the memory; .*off\.$/m,
    ],
    [
      ["sweep", quickstart, "--set", "tokens=2000000000", "regret.every=0"],
      /quickstart\.yaml: 2000000000 tokens × 32 experts for 7 routers: .* left\.$/m,
    ],
    [["run", quickstart, "--wokers", "2"], /wokers/],
    [["run", quickstart, "--workers", "0"], /workers/],
    [["run", quickstart, "--seed", "x"], /seed/],
    [["run", quickstart, "--set", "tokens"], /path=value/],
    [["run", quickstart, "--set", "__proto__.x=1"], /"__proto__" is not a field/],
    [["run", quickstart, "--set", "routers.topk.__proto__.x=1"], /"__proto__" is not a field/],
    [["run", quickstart, "--set", "constructor.x=1"], /constructor: unknown key/],
    [["run", quickstart, "--out", "/dev/null/x"], /cannot be written to/],
    [["run", quickstart, "--backend", "cuda"], /auto/],
    [["rum", quickstart], /unknown command "rum"\. Did you mean run/],
    [[], /command/],
  ])("refuses the words %j", async (words, message) => {
    const folder = temporaryFolder();
    const { code, stderr } = await runInProcess(words, folder);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(existsSync(path.join(folder, "results"))).toBe(false);
  });

  it("shows a stack trace only when asked for", () => {
    expect(moesim(["run", "nowhere.yaml"]).stderr).not.toMatch(/^ {4}at /m);
    expect(moesim(["run", "nowhere.yaml", "--verbose"]).stderr).toMatch(/^ {4}at /m);
  });
});
