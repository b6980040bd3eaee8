import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const folder = temporaryFolder();
const read = (...parts: string[]) => readFileSync(path.join(folder, ...parts), "utf8");
const write = (name: string, text: string) => writeFileSync(path.join(folder, name), text);

beforeAll(async () => {
  mkdirSync(path.join(folder, "mine"));
  write("mine/logits.csv", "0.1,0.2,0.3\n0.4,0.3,0.1\n0.2,0.9,0.5\n0.8,0.1,0.2\n");
  // The logits are found from the scenario's folder alone, which is neither that of the record nor the working directory.
  write(
    "mine/small.yaml",
    `name: small
seed: 3
topK: 1
stream: { kind: trace, path: logits.csv, batchTokens: 2 }
routers: [{ kind: noisy-topk, label: noisy }, { kind: ssr, select: { mode: every, n: 2 } }]
seeds: [5, 6]
`,
  );
  await runInProcess(
    ["run", "mine/small.yaml", "--quiet", "--set", "routers.noisy.noiseScale=0.5", "--out", "first"],
    folder,
  );
  await runInProcess(["sweep", "mine/small.yaml", "--quiet", "--out", "swept"], folder);
});

describe("moesim run, of the record that a run wrote,", () => {
  it.each([
    ["a run", "first", "second"],
    ["a run of a record", "second", "third"],
    ["a cell of a sweep", "swept/cells/1", "fourth"],
  ])("repeats %s to the byte", async (_, from, to) => {
    const { code, stderr } = await runInProcess(["run", `${from}/run.json`, "--quiet", "--out", to], folder);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    for (const name of ["summary.csv", "steps.csv", "loads.csv", "diagnostics.csv"]) {
      expect(read(to, name)).toBe(read(from, name));
    }
    const [before, after] = [from, to].map((each) => JSON.parse(read(each, "run.json")));
    expect(after).toMatchObject({ scenario: before.scenario, scenarioFile: "mine/small.yaml", input: before.input });
  });

  it("takes changes to it", async () => {
    const words = ["run", "first/run.json", "--seed", "9", "--set", "routers.ssr.select.n=1", "--out", "changed"];
    expect((await runInProcess(words, folder)).code).toBe(0);
    const { seed, scenario } = JSON.parse(read("changed/run.json"));
    expect(seed).toBe(9);
    expect(scenario.routers[1].select).toEqual({ mode: "every", n: 1 });
  });

  it("says that the record of measure has no scenario", async () => {
    write("loads.csv", "1,3\n2,2\n");
    expect(
      (await runInProcess(["measure", "--loads", "loads.csv", "--experts", "2", "--out", "measured"], folder)).code,
    ).toBe(0);
    expect(await runInProcess(["run", "measured/run.json"], folder)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /^moesim: measured\/run\.json: this is the record of "measure", which has no scenario/,
      ),
    });
  });

  it("names the record where what is in it cannot be run", async () => {
    write("broken.json", JSON.stringify({ ...JSON.parse(read("first/run.json")), scenario: { name: "x", top: 1 } }));
    const { code, stderr } = await runInProcess(["run", "broken.json"], folder);
    expect(stderr).toMatch(/^moesim: broken\.json: \d problems/);
    expect(code).toBe(2);
  });
});
