import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { moesim, projectPath, temporaryFolder } from "./support/program.ts";

const folders = ["", "docs", "bench", "results/theory", "scenarios/traces"];
const pages = folders.flatMap((folder) =>
  readdirSync(projectPath(folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => path.posix.join(folder, name)),
);

describe("links", () => {
  it.each(pages)("of %s lead to files that exist", (page) => {
    const text = readFileSync(projectPath(page), "utf8");
    const targets = Array.from(text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g), ([, target]) => target);
    const missing = targets.filter((target) => !existsSync(projectPath(path.dirname(page), target)));
    expect(missing).toEqual([]);
  });
});

describe("the README", () => {
  const readme = readFileSync(projectPath("README.md"), "utf8");

  it("names every command of --help, and no other", () => {
    const help = moesim(["--help"]).stdout;
    const commands = Array.from(help.matchAll(/^ {2}moesim (\w+)/gm), ([, command]) => command);
    const rows = readme.slice(readme.indexOf("## Commands"), readme.indexOf("## Scenarios"));
    const named = Array.from(rows.matchAll(/`moesim (\w+)/g), ([, command]) => command);
    expect(commands.length).toBeGreaterThan(10);
    expect(new Set(named)).toEqual(new Set(commands));
  });

  it("shows what its first command prints, except how long routing took", () => {
    const words = ["run", projectPath("scenarios/quickstart.yaml"), "--out", path.join(temporaryFolder(), "out")];
    const printed = moesim(words).stdout.split("\n");
    const [shown] = Array.from(readme.matchAll(/^```text\n(.*?)^```/gms), ([, text]) => text.split("\n"));
    expect(shown[0]).toBe(printed[0]);
    const cellsOf = (line: string) => line.split(/ {2,}/).filter((cell) => cell !== "");
    const rows = shown.filter((line) => /^ [a-z-]+ .*\d/.test(line)).map(cellsOf);
    expect(rows).toHaveLength(7);
    // Routing time is the column before the last.
    for (const [router, ...numbers] of rows) {
      const line = printed.find((text) => text.startsWith(`${router} `));
      expect(cellsOf(line ?? "")).toEqual(expect.arrayContaining(numbers.toSpliced(-2, 1)));
    }
  });
});
