import { readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { MetricDescription } from "../../src/core/metrics/catalogue.ts";
import { routerKinds } from "../../src/core/routers/index.ts";
import { type Model, modelDescriptions, modelNames } from "../../src/core/scenario/models.ts";
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
      cost: '"scores"',
      noise: "0",
      gradient: '"plan"',
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

  it.each(["routers", "streams", "metrics", "models"])(
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

  it("lists the models with what is exact and what is not expressed", async () => {
    const { code, stdout } = await runInProcess(["list", "models"]);
    expect(code).toBe(0);
    const text = stdout.replace(/\s+/g, " ");
    for (const { name, sameRouting, source } of modelDescriptions) {
      for (const part of [name, ...sameRouting, source]) expect(text).toContain(part);
    }
    expect(text).toContain("256 experts, top-8, sigmoid; 1 shared expert; 58 of 61 layers");
    expect(text).toContain("grouped-topk: groups 8, topGroups 4, groupScore top2-sum, renormalize true, gateScale 2.5");
    expect(text).toContain("not expressed: the gates of SparseMixer");
    const { stdout: json } = await runInProcess(["list", "models", "--json"]);
    const listed: Model[] = JSON.parse(json);
    expect(listed).toEqual(modelDescriptions);
  });

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
    expect(schema.required).toEqual(["name", "stream"]);
    expect(schema.anyOf).toEqual([{ required: ["routers"] }, { required: ["model"] }]);
    expect(schema.properties.model.enum).toEqual(modelNames);
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

  it("takes a model for routers and sizes, and suggests the nearest name", async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, "model.yaml");
    writeFileSync(file, "name: small\nmodel: kimi-k2\nstream: { kind: gaussian }\n");
    const { code, stdout } = await runInProcess(["validate", "model.yaml"], folder);
    expect(code).toBe(0);
    expect(stdout).toContain("384 experts, top-8, routers alf-lb");
    writeFileSync(file, "name: small\nmodel: mixtral-8x7\nstream: { kind: gaussian }\n");
    const near = await runInProcess(["validate", "model.yaml"], folder);
    expect(near).toMatchObject({ code: 2, stdout: "" });
    expect(near.stderr).toContain('model.yaml: model: "mixtral-8x7" is not allowed. Did you mean "mixtral-8x7b"?');
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
