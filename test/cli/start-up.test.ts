import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { projectPath } from "../support/program.ts";

/** A module hook that prints what is imported by name. */
const hook = `export async function resolve(specifier, context, next) {
  if (/^[a-z@]/.test(specifier) && !/^(node|file|data):/.test(specifier)) process._rawDebug(specifier);
  return next(specifier, context);
}`;
const registration = `import { register } from "node:module"; register("data:text/javascript,${encodeURIComponent(hook)}");`;

describe("the start of the program", () => {
  it("loads nothing that only some commands need and that takes long", () => {
    const words = ["--import", `data:text/javascript,${encodeURIComponent(registration)}`];
    const program = [...words, projectPath("dist/cli/main.js"), "--version"];
    const { status, stderr } = spawnSync(process.execPath, program, { encoding: "utf8" });
    expect(status).toBe(0);
    const loaded = new Set(stderr.trim().split("\n"));
    // That there is something shows that the hook sees.
    expect(loaded).toContain("yargs");
    const late = /^(echarts|preact|piscina|junit-report-builder|dejavu-fonts-ttf|@actions|@resvg|@stdlib|@tensorflow)/;
    expect(Array.from(loaded).filter((name) => late.test(name))).toEqual([]);
  });
});
