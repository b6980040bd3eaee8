import { readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { adviceWarnings } from "../../../src/core/results/warnings.ts";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import { toScenarioFile } from "../../../src/core/scenario/scenario.ts";
import { createRouter } from "../../../src/core/simulation/router-run.ts";
import { loadScenario } from "../../../src/node/files/scenario-file.ts";
import { npyBytes } from "../../support/npy.ts";
import { projectPath, temporaryFolder } from "../../support/program.ts";

const minimal = { name: "small", experts: 8, stream: { kind: "gaussian" }, routers: [{ kind: "topk" }] };

async function problemOf(changes: object): Promise<string> {
  const error = await resolveScenario({ ...minimal, ...changes }, "here/scenario.yaml").then(
    () => new Error("was accepted"),
    (refusal: Error) => refusal,
  );
  expect(error).toBeInstanceOf(InputError);
  return error.message;
}

describe("resolveScenario", () => {
  it("fills in every default", async () => {
    const scenario = await resolveScenario(minimal, "here/scenario.yaml", "here");
    expect(scenario).toMatchObject({
      seed: 0,
      steps: 100,
      tokens: 1024,
      experts: 8,
      topK: 2,
      capacityFactor: 1,
      capacity: "none",
      ranks: 1,
      deadWindow: 100,
      loadSamples: 200,
      folder: "here",
    });
    expect(scenario.routers).toEqual([
      { kind: "topk", name: "topk", scores: "softmax", options: { renormalize: true, gateScale: 1 } },
    ]);
  });

  it("takes a router's own affinities before the scenario's, and those before its kind's", async () => {
    const routers = [{ kind: "alf-lb" }, { kind: "topk" }, { kind: "topk", label: "own", scores: "softmax" }];
    const scoresOf = async (scores: object) =>
      (await resolveScenario({ ...minimal, routers, ...scores }, "s.yaml")).routers.map((router) => router.scores);
    expect(await scoresOf({})).toEqual(["sigmoid", "softmax", "softmax"]);
    expect(await scoresOf({ scores: "sigmoid" })).toEqual(["sigmoid", "sigmoid", "softmax"]);
    expect(await scoresOf({ scores: "softmax" })).toEqual(["softmax", "softmax", "softmax"]);
  });

  it("is a fixed point: the resolved scenario, written as a file, resolves to itself", async () => {
    for (const file of readdirSync(projectPath("scenarios")).filter((name) => name.endsWith(".yaml"))) {
      const scenario = await loadScenario(projectPath("scenarios", file));
      expect(await resolveScenario(toScenarioFile(scenario), file, projectPath("scenarios"))).toEqual(scenario);
    }
  });

  it("accepts the fields that other commands read", async () => {
    const fields = { sweep: { tokens: [8, 16] }, seeds: [1, 2, 3] };
    await expect(resolveScenario({ ...minimal, ...fields }, "s.yaml")).resolves.toMatchObject({ name: "small" });
  });
});

describe("regret", () => {
  it("is exact and of every step unless the scenario says otherwise", async () => {
    expect(await resolveScenario(minimal, "s.yaml")).toMatchObject({ regret: { every: 1, gap: 0 } });
    const scenario = await resolveScenario({ ...minimal, regret: { every: 5 } }, "s.yaml");
    expect(scenario).toMatchObject({ regret: { every: 5, gap: 0 } });
  });

  it("is left out where there are many experts, and refused where there are more than the optimum takes", async () => {
    const scenario = await resolveScenario({ ...minimal, experts: 513 }, "s.yaml");
    expect(scenario).toMatchObject({ regret: { every: 0 } });
    expect(await problemOf({ experts: 5000, regret: {} })).toContain("regret: the optimum takes at most 4096 experts");
  });
});

describe("a refused scenario", () => {
  it("suggests the nearest known key, wherever the unknown one stands", async () => {
    expect(await problemOf({ token: 8 })).toMatch(
      /^here\/scenario\.yaml: token: unknown key\. Did you mean "tokens"\? Allowed here: name,/,
    );
    expect(await problemOf({ stream: { kind: "gaussian", scew: 1 } })).toContain(
      'stream.scew: unknown key. Did you mean "skew"?',
    );
    expect(await problemOf({ routers: [{ kind: "topk" }, { kind: "alf-lb", updateRat: 1 }] })).toContain(
      'routers[1].updateRat: unknown key. Did you mean "updateRate"?',
    );
    expect(await problemOf({ routers: [{ kind: "ssr", select: { mode: "every", p: 1 } }] })).toContain(
      "routers[0].select.p: unknown key. Did you mean",
    );
    expect(await problemOf({ regret: { evry: 1 } })).toContain('regret.evry: unknown key. Did you mean "every"?');
  });

  it("suggests the nearest kind and lists all", async () => {
    expect(await problemOf({ stream: { kind: "gausian" } })).toMatch(
      /stream\.kind: unknown kind "gausian"\. Did you mean "gaussian"\? Allowed: gaussian, clusters/,
    );
    expect(await problemOf({ routers: [{ kind: "sinkhron" }] })).toContain('Did you mean "sinkhorn"?');
    expect(await problemOf({ routers: [{}] })).toContain("routers[0].kind: missing. Allowed: topk");
    expect(await problemOf({ routers: [{ kind: "alf-lb", updateRule: "signs" }] })).toContain(
      'routers[0].updateRule: "signs" is not allowed. Did you mean "sign"? Allowed: sign, proportional, smebu.',
    );
  });

  it("names the field, the value and what is allowed", async () => {
    expect(await problemOf({ topK: 9 })).toContain("topK: 9 is more than the 8 experts. Allowed: 1 to 8.");
    expect(await problemOf({ topK: 0 })).toContain("topK: 0 is not allowed");
    expect(await problemOf({ tokens: 1.5 })).toContain("tokens: 1.5 is not allowed");
    expect(await problemOf({ tokens: "many" })).toContain('tokens: "many" is not allowed');
    expect(await problemOf({ experts: undefined })).toContain("experts: missing");
    expect(await problemOf({ name: "a/b" })).toContain('name: "a/b" is not allowed: must be usable as a folder name');
    expect(await problemOf({ name: ".." })).toContain("name:");
    expect(await problemOf({ ranks: 9 })).toContain("ranks: 9 is more than the 8 experts. Allowed: 1 to 8.");
    expect(await problemOf({ capacityFactor: 0 })).toContain("capacityFactor: 0 is not allowed");
    expect(await problemOf({ routers: [] })).toContain("routers");
    expect(await problemOf({ seed: Number.NaN })).toContain("seed: NaN is not allowed");
  });

  it("checks a router's options against the sizes", async () => {
    expect(await problemOf({ routers: [{ kind: "grouped-topk", groups: 3 }] })).toContain(
      "routers[0].groups: 3 groups do not divide 8 experts",
    );
  });

  it("wants a label where two routers have the same name", async () => {
    expect(await problemOf({ routers: [{ kind: "topk" }, { kind: "topk" }] })).toContain(
      'routers[1]: another router is named "topk"',
    );
  });

  it("suggests nothing that is not near", async () => {
    const message = await problemOf({ xyzxyz: 1 });
    expect(message).toContain("xyzxyz: unknown key. Allowed here: name,");
  });

  it("lists all its problems at once", async () => {
    const message = await problemOf({ topK: 9, ranks: 10 });
    expect(message).toContain("2 problems");
    expect(message).toContain("\n  topK: 9");
    expect(message).toContain("\n  ranks: 10");
  });
});

describe("an initial bias in a file", () => {
  const kinds = ["alf-lb", "grouped-topk", "quantile"] as const;
  const folder = temporaryFolder();
  const bias = [0.5, -0.25, 0, 1, 0.125, 2, -1, 0.75];
  writeFileSync(path.join(folder, "bias.npy"), npyBytes([8], bias));
  writeFileSync(path.join(folder, "row.csv"), `${bias.join(",")}\n`);
  writeFileSync(path.join(folder, "column.csv"), `${bias.join("\n")}\n`);
  const withBias = (initialBias: unknown) => ({ ...minimal, routers: kinds.map((kind) => ({ kind, initialBias })) });

  it.each(["bias.npy", "row.csv", "column.csv"])("is that of its numbers, read from %s", async (file) => {
    const read = await resolveScenario(withBias(file), "s.yaml", folder);
    expect(read.routers).toEqual((await resolveScenario(withBias(bias), "s.yaml", folder)).routers);
    for (const router of read.routers) {
      const { bias: first } = createRouter(read, router, createReferenceKernels());
      expect(Array.from(first!)).toEqual(bias);
    }
  });

  it("has one finite number for each expert", async () => {
    const problemIn = (file: string) =>
      resolveScenario(withBias(file), "s.yaml", folder).then(String, (error: Error) => error.message);
    writeFileSync(path.join(folder, "short.csv"), "1,2,3\n");
    writeFileSync(path.join(folder, "nan.csv"), "1,2,3,nan,5,6,7,8\n");
    expect(await problemIn("short.csv")).toMatch(/short\.csv: .* holds 3 numbers; initialBias needs one for each of 8/);
    expect(await problemIn("nan.csv")).toMatch(/nan\.csv: the number of expert 3 is NaN; initialBias must be finite/);
    expect(await problemIn("none.npy")).toMatch(/none\.npy: no such file/);
    expect(await problemOf(withBias([1, 2]))).toContain("routers[2].initialBias: 2 numbers for 8 experts");
  });
});

it("warns of grouped-topk that does not score as DeepSeek-V3 does", async () => {
  const routers = [
    { kind: "grouped-topk" },
    { kind: "grouped-topk", label: "soft", scores: "softmax" },
    { kind: "grouped-topk", label: "V2", scores: "softmax", groupScore: "max" },
  ];
  expect(adviceWarnings(await resolveScenario({ ...minimal, routers }, "s.yaml"))).toEqual([
    "soft: selects by softmax, but DeepSeek-V3 publishes this router with sigmoid; set its scores: sigmoid to follow it",
  ]);
});

it("bounds the work and memory of quantile's options", async () => {
  expect(await problemOf({ routers: [{ kind: "quantile", iterations: 10_001 }] })).toContain("routers[0].iterations");
  expect(await problemOf({ routers: [{ kind: "quantile", histogramBins: 65_537 }] })).toContain("histogramBins");
});

describe("loadScenario", () => {
  it("names a file that is not there and YAML that is none", async () => {
    await expect(loadScenario("nowhere.yaml")).rejects.toThrow(/^nowhere\.yaml: no such file/);
    await expect(loadScenario(projectPath("README.md"))).rejects.toBeInstanceOf(InputError);
  });

  it("applies overrides in their order", async () => {
    const overrides = ["tokens=16", "tokens=32", "routers.topk.renormalize=false"];
    const scenario = await loadScenario(projectPath("scenarios/quickstart.yaml"), overrides);
    expect(scenario.tokens).toBe(32);
    expect(scenario.routers[0].options).toEqual({ renormalize: false, gateScale: 1 });
  });
});
