import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { listFiles, moesim, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const scenario = {
  name: "grid",
  steps: 2,
  tokens: 8,
  experts: 8,
  stream: { kind: "clusters" },
  routers: [{ kind: "topk" }, { kind: "alf-lb" }],
  sweep: { "routers.alf-lb.updateRate": [0.01, 0.1], topK: [1, 2, 3] },
  seeds: [1, 2],
};

function folderWith(changes: object): string {
  const folder = temporaryFolder();
  writeFileSync(path.join(folder, "grid.json"), JSON.stringify({ ...scenario, ...changes }));
  return folder;
}

/** What is wrong whatever the values are, which `run` refuses, too. */
const wrongKeys: [object, RegExp][] = [
  [{ sweep: { topKK: [1, 2] } }, /^moesim: grid\.json: sweep\.topKK: unknown key\. Did you mean "topK"\?/],
  [{ sweep: { "stream.skw": [1] } }, /grid\.json: sweep\.stream\.skw: unknown key\./],
  [{ sweep: { "routers.alf-lb.updateRat": [0.1] } }, /sweep\.routers\[1\]\.updateRat: .* mean "updateRate"\?/],
  [{ sweep: { "routers.alflb.updateRate": [0.1] } }, /sweep\.routers\.alflb\.updateRate: .* mean "alf-lb"\?/],
  [{ sweep: { "routers.nope.x": [1] } }, /grid\.json: sweep\.routers\.nope\.x: no entry "nope"\..* Allowed: /],
  [{ sweep: { "topK.x": [1] }, topK: 2 }, /sweep\.topK\.x: topK is a single value and has no fields to set/],
  [{ sweep: { topK: [1, 1] } }, /sweep\.topK: 1 is listed twice/],
  [{ sweep: { name: ["a", "b"] } }, /name cannot be swept/],
  [{ sweep: { seed: [1, 2] } }, /sweep\.seed: list the seeds of a sweep under/],
  [{ seeds: [1, 1] }, /seeds: 1 is listed twice/],
];

/** What is wrong in a cell. */
const wrongCells: [object, RegExp][] = [
  [{ sweep: { topK: [2, 9] } }, /grid\.json: sweep: the cell topK = 9: topK: 9 is more than the 8 experts/],
  [{ sweep: { experts: [4, 8], topK: [2, 6] } }, /the cell experts = 4, topK = 6: topK: 6 is more than the 4 experts/],
  [{ sweep: { "routers.alf-lb.updateRate": [0.1, "fast"] } }, /updateRate = "fast": routers\[1\]\.updateRate: "fast"/],
];

describe("moesim validate, of a scenario that is swept,", () => {
  it("counts the cells", () => {
    const folder = folderWith({});
    expect(moesim(["validate", "grid.json"], folder)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^grid\.json is valid, 12 cells: grid, clusters stream/),
    });
    expect(JSON.parse(moesim(["validate", "grid.json", "--json"], folder).stdout)).toMatchObject({ cells: 12 });
  });

  it("counts none where nothing is swept", async () => {
    const file = path.join(folderWith({ sweep: undefined, seeds: undefined }), "grid.json");
    expect((await runInProcess(["validate", file])).stdout).toContain("is valid: grid");
    expect(JSON.parse((await runInProcess(["validate", file, "--json"])).stdout).cells).toBe(1);
  });

  it.each([...wrongKeys, ...wrongCells])("refuses %j", async (changes, message) => {
    const { code, stdout, stderr } = await runInProcess(["validate", "grid.json"], folderWith(changes));
    expect(stderr).toMatch(message);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  it("refuses more cells than sweep would run, and as many as --max-cells", async () => {
    const many = Array.from({ length: 1001 }, (_, seed) => seed);
    const file = path.join(folderWith({ sweep: undefined, seeds: many }), "grid.json");
    expect(await runInProcess(["validate", file])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("1001 cells (1001 seeds) are more than --max-cells 1000 allows"),
    });
    expect(await runInProcess(["validate", file, "--max-cells", "1001"])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("is valid, 1001 cells"),
    });
  });
});

describe("moesim run, of a scenario that is swept,", () => {
  it.each(wrongKeys)("refuses %j and writes nothing", async (changes, message) => {
    const folder = folderWith(changes);
    const { code, stderr } = await runInProcess(["run", "grid.json"], folder);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
    expect(listFiles(folder)).toEqual(["grid.json"]);
  });

  it.each([
    ["cells that are refused", { sweep: { topK: [2, 9] } }, []],
    ["a change that takes away what is swept", {}, ["--set", "routers=[{kind: topk}]"]],
    ["a change that no cell would bear", { sweep: { topK: [8] } }, ["--set", "experts=4"]],
  ])("does not mind %s", async (_, changes, more) => {
    const folder = folderWith(changes);
    const words = ["run", path.join(folder, "grid.json"), "--out", path.join(folder, "out"), "--quiet", ...more];
    expect(await runInProcess(words)).toEqual({ code: 0, stdout: "", stderr: "" });
  });
});
