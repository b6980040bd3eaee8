import { createHash } from "node:crypto";
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { listFiles, moesim, projectPath, readCsv, temporaryFolder } from "../support/program.ts";

const template = projectPath("docs/examples/my-plugin.mjs");
const deterministicFiles = ["summary.csv", "steps.csv", "loads.csv", "diagnostics.csv"];
const scenario = {
  name: "own",
  requires: ["busy-penalty", "largest_share"],
  seed: 5,
  steps: 40,
  tokens: 64,
  experts: 16,
  topK: 2,
  stream: { kind: "clusters" },
  routers: [{ kind: "topk" }, { kind: "busy-penalty" }, { kind: "busy-penalty", label: "strong", penalty: 0.5 }],
};

/** A folder of its own, outside the repository and without node_modules: the template, and a scenario that needs it. */
let folder: string;
beforeAll(() => {
  folder = temporaryFolder();
  copyFileSync(template, path.join(folder, "my-plugin.mjs"));
  writeFileSync(path.join(folder, "own.json"), JSON.stringify(scenario));
  expect(run("--out", "one")).toMatchObject({ code: 0, stderr: "" });
});

function run(...words: string[]) {
  return moesim(["run", "own.json", "--plugin", "my-plugin.mjs", "--quiet", ...words], folder);
}

function expectSameBytes(results: string, expected: string): void {
  for (const file of deterministicFiles) {
    const [found, wanted] = [results, expected].map((one) => readFileSync(path.join(folder, one, file), "utf8"));
    expect(found, file).toBe(wanted);
  }
}

describe("the template of a plugin", () => {
  it("routes by its rule, and its metric is that of the loads", () => {
    const rows = readCsv(path.join(folder, "one/steps.csv"));
    const loads = readCsv(path.join(folder, "one/loads.csv"));
    expect(rows).toHaveLength(3 * scenario.steps);
    for (const { router, step, largest_share: share } of rows) {
      const of = loads.filter((row) => row.router === router && row.step === step).map(({ load }) => Number(load));
      expect(Number(share)).toBe(Math.max(...of) / 128);
    }
    const summary = readCsv(path.join(folder, "one/summary.csv"));
    const balance = summary.map((row) => Number(row.max_vio_global));
    // Busy experts lose, so that over the run both routers balance better than plain top-k.
    expect(balance[1]).toBeLessThan(balance[0]);
    expect(balance[2]).toBeLessThan(balance[1]);
    for (const [index, { largest_share_mean: mean, dual_regret_cumulative: dual }] of summary.entries()) {
      const own = rows.filter(({ router }) => router === summary[index].router);
      const total = own.reduce((sum, row) => sum + Number(row.largest_share), 0);
      expect(Number(mean)).toBeCloseTo(total / scenario.steps, 12);
      expect(dual === "").toBe(index === 0);
    }
  });

  it("gives the same bytes on several threads", () => {
    for (const workers of ["2", "5"]) {
      expect(run("--workers", workers, "--out", `by-${workers}`)).toMatchObject({ code: 0, stderr: "" });
      expectSameBytes(`by-${workers}`, "one");
    }
  });

  it("is recorded by name, digest and contents, from which the run is repeated", () => {
    const { plugins, scenario: recorded } = JSON.parse(readFileSync(path.join(folder, "one/run.json"), "utf8"));
    const sha256 = createHash("sha256").update(readFileSync(template)).digest("hex");
    expect(plugins).toEqual([
      {
        file: "my-plugin.mjs",
        sha256,
        routers: ["busy-penalty"],
        streams: [],
        metrics: ["largest_share"],
        columns: ["largest_share_mean"],
      },
    ]);
    expect(recorded.requires).toEqual(scenario.requires);
    const again = ["run", "one/run.json", "--plugin=my-plugin.mjs", "--out", "again", "--quiet"];
    expect(moesim(again, folder)).toMatchObject({ code: 0, stderr: "" });
    expectSameBytes("again", "one");
  });

  it("is shown on a page, with or without the plugin, and its metric is drawn", () => {
    for (const words of [[], ["--plugin", "my-plugin.mjs"]]) {
      const report = ["report", "one", "--metric", "largest_share", "--svg", "pictures", "--json", ...words];
      const { code, stdout, stderr } = moesim(report, folder);
      expect([code, stderr]).toEqual([0, ""]);
      const { pictures } = JSON.parse(stdout);
      const drawn = pictures.find(({ id }: { id: string }) => id === "largest-share");
      expect(drawn.finding).toContain("busy-penalty");
      const page = readFileSync(path.join(folder, "one/report.html"), "utf8");
      expect(page.includes("my-plugin.mjs (SHA-256 ")).toBe(true);
      const isShown = page.replace(/<\/?span>/g, "").includes("moesim run one/run.json --plugin my-plugin.mjs");
      expect(isShown).toBe(true);
      expect(page.includes("Swept:")).toBe(false);
      expect(page.includes("largest share, mean")).toBe(words.length > 0);
    }
    expect(existsSync(path.join(folder, "pictures/largest-share.svg"))).toBe(true);
  });

  it("is listed, in the schema, and routes a file, like moesim's own", () => {
    const listed = moesim(["list", "routers", "--json", "--plugin", "my-plugin.mjs"], folder);
    const kinds = JSON.parse(listed.stdout);
    expect(kinds.at(-1)).toMatchObject({ kind: "busy-penalty", source: "this file" });
    expect(kinds.at(-1).parameters.map(({ name }: { name: string }) => name)).toEqual(["penalty", "memory"]);
    expect(moesim(["list", "metrics", "--plugin", "my-plugin.mjs"], folder).stdout).toContain("largest share");
    const schema = JSON.parse(moesim(["schema", "--plugin", "my-plugin.mjs"], folder).stdout);
    const branches: { properties: { kind: { const: string }; penalty?: object } }[] =
      schema.properties.routers.items.oneOf;
    expect(branches.at(-1)!.properties).toMatchObject({
      kind: { const: "busy-penalty" },
      penalty: { type: "number", minimum: 0, default: 0.1 },
    });
    expect(moesim(["validate", "own.json", "--plugin", "my-plugin.mjs"], folder).stdout).toContain("is valid");
    expect(moesim(["export", "own.json", "--plugin", "my-plugin.mjs", "--out", "z.npy", "--quiet"], folder).code).toBe(
      0,
    );
    const route = ["route", "--router", "busy-penalty", "--logits", "z.npy", "--top-k", "2", "--out", "chosen.csv"];
    const routed = moesim([...route, "--param", "penalty=0.5", "--plugin", "my-plugin.mjs", "--quiet"], folder);
    expect(routed).toEqual({ code: 0, stdout: "", stderr: "" });
    // The routes of the run, whose loads were those of the router `strong`.
    const loads = readCsv(path.join(folder, "one/loads.csv")).filter(({ router }) => router === "strong");
    const chosen = readCsv(path.join(folder, "chosen.csv"));
    for (const { step, expert, load } of loads) {
      expect(chosen.filter((row) => row.step === step && row.expert === expert)).toHaveLength(Number(load));
    }
    expect(moesim(route, folder)).toMatchObject({ code: 2, stdout: "" });
  });

  it("is swept on several threads, with its options and metric, and a finished cell is taken as it is", () => {
    const swept = { ...scenario, routers: [{ kind: "busy-penalty" }], steps: 10, seeds: [1, 2] };
    writeFileSync(
      path.join(folder, "swept.json"),
      JSON.stringify({ ...swept, sweep: { "routers.busy-penalty.penalty": [0.05, 0.2] } }),
    );
    const words = ["sweep", "swept.json", "--plugin", "my-plugin.mjs", "--quiet"];
    expect(moesim([...words, "--out", "sweep-1"], folder)).toMatchObject({ code: 0, stderr: "" });
    expect(moesim([...words, "--out", "sweep-2", "--workers", "2"], folder)).toMatchObject({ code: 0, stderr: "" });
    for (const file of ["summary.csv", "intervals.csv"]) {
      const [one, two] = ["sweep-1", "sweep-2"].map((name) => readFileSync(path.join(folder, name, file), "utf8"));
      expect(two).toBe(one);
      expect(one.split("\n")[0]).toContain("largest_share_mean");
    }
    const { rerun } = JSON.parse(readFileSync(path.join(folder, "sweep-1/cells/0/run.json"), "utf8"));
    expect(rerun.slice(0, 5)).toEqual(["moesim", "run", "swept.json", "--plugin", "my-plugin.mjs"]);
    const before = readFileSync(path.join(folder, "sweep-1/cells/0/run.json"), "utf8");
    expect(moesim([...words, "--out", "sweep-1", "--resume"], folder)).toMatchObject({ code: 0, stderr: "" });
    expect(readFileSync(path.join(folder, "sweep-1/cells/0/run.json"), "utf8")).toBe(before);
    const page = moesim(["report", "sweep-1"], folder);
    expect([page.code, page.stderr]).toEqual([0, ""]);
    const text = readFileSync(path.join(folder, "sweep-1/report.html"), "utf8");
    expect(text.includes("Swept: largest_share_mean")).toBe(false);
  });

  it("lets check judge its metric, which needs the plugin", () => {
    const check = ["check", "one", "--baseline", "again"];
    expect(moesim([...check, "--fail-on", "different", "--plugin", "my-plugin.mjs"], folder).code).toBe(0);
    const { code, stderr } = moesim(check, folder);
    expect(code).toBe(2);
    expect(stderr).toContain("largest_share_mean is a metric of a plugin; give the plugin with --plugin FILE.mjs");
    expect(moesim(["compare", "one", "again"], folder).code).toBe(0);
  });

  it("is what the page about plugins shows", () => {
    expect(readFileSync(projectPath("docs/own-routers.md"), "utf8")).toContain(
      `\`\`\`js\n${readFileSync(template, "utf8")}\`\`\``,
    );
  });
});

describe("--plugin", () => {
  /** A plugin whose router throws on step 30 while a file `broken` is beside it. */
  const failing = (comment: string) => `// ${comment}
import { existsSync } from "node:fs";
import { defineRouter, z } from "moesim/plugin";
let steps = 0;
const kind = defineRouter({
  kind: "failing", summary: "fails", source: "a test", options: z.object({}),
  create: ({ shape: { tokens, topK } }) => ({
    route(batch) {
      if (batch.step === 30 && existsSync(new URL("broken", import.meta.url))) throw new Error("out of luck");
      steps += 1;
      const expert = new Int32Array(tokens * topK).map((_, pair) => pair % topK);
      return { assignment: { slots: topK, expert, gate: new Float32Array(expert.length).fill(1 / topK) } };
    },
    state: () => ({ steps }),
    restore: (state) => { steps = state.steps; },
  }),
});
export default { routers: [kind] };
`;

  it("is resumed with the same file alone", () => {
    const own = temporaryFolder();
    const write = (name: string, text: string) => writeFileSync(path.join(own, name), text);
    write("failing.mjs", failing("first"));
    write("own.json", JSON.stringify({ ...scenario, requires: ["failing"], routers: [{ kind: "failing" }] }));
    write("broken", "");
    const words = ["run", "own.json", "--plugin", "failing.mjs", "--quiet", "--out", "out"];
    const failed = moesim([...words, "--checkpoint-every", "10"], own);
    expect(failed).toMatchObject({ code: 2, stdout: "" });
    expect(failed.stderr).toContain('own.json: failing.mjs: router "failing": step 30: out of luck');
    expect(failed.stderr).not.toContain("    at ");
    const shown = moesim([...words, "--verbose"], own);
    expect(shown.stderr).toMatch(/caused by Error: out of luck\n +at .*failing\.mjs:9/);
    const stopped = moesim([...words, "--checkpoint-every", "10", "--workers", "2"], own);
    expect(stopped.stderr).toContain('failing.mjs: router "failing": step 30: out of luck');

    write("failing.mjs", failing("second"));
    const refused = moesim([...words, "--resume"], own);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("the checkpoint there is of another run; what differs: the plugin failing.mjs");
    write("failing.mjs", failing("first"));
    expect(moesim([...words, "--resume"], own).stderr).toContain("step 30: out of luck");
    rmSync(path.join(own, "broken"));
    expect(moesim([...words, "--resume"], own)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(moesim([...words.slice(0, -1), "whole"], own)).toEqual({ code: 0, stdout: "", stderr: "" });
    for (const file of deterministicFiles) {
      const [resumed, whole] = ["out", "whole"].map((one) => readFileSync(path.join(own, one, file), "utf8"));
      expect(resumed).toBe(whole);
    }
  });

  it.each<[string, string | null, string]>([
    ["a missing file", null, "--plugin p.mjs: no such file"],
    ["a file that is no module", "export default {", "p.mjs: cannot be loaded: "],
    ["a file that throws", "throw new Error('not today')", "p.mjs: cannot be loaded: not today"],
    [
      "a module that is missing",
      "import 'no-such-package'",
      "p.mjs: cannot be loaded: Cannot find package 'no-such-package'",
    ],
    ["no default export", "export const routers = []", "p.mjs: its default export is missing"],
    [
      "a kind that moesim has",
      "import { z } from 'moesim/plugin'; export default { routers: [{ kind: 'topk', summary: 'x', source: 'x', options: z.object({}), create() {} }] }",
      'p.mjs: routers[0].kind: there is a router "topk" already; choose another name',
    ],
  ])("refuses %s", (_, text, message) => {
    const own = temporaryFolder();
    if (text !== null) writeFileSync(path.join(own, "p.mjs"), text);
    const { code, stdout, stderr } = moesim(["list", "routers", "--plugin", "p.mjs"], own);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain("    at ");
  });

  it("is only what the command line names: a scenario says what it needs, and loads nothing", () => {
    const before = listFiles(folder);
    const { code, stderr } = moesim(["run", "own.json"], folder);
    expect(code).toBe(2);
    expect(stderr).toBe(
      'moesim: own.json: requires: there is no router, stream or metric "busy-penalty" or "largest_share". ' +
        "Give the plugin that has it with --plugin FILE.mjs.\n",
    );
    writeFileSync(
      path.join(folder, "loads.json"),
      JSON.stringify({ ...scenario, requires: [], plugin: "my-plugin.mjs" }),
    );
    const unknown = moesim(["run", "loads.json"], folder);
    expect(unknown.stderr).toContain("plugin: unknown key");
    expect(listFiles(folder).filter((file) => file !== "loads.json")).toEqual(before);
  });

  it("takes one file at a time, and several of them", () => {
    const own = temporaryFolder();
    for (const name of ["a", "b"]) {
      const text = readFileSync(template, "utf8").replaceAll("busy-penalty", `busy-${name}`);
      writeFileSync(path.join(own, `${name}.mjs`), text.replaceAll("largest_share", `share_${name}`));
    }
    writeFileSync(
      path.join(own, "own.json"),
      JSON.stringify({ ...scenario, requires: [], routers: [{ kind: "busy-a" }, { kind: "busy-b" }] }),
    );
    const words = ["validate", "--plugin", "a.mjs", "--plugin=b.mjs", "own.json"];
    expect(moesim(words, own).stdout).toContain("routers busy-a, busy-b");
    expect(moesim(["optimum", "--logits", "x", "--top-k", "1", "--plugin", "a.mjs"], own).stderr).toContain(
      "optimum: unknown option --plugin",
    );
    expect(moesim(["list", "routers", "--plugin"], own)).toMatchObject({ code: 2, stdout: "" });
  });
});
