import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { sizesText } from "../../src/cli/terminal.ts";
import { moesim, temporaryFolder } from "../support/program.ts";
import { hasPseudoTerminal, program, screenOf, seenOnTerminal } from "../support/pseudo-terminal.ts";

const escapeCode = "\u001b";

/** A folder with the scenario grid.json, and its results of run in `run`, of sweep in `sweep`. */
function folderWithResults(): string {
  const folder = temporaryFolder();
  const scenario = {
    name: "grid",
    steps: 6,
    tokens: 32,
    experts: 8,
    ranks: 2,
    stream: { kind: "clusters" },
    routers: [
      { kind: "topk", label: "均衡".repeat(6) },
      { kind: "alf-lb" },
      { kind: "sinkhorn" },
      { kind: "ssr", label: "ssr, seldom" },
    ],
    sweep: { topK: [1, 2] },
    seeds: [1, 2],
  };
  writeFileSync(path.join(folder, "grid.json"), JSON.stringify(scenario));
  writeFileSync(path.join(folder, "loads.csv"), "1,2,3\n4,1,1\n");
  for (const command of ["run", "sweep"]) {
    expect(moesim([command, "grid.json", "--out", command, "--quiet"], folder).code).toBe(0);
  }
  return folder;
}

const folder = folderWithResults();

/** Characters of a terminal, of which those of the router's name take two. */
function widthOf(text: string): number {
  return Array.from(text).reduce((width, character) => width + (/\p{Script=Han}/u.test(character) ? 2 : 1), 0);
}

/** Commands that print tables, and one that fails. */
const commands = [
  "run grid.json --out run",
  "sweep grid.json --out sweep --resume",
  "measure --loads loads.csv --experts 3 --out measured",
  "compare run run --metric score",
  "check run --baseline run",
  "bench --only softmax --time-ms 1 --tokens 8 --experts 8",
  "list routers",
  "run nothing.json",
];

describe("output that goes to no terminal", () => {
  it("has no escape code, even where colours are forced or a CI system runs it", () => {
    for (const command of commands) {
      const { stdout, stderr } = spawnSync("sh", ["-c", `${program} ${command}`], {
        cwd: folder,
        encoding: "utf8",
        env: { ...process.env, NO_COLOR: "", FORCE_COLOR: "1", CI: "true", TERM: "xterm-256color" },
      });
      expect(`${stdout}${stderr}`, command).not.toBe("");
      expect(`${stdout}${stderr}`, command).not.toContain(escapeCode);
    }
  });
});

// Where there is no `script` to give the program a terminal, nothing can be seen on one.
describe.skipIf(!hasPseudoTerminal)("output on a terminal", () => {
  it("has colours, unless NO_COLOR is set or the terminal has none, also where a CI system runs it", () => {
    const all = commands.map((command) => `${program} ${command}`).join("; ");
    expect(seenOnTerminal(`${program} ${commands[0]}`, folder, 80)).toContain(`${escapeCode}[32m`);
    const plain = [
      seenOnTerminal(all, folder, 80, { NO_COLOR: "1", FORCE_COLOR: "1", CI: "true" }),
      seenOnTerminal(`${program} ${commands[0]}`, folder, 80, { TERM: "dumb" }),
    ];
    for (const seen of plain) {
      expect(seen).toContain("grid: 6 steps");
      expect(seen).not.toContain(escapeCode);
    }
  });

  it.each([
    [72, 72],
    [80, 80],
    [120, 120],
    // What a terminal has that does not tell.
    [null, 80],
  ])("has tables that fit the terminal: %s columns", (columns, width) => {
    const seen = seenOnTerminal(`${program} ${commands[0]}; ${program} ${commands[1]}`, folder, columns, {
      NO_COLOR: "1",
    });
    for (const line of seen.split("\n").filter((text) => text.startsWith(" "))) {
      if (!line.startsWith("  ")) expect(widthOf(line)).toBeLessThanOrEqual(width);
    }
    const rules = seen.split("\n").filter((line) => line.startsWith("─"));
    expect(rules.length).toBe(2);
    // A column that is left out where room is short.
    expect(seen).toContain("idle");
    for (const rule of rules) {
      expect(rule.length).toBeLessThanOrEqual(width);
    }
  });

  it("tells after two seconds how far a command is, and leaves nothing of that; not where its output is piped", () => {
    const command = (steps: number) =>
      `${program} run grid.json --set tokens=256 experts=64 steps=${steps} regret.every=0 loadSamples=1 --out long`;
    let steps = 2000;
    let seen = "";
    let live: string[] = [];
    for (let attempt = 0; ; attempt++) {
      expect(attempt).toBeLessThan(6);
      const start = performance.now();
      seen = seenOnTerminal(command(steps), folder, 80, { NO_COLOR: "1" });
      const seconds = (performance.now() - start) / 1000;
      live = seen.split(`${escapeCode}[1G`).filter((line) => line.includes("left ·"));
      if (live.length > 3) break;
      // A busy machine can spend most of the time on starting the program.
      steps = Math.ceil(Math.max(1.5, 4 / seconds) * steps);
    }
    const total = 4 * steps;
    for (const line of live) {
      const [shown] = line.split(escapeCode);
      expect(widthOf(shown)).toBeLessThanOrEqual(79);
      const [, percent, done] = /^[█░]{24} (\d+) % · \S+ left · (\d+)\//.exec(shown)!;
      // Whole percent, rounded down.
      expect(Math.abs(Number(percent) - (100 * Number(done)) / total)).toBeLessThanOrEqual(1);
    }
    const screen = screenOf(seen);
    expect(screen.join("\n")).not.toMatch(/[█░]{24}|left ·/);
    expect(screen.find((line) => line !== "")).toMatch(/^warning: |^grid: /);

    const piped = seenOnTerminal(`${command(steps)} | cat`, folder, 80);
    expect(piped).toContain(`grid: ${steps} steps`);
    expect(piped).not.toContain("left ·");
  });
});

describe("sizesText", () => {
  it("says in words how large a stream is, in the singular for one", () => {
    expect(sizesText(10, 512, 16)).toBe("10 steps of 512 tokens, 16 experts");
    expect(sizesText(1, 1, 1)).toBe("1 step of 1 token, 1 expert");
  });
});
