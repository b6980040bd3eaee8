import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { range, sum } from "d3-array";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { dealByCost } from "../../src/core/simulation/sharing.ts";
import { npyBytes } from "../support/npy.ts";
import { projectPath, temporaryFolder } from "../support/program.ts";
import { bytesOfResults } from "../support/result-bytes.ts";
import { runInProcess } from "../support/run-in-process.ts";

const scenario = {
  name: "grid",
  steps: 4,
  tokens: 16,
  experts: 8,
  stream: { kind: "clusters" },
  routers: [{ kind: "topk" }, { kind: "alf-lb" }],
  // Cells of very different cost, and some of several layers.
  sweep: { steps: [2, 9], stream: [{ kind: "clusters" }, { kind: "gaussian", layers: 2 }], topK: [1, 2] },
  seeds: [1, 2],
};

let made: string;

/** Runs moesim in `folder`. */
const inFolder = (folder: string, ...words: string[]) => runInProcess([...words, "--quiet"], folder);

beforeAll(async () => {
  made = temporaryFolder();
  writeFileSync(path.join(made, "grid.json"), JSON.stringify(scenario));
  for (const words of [
    ["--out", "whole"],
    ["--shard", "1/3"],
    ["--shard", "2/3"],
    ["--shard", "3/3"],
  ]) {
    expect(await inFolder(made, "sweep", "grid.json", ...words)).toMatchObject({ code: 0, stderr: "" });
  }
});

const shards = range(1, 4).map((index) => `results/grid-${index}-of-3`);

/** A copy of the folder with a whole sweep and its three shards. */
function copy(): string {
  const folder = temporaryFolder();
  cpSync(made, folder, { recursive: true });
  return folder;
}

const cellsOf = (folder: string) => readdirSync(path.join(folder, "cells")).map(Number);

describe("sweep --shard", () => {
  it("runs every cell in exactly one shard", () => {
    const all = shards.flatMap((shard) => cellsOf(path.join(made, shard)));
    expect(all.sort((a, b) => a - b)).toEqual(range(16));
  });

  it("deals each shard about as much work, always in the same way", () => {
    const costs = fc.array(fc.integer({ min: 0, max: 1000 }), { maxLength: 30 });
    fc.assert(
      fc.property(costs, fc.integer({ min: 1, max: 8 }), (costs, groups) => {
        const dealt = dealByCost(costs, groups);
        expect(dealt.flat().sort((a, b) => a - b)).toEqual(range(costs.length));
        const loads = dealt.map((group) => sum(group, (position) => costs[position]));
        // Graham 1969: the last position to be dealt to the fullest group found it the least full.
        const fullest = dealt[loads.indexOf(Math.max(...loads))];
        const smallest = Math.min(...fullest.map((position) => costs[position]), Number.POSITIVE_INFINITY);
        if (fullest.length > 0) expect(Math.max(...loads) - smallest).toBeLessThanOrEqual(sum(costs) / groups);
        expect(dealByCost(costs, groups)).toEqual(dealt);
      }),
    );
    expect(dealByCost([7, 6, 5, 4, 3], 2)).toEqual([
      [0, 3, 4],
      [1, 2],
    ]);
    expect(dealByCost([0, 0, 0, 0], 2)).toEqual([
      [0, 2],
      [1, 3],
    ]);
  });

  it("runs again with --resume only what is missing, and the cells of no other shard", async () => {
    const folder = copy();
    const [first] = shards.map((shard) => path.join(folder, shard));
    const [lost, kept] = cellsOf(first);
    const record = path.join(first, `cells/${kept}/run.json`);
    const before = readFileSync(record, "utf8");
    rmSync(path.join(first, `cells/${lost}/steps.csv`));
    expect(await inFolder(folder, "sweep", "grid.json", "--shard", "1/3", "--resume")).toMatchObject({ code: 0 });
    expect(readFileSync(record, "utf8")).toBe(before);
    expect(await inFolder(folder, "merge", ...shards, "--out", "merged")).toMatchObject({ code: 0, stderr: "" });
    expect(bytesOfResults(path.join(folder, "merged"))).toEqual(bytesOfResults(path.join(folder, "whole")));
  });

  it("replaces another shard or a whole sweep in its folder", async () => {
    const folder = copy();
    const words = ["sweep", "grid.json", "--shard", "2/3", "--out"];
    for (const out of ["whole", shards[0]]) {
      expect(await inFolder(folder, ...words, out)).toMatchObject({ code: 0, stderr: "" });
      expect(readdirSync(path.join(folder, out)).sort()).toEqual(["cells", "shard.json"]);
      expect(cellsOf(path.join(folder, out))).toEqual(cellsOf(path.join(folder, shards[1])));
    }
    expect(await inFolder(folder, "sweep", "grid.json", "--out", shards[0])).toMatchObject({ code: 0 });
    expect(bytesOfResults(path.join(folder, shards[0]))).toEqual(bytesOfResults(path.join(made, "whole")));
  });

  it("succeeds without cells if there are more shards than cells", async () => {
    const folder = copy();
    const words = ["--set", "seeds=[1]", "sweep={}", "--shard"];
    for (const shard of ["1/2", "2/2"]) {
      expect(await inFolder(folder, "sweep", "grid.json", ...words, shard)).toMatchObject({ code: 0, stderr: "" });
    }
    const both = ["results/grid-1-of-2", "results/grid-2-of-2"];
    expect(await inFolder(folder, "merge", ...both)).toMatchObject({ code: 0, stderr: "" });
    expect(cellsOf(path.join(folder, "results/grid"))).toEqual([0]);
  });

  it.each([
    ["0/3", "--shard 0/3: shards count from 1; the first is 1/3"],
    ["4/3", "--shard 4/3: there are 3 shards; the last is 3/3"],
    ["1/0", "--shard 1/0: 0 shards are not allowed; there can be 1 to 1000000"],
    ["2", '--shard: "2" is not allowed; give i/n, the i-th of n shards, counted from 1: 1/8 to 8/8'],
    ["-1/3", '--shard: "-1/3" is not allowed; give i/n, the i-th of n shards, counted from 1: 1/8 to 8/8'],
  ])("refuses %s", async (shard, message) => {
    expect(await inFolder(made, "sweep", "grid.json", `--shard=${shard}`)).toEqual({
      code: 2,
      stdout: "",
      stderr: `moesim: ${message}\n`,
    });
  });
});

describe("merge", () => {
  it("makes the bytes of a sweep on one machine, and prints the same, whatever the order of the shards", async () => {
    const folder = copy();
    const words = ["merge", ...shards.toReversed(), "--out", "merged"];
    const merged = await runInProcess(words, folder);
    expect(merged).toMatchObject({ code: 0, stderr: "" });
    expect(bytesOfResults(path.join(folder, "merged"))).toEqual(bytesOfResults(path.join(folder, "whole")));
    const resumed = await runInProcess(["sweep", "grid.json", "--out", "merged", "--resume"], folder);
    expect(resumed.stdout).toBe(merged.stdout);
    const [{ end }, { end: before }] = ["merged", shards[0]].map((place) =>
      JSON.parse(
        readFileSync(path.join(folder, place, `cells/${cellsOf(path.join(folder, shards[0]))[0]}/run.json`), "utf8"),
      ),
    );
    expect(end).toBe(before);
  });

  it("takes shards of different divisions that hold every cell once", async () => {
    const folder = copy();
    const record = (shard: string) => path.join(folder, shard, "shard.json");
    const half = JSON.parse(readFileSync(record(shards[0]), "utf8"));
    const [one, ...others] = half.cells;
    writeFileSync(record(shards[0]), JSON.stringify({ ...half, cells: [one] }));
    mkdirSync(path.join(folder, "rest"));
    cpSync(path.join(folder, shards[0], "cells"), path.join(folder, "rest/cells"), { recursive: true });
    writeFileSync(record("rest"), JSON.stringify({ ...half, cells: others }));
    expect(await inFolder(folder, "merge", "rest", ...shards, "--out", "merged")).toMatchObject({ code: 0 });
    expect(bytesOfResults(path.join(folder, "merged"))).toEqual(bytesOfResults(path.join(folder, "whole")));
  });

  /** Spoils the shards in `folder` and returns which ones to merge. */
  type Spoil = (folder: string) => Promise<readonly string[]> | readonly string[];
  const record = (folder: string, shard: string) => path.join(folder, shard, "shard.json");
  const change = (folder: string, edit: (record: Record<string, unknown>) => object) => {
    const file = record(folder, shards[2]);
    writeFileSync(file, JSON.stringify(edit(JSON.parse(readFileSync(file, "utf8")))));
    return shards;
  };
  const sweepAgain = (...set: string[]): Spoil => {
    return async (folder) => {
      await inFolder(folder, "sweep", "grid.json", "--set", ...set, "--shard", "3/3", "--out", "other");
      return [...shards.slice(0, 2), "other"];
    };
  };

  it.each<[string, Spoil, RegExp]>([
    [
      "a missing shard",
      () => shards.slice(0, 2),
      /^\d cells of 16 are missing; give the folder of shard 3\/3 too\n {2}cell/,
    ],
    ["a shard that is named twice", () => [...shards, `${shards[0]}/`], /^results\/grid-1-of-3\/: is named twice/],
    [
      "a shard that comes twice",
      (folder) => {
        cpSync(path.join(folder, shards[0]), path.join(folder, "twice"), { recursive: true });
        return [...shards, "twice"];
      },
      /^cell \d+ \(steps = \d, stream = \{"kind":"\w+".*\}, topK = \d, seed \d\) is both in results\/grid-1-of-3 and in twice/,
    ],
    ["other seeds", sweepAgain("seeds=[1,3]"), /^other: is a shard of another sweep .*; what differs: seeds$/],
    ["another scenario", sweepAgain("capacityFactor=2"), /^other: is a shard .*; what differs: capacityFactor$/],
    [
      "another version",
      (folder) => change(folder, (all) => ({ ...all, versions: { moesim: "0.0.1" } })),
      /^results\/grid-3-of-3: is of moesim 0\.0\.1, and results\/grid-1-of-3 of \d/,
    ],
    ["whole results", () => ["whole", ...shards], /^whole: holds whole results, not a shard: it has no shard\.json/],
    ["nothing", () => [...shards, "nowhere"], /^nowhere: there is no such folder$/],
    [
      "a record that is not JSON",
      (folder) => {
        writeFileSync(record(folder, shards[1]), "{");
        return shards;
      },
      /^results\/grid-2-of-3\/shard\.json: is not JSON$/,
    ],
    [
      "a record of the wrong shape",
      (folder) => change(folder, (all) => ({ ...all, cells: [{ cell: -1 }] })),
      /shard\.json: is not as sweep --shard writes it: cells\[0\]/,
    ],
    [
      "a cell that the sweep lacks",
      (folder) => change(folder, (all) => ({ ...all, cells: [{ cell: 16, sha256: "0".repeat(64) }] })),
      /^results\/grid-3-of-3: holds cell 16, which the sweep lacks$/,
    ],
    ...["steps.csv", "run.json"].map((name): [string, Spoil, RegExp] => [
      `a changed ${name}`,
      (folder) => {
        appendFileSync(
          path.join(folder, shards[1], "cells", String(cellsOf(path.join(folder, shards[1]))[0]), name),
          " ",
        );
        return shards;
      },
      new RegExp(`^results/grid-2-of-3/cells/\\d+/${name}: is missing, or was changed after its shard was finished`),
    ]),
    [
      "a removed file",
      (folder) => {
        rmSync(path.join(folder, shards[1], "cells", String(cellsOf(path.join(folder, shards[1]))[0]), "loads.csv"));
        return shards;
      },
      /loads\.csv: is missing, or was changed/,
    ],
  ])("refuses %s, and leaves the output as it was", async (_, spoil, message) => {
    const folder = copy();
    const folders = await spoil(folder);
    const before = bytesOfResults(path.join(folder, "whole"));
    const { code, stdout, stderr } = await inFolder(folder, "merge", ...folders, "--out", "whole/new");
    expect(stderr.replace("moesim: ", "").trimEnd()).toMatch(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(existsSync(path.join(folder, "whole/new"))).toBe(false);
    expect(bytesOfResults(path.join(folder, "whole"))).toEqual(before);
  });

  it("refuses to write into one of the shards", async () => {
    const folder = copy();
    expect(await inFolder(folder, "merge", ...shards, "--out", shards[1])).toMatchObject({
      code: 2,
      stderr: `moesim: --out ${shards[1]}: is one of the shards; choose another folder\n`,
    });
  });

  it("refuses shards of recorded data that differs, though its sizes are the same", async () => {
    const folder = temporaryFolder();
    const recorded = {
      name: "r",
      topK: 1,
      stream: { kind: "trace", path: "r.npy" },
      routers: [{ kind: "topk" }],
      seeds: [1, 2],
    };
    writeFileSync(path.join(folder, "r.json"), JSON.stringify(recorded));
    for (const index of [1, 2]) {
      const values = Array.from({ length: 64 }, (_, place) => Math.sin(index * place));
      writeFileSync(path.join(folder, "r.npy"), npyBytes([2, 8, 4], values));
      expect(await inFolder(folder, "sweep", "r.json", "--shard", `${index}/2`)).toMatchObject({ code: 0 });
    }
    expect(await inFolder(folder, "merge", "results/r-1-of-2", "results/r-2-of-2")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/is a shard of another sweep .*; what differs: the recorded data\n$/),
    });
  });

  it("is what other commands ask for when they are given a shard", async () => {
    expect((await inFolder(made, "report", shards[0])).stderr).toMatch(
      /holds one shard of a sweep; moesim merge makes/,
    );
  });
});

describe("the recipes of docs/many-machines.md", () => {
  /** A folder with a `moesim` that prints its arguments. */
  function folderWithEcho(): string {
    const folder = temporaryFolder();
    writeFileSync(path.join(folder, "moesim"), '#!/bin/sh\necho "$@"\n', { mode: 0o755 });
    return folder;
  }
  const example = (name: string) => projectPath("docs/examples", name);

  /** What `words` print with that `moesim`. */
  function printed(words: readonly [string, ...string[]], environment: Record<string, string>): string {
    const folder = folderWithEcho();
    const env = { ...process.env, PATH: `${folder}:${process.env.PATH}`, ...environment };
    const [program, ...others] = words;
    const { stdout, stderr } = spawnSync(program, others, { cwd: folder, env, encoding: "utf8" });
    expect(stderr).toBe("");
    return stdout.trim();
  }

  it("run every shard once in a Slurm array", () => {
    const count = /--array=1-(\d+)/.exec(readFileSync(example("sweep.slurm"), "utf8"))![1];
    const commands = range(1, Number(count) + 1).map((task) =>
      printed(["sh", example("sweep.slurm"), "grid.json"], {
        SLURM_ARRAY_TASK_ID: `${task}`,
        SLURM_ARRAY_TASK_COUNT: count,
      }),
    );
    expect(commands).toEqual(range(1, 5).map((task) => `sweep grid.json --shard ${task}/4 --resume --quiet`));
    expect(readFileSync(example("merge.slurm"), "utf8")).toContain(`-*-of-${count} `);
  });

  it("run every shard once in an indexed job of Kubernetes", () => {
    const job = parse(readFileSync(example("sweep-job.yaml"), "utf8"));
    expect(job).toMatchObject({ apiVersion: "batch/v1", kind: "Job", metadata: { name: "sweep" } });
    const { completionMode, completions, parallelism, backoffLimitPerIndex, template } = job.spec;
    expect({ completionMode, completions, parallelism }).toEqual({
      completionMode: "Indexed",
      completions: 4,
      parallelism: 4,
    });
    // A limit per index is allowed only if pods are not restarted in place.
    expect([backoffLimitPerIndex, template.spec.restartPolicy]).toEqual([5, "Never"]);
    const [{ command, args, volumeMounts }] = template.spec.containers;
    expect(template.spec.volumes.map(({ name }: { name: string }) => name)).toEqual(
      volumeMounts.map(({ name }: { name: string }) => name),
    );
    const commands = range(completions).map((index) =>
      printed([...command, ...args] as [string, ...string[]], { JOB_COMPLETION_INDEX: `${index}` }),
    );
    expect(commands).toEqual(range(1, 5).map((shard) => `sweep bias-rate.yaml --shard ${shard}/4 --resume`));
  });
});
