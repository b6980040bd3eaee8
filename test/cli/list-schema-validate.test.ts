import { readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { MetricDescription } from "../../src/core/metrics/catalogue.ts";
import { routerKinds } from "../../src/core/routers/index.ts";
import { streamKinds } from "../../src/core/streams/index.ts";
import { listFiles, moesim, projectPath, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

describe("moesim list", () => {
  it("lists every router and stream with parameters, defaults and source", async () => {
    for (const [subject, kinds] of [
      ["routers", routerKinds],
      ["streams", streamKinds],
    ] as const) {
      const { code, stdout } = await runInProcess(["list", subject]);
      expect(code).toBe(0);
      for (const { kind, source } of kinds) {
        expect(stdout).toContain(`${kind}: `);
        expect(stdout).toContain(source);
      }
    }
    const { stdout } = await runInProcess(["list", "routers", "--json"]);
    const ssr = JSON.parse(stdout).find(({ kind }: { kind: string }) => kind === "ssr");
    const parameters = Object.fromEntries(
      ssr.parameters.map((p: { name: string; default: string | null }) => [p.name, p.default]),
    );
    expect(parameters).toMatchObject({
      maxIterations: "100",
      epsilon: "0.05",
      "select.p": "0.01",
      "select.maxVio": "0.5",
      cost: "scores",
      noise: "0",
      gradient: "plan",
    });
    expect(JSON.parse(parameters.select)).toEqual({ mode: "probability", p: 0.01 });
  });

  it("lists metrics with their definition and column", () => {
    const { code, stdout } = moesim(["list", "metrics"]);
    expect(code).toBe(0);
    for (const word of ["MaxVio", "max_vio_global", "dead experts", "step_time_mean"]) expect(stdout).toContain(word);
  });

  it("lists the steps that were solved apart from the iterations of a step", async () => {
    const { stdout } = await runInProcess(["list", "metrics", "--json"]);
    const metrics: MetricDescription[] = JSON.parse(stdout);
    const columns = ["Sinkhorn steps", "solver iterations"].map(
      (name) => metrics.find((metric) => metric.name === name)!.columns,
    );
    expect(columns).toEqual([
      ["summary sinkhorn_steps"],
      ["summary solver_iterations_mean", "steps solver_iterations"],
    ]);
  });

  it.each(["routers", "streams", "metrics"])(
    "fits %s into tables of 80 characters, and cuts no word",
    async (subject) => {
      const { stdout } = await runInProcess(["list", subject]);
      const rules = stdout.split("\n").filter((line) => line.startsWith("─"));
      expect(rules.length).toBeGreaterThan(0);
      for (const rule of rules) expect(rule.length).toBeLessThanOrEqual(80);
      // What a table shows in the place of what it cut; lists of numbers, as in `n = 1, 2, …`, have it behind a blank.
      expect(stdout).not.toMatch(/\S…/);
    },
  );

  it("prints nothing with --quiet", async () => {
    expect(await runInProcess(["list", "streams", "--quiet"])).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  it("refuses another subject", async () => {
    expect(await runInProcess(["list", "tokens"])).toMatchObject({ code: 2, stdout: "" });
  });
});

describe("moesim schema", () => {
  it("prints the JSON Schema with every router and stream", () => {
    const { code, stdout } = moesim(["schema"]);
    expect(code).toBe(0);
    const schema = JSON.parse(stdout);
    expect(schema.required).toEqual(["name", "stream", "routers"]);
    const kindsOf = (union: { oneOf: { properties: { kind: { const: string } } }[] }) =>
      union.oneOf.map((branch) => branch.properties.kind.const);
    expect(kindsOf(schema.properties.routers.items)).toEqual(routerKinds.map(({ kind }) => kind));
    expect(kindsOf(schema.properties.stream)).toEqual(streamKinds.map(({ kind }) => kind));
    expect(schema.additionalProperties).toBe(false);
  });
});

describe("moesim validate", () => {
  it("accepts every scenario of the project and writes nothing", async () => {
    const folder = temporaryFolder();
    const scenarios = readdirSync(projectPath("scenarios")).filter((name) => name.endsWith(".yaml"));
    expect(scenarios.length).toBeGreaterThanOrEqual(11);
    for (const name of scenarios) {
      const { code, stdout } = await runInProcess(["validate", projectPath("scenarios", name)], folder);
      expect(stdout).toContain("is valid");
      expect(code).toBe(0);
    }
    expect(listFiles(folder)).toEqual([]);
  });

  it("looks for the text that a stream reads", async () => {
    const folder = temporaryFolder();
    const words = {
      name: "words",
      experts: 4,
      stream: { kind: "zipf-text", path: "gone.txt" },
      routers: [{ kind: "topk" }],
    };
    writeFileSync(path.join(folder, "words.json"), JSON.stringify(words));
    const { code, stderr } = await runInProcess(["validate", "words.json"], folder);
    expect(code).toBe(2);
    expect(stderr).toContain("gone.txt");
  });

  it("refuses with exit code 2 what run would refuse", async () => {
    const folder = temporaryFolder();
    writeFileSync(
      path.join(folder, "bad.json"),
      JSON.stringify({
        name: "bad",
        experts: 4,
        stream: { kind: "trace", path: "gone.npy" },
        routers: [{ kind: "topk" }],
      }),
    );
    const { code, stderr } = await runInProcess(["validate", "bad.json"], folder);
    expect(code).toBe(2);
    expect(stderr).toContain("gone.npy");
  });
});

describe("moesim", () => {
  it("tells its version", () => {
    expect(moesim(["--version"]).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
