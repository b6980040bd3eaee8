import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { npyBytes } from "../support/npy.ts";
import { listFiles, moesim, projectPath, readCsv, temporaryFolder } from "../support/program.ts";
import { skewedLogits } from "../support/random-logits.ts";
import { runInProcess } from "../support/run-in-process.ts";

const quickstart = projectPath("scenarios/quickstart.yaml");
const short = ["--set", "steps=3", "tokens=64"];
const deterministicFiles = ["summary.csv", "steps.csv", "loads.csv", "diagnostics.csv"];

/** Runs the quickstart for three steps and returns the folder of its results. */
async function runOn(backend: string, ...words: string[]): Promise<string> {
  const folder = temporaryFolder();
  // Threads need the program itself.
  const program = words.includes("--workers") ? moesim : runInProcess;
  const { code } = await program(["run", quickstart, ...short, "--backend", backend, "--out", folder, ...words]);
  expect(code).toBe(0);
  return folder;
}

let onWasm: string;
let onTensors: string;
beforeAll(async () => {
  onWasm = await runOn("wasm");
  onTensors = await runOn("tfjs");
});

function bytesOf(folder: string): Buffer[] {
  return deterministicFiles.map((file) => readFileSync(path.join(folder, file)));
}

/** A file of logits in a fresh folder. */
function recordedLogits(): string {
  const file = path.join(temporaryFolder(), "logits.npy");
  writeFileSync(file, npyBytes([40, 8], skewedLogits("recorded", 40, 8, 1)));
  return file;
}

/** A module hook by which the addon is found in `test/fixtures`, as if it was installed. */
const hook = `export function resolve(specifier, context, next) {
  const addon = ${JSON.stringify(pathToFileURL(projectPath("test/fixtures/tfjs-node-gpu.mjs")).href)};
  return specifier === "@tensorflow/tfjs-node-gpu" ? { url: addon, shortCircuit: true } : next(specifier, context);
}`;
const registration = `import { register } from "node:module"; register("data:text/javascript,${encodeURIComponent(hook)}");`;

describe("--backend", () => {
  it("tfjs gives the results of wasm, and says in run.json what computed them", async () => {
    // No choice differs, so that all that follows from choices is the same; scores have their own tolerance of 1e-6.
    expect(await runInProcess(["check", onTensors, "--baseline", onWasm])).toMatchObject({ code: 0 });
    const [record, wasmRecord] = [onTensors, onWasm].map((folder) =>
      JSON.parse(readFileSync(path.join(folder, "run.json"), "utf8")),
    );
    expect(record).toMatchObject({ backend: "tfjs", versions: { tfjs: expect.stringMatching(/^4\./) } });
    expect(wasmRecord.backend).toBe("wasm");
    expect(Object.keys(wasmRecord.versions)).toEqual(["moesim", "node"]);
  });

  it("auto is wasm, byte for byte", async () => {
    expect(bytesOf(await runOn("auto"))).toEqual(bytesOf(onWasm));
  });

  it("tfjs writes the same bytes again, and on two threads", async () => {
    expect(bytesOf(await runOn("tfjs"))).toEqual(bytesOf(onTensors));
    expect(bytesOf(await runOn("tfjs", "--workers", "2"))).toEqual(bytesOf(onTensors));
  });

  it("tfjs routes a file with a router that has a plan, and sweeps", async () => {
    const logits = recordedLogits();
    const routeOn = async (backend: string) => {
      const out = path.join(temporaryFolder(), "assignments.csv");
      const route = ["route", "--router", "sinkhorn", "--logits", logits, "--backend", backend, "--out", out];
      expect((await runInProcess(route)).code).toBe(0);
      return readCsv(out);
    };
    const [tensors, wasm] = [await routeOn("tfjs"), await routeOn("wasm")];
    expect(tensors.map(({ expert }) => expert)).toEqual(wasm.map(({ expert }) => expert));
    for (const [pair, { gate }] of tensors.entries()) expect(Number(gate)).toBeCloseTo(Number(wasm[pair].gate), 6);

    const out = temporaryFolder();
    const fewer = ["--set", "steps=1", "tokens=32", "seeds=[1]"];
    const sweep = ["sweep", projectPath("scenarios/bias-rate.yaml"), ...fewer, "--backend", "tfjs", "--out", out];
    expect((await runInProcess(sweep)).code).toBe(0);
    expect(JSON.parse(readFileSync(path.join(out, "cells/0/run.json"), "utf8")).backend).toBe("tfjs");
  });

  it.each([
    ["run", quickstart],
    ["sweep", projectPath("scenarios/bias-rate.yaml")],
    ["route", "--router", "topk", "--logits", recordedLogits(), "--out", "assignments.csv"],
  ])("tfjs-gpu without its addon is refused before anything is written: %s", async (...words) => {
    const folder = temporaryFolder();
    const { code, stderr } = await runInProcess([...words, "--backend", "tfjs-gpu"], folder);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^moesim: backend tfjs-gpu: @tensorflow\/tfjs-node-gpu does not load .*npm install/);
    expect(listFiles(folder)).toEqual([]);
  });

  it("tfjs-gpu computes on its addon where that is installed, in threads too", async () => {
    const folder = temporaryFolder();
    const program = [
      "--import",
      `data:text/javascript,${encodeURIComponent(registration)}`,
      projectPath("dist/cli/main.js"),
    ];
    const words = ["run", quickstart, ...short, "--backend", "tfjs-gpu", "--workers", "2", "--out", folder];
    expect(spawnSync(process.execPath, [...program, ...words], { encoding: "utf8" })).toMatchObject({ status: 0 });
    expect(JSON.parse(readFileSync(path.join(folder, "run.json"), "utf8")).backend).toBe("tfjs-gpu");
    expect(await runInProcess(["check", folder, "--baseline", onWasm])).toMatchObject({ code: 0 });
  });
});
