import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { projectPath, temporaryFolder } from "../support/program.ts";

/** A module hook that prints what is imported by name. */
const hook = `export async function resolve(specifier, context, next) {
  if (/^[a-z@]/.test(specifier) && !/^(node|file|data):/.test(specifier)) process._rawDebug(specifier);
  return next(specifier, context);
}`;
const registration = `import { register } from "node:module"; register("data:text/javascript,${encodeURIComponent(hook)}");`;

/** What the program imports by name when it is called with `words`. */
function importedBy(words: readonly string[]): string[] {
  const program = [
    "--import",
    `data:text/javascript,${encodeURIComponent(registration)}`,
    projectPath("dist/cli/main.js"),
  ];
  const { status, stderr } = spawnSync(process.execPath, [...program, ...words], { encoding: "utf8" });
  expect(status).toBe(0);
  const imported = Array.from(new Set(stderr.trim().split("\n")));
  // That there is something shows that the hook sees.
  expect(imported).toContain("yargs");
  return imported;
}

describe("the start of the program", () => {
  it("loads nothing that only some commands need and that takes long", () => {
    const late = /^(echarts|preact|piscina|junit-report-builder|dejavu-fonts-ttf|@actions|@resvg|@stdlib|@tensorflow)/;
    expect(importedBy(["--version"]).filter((name) => late.test(name))).toEqual([]);
  });

  it("loads TensorFlow.js for a run on it and for no other", () => {
    const run = [
      "run",
      projectPath("scenarios/quickstart.yaml"),
      "--set",
      "steps=1",
      "tokens=16",
      "--out",
      temporaryFolder(),
    ];
    const tensorsOf = (backend: string) =>
      importedBy([...run, "--backend", backend]).filter((name) => name.startsWith("@tensorflow"));
    expect(tensorsOf("auto")).toEqual([]);
    expect(tensorsOf("tfjs")).toContain("@tensorflow/tfjs-backend-wasm");
  });
});
