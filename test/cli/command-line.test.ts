import { spawnSync } from "node:child_process";
import { beforeAll, describe, expect, it } from "vitest";
import { modelNames } from "../../src/core/scenario/models.ts";
import { moesim, projectPath, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const commands = [
  "run",
  "sweep",
  "export",
  "route",
  "measure",
  "optimum",
  "compare",
  "check",
  "report",
  "explore",
  "bench",
  "validate",
  "schema",
  "list",
  "completion",
];
const main = projectPath("dist/cli/main.js");

const helpTexts = new Map<string, string>();

/** Help of `command`, as a process prints it; printed once for all tests. */
function help(command: string): string {
  const text = helpTexts.get(command) ?? printHelp(command);
  helpTexts.set(command, text);
  return text;
}

/** Prints help in a process with the variables of `environment` added. */
function printHelp(command: string, environment: NodeJS.ProcessEnv = {}): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, command, "--help"], {
    encoding: "utf8",
    env: { ...process.env, ...environment },
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

describe("moesim --help", () => {
  it("lists every command with what it does", () => {
    const { code, stdout } = moesim(["--help"]);
    expect(code).toBe(0);
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^ {2}moesim ${command}( \\S+)? {2,}[A-Z]`, "m"));
  });

  it.each(commands)("of %s describes each option and fits 110 columns", (command) => {
    const text = help(command);
    const lines = text.split("\n");
    for (const line of lines) expect(Array.from(line).length).toBeLessThanOrEqual(110);
    const options = lines.slice(0, lines.indexOf("Examples:")).filter((line) => /^ +(-\w, +)?--\w/.test(line));
    expect(options.length).toBeGreaterThanOrEqual(5);
    for (const line of options) expect(line).toMatch(/^ +(-\w, +)?--[\w-]+ {2,}[A-Za-z=]+/);
  });

  it.each(commands)("of %s has the command's own options above those of all commands", (command) => {
    const lines = help(command).split("\n");
    const common = lines.slice(lines.indexOf("Options:") + 1);
    const names = common.slice(0, common.indexOf("")).map((line) => /--([\w-]+)/.exec(line)?.[1]);
    expect(names).toEqual(["quiet", "json", "verbose", "version", "help"]);
  });

  it.each(commands)("of %s has examples that can be copied whole from a terminal of 80 columns", (command) => {
    const lines = help(command).split("\n");
    const first = lines.indexOf("Examples:") + 1;
    const examples = lines.slice(first, lines.indexOf("", first));
    expect(examples.length).toBeGreaterThanOrEqual(2);
    for (const [index, line] of examples.entries()) {
      expect(line).toMatch(index % 2 === 0 ? /^ {2}# [A-Z]/ : new RegExp(`^ {2}moesim ${command}( |$)`));
      // yargs breaks what comes within two columns of the edge.
      expect(Array.from(line).length).toBeLessThanOrEqual(78);
    }
  });

  it("is English whatever the language of the system, as all that the program prints", () => {
    expect(printHelp("list", { LANG: "fr_FR.UTF-8", LC_ALL: "fr_FR.UTF-8" })).toBe(help("list"));
  });
});

describe("a command line that cannot be parsed", () => {
  it.each([
    [["lst"], 'unknown command "lst". Did you mean list?'],
    [["--json", "lst"], 'unknown command "lst". Did you mean list?'],
    [["run"], "run: missing <scenario>; usage: moesim run <scenario> (see moesim run --help)"],
    [["run", "a", "b"], "run: unexpected b; usage: moesim run <scenario> (see moesim run --help)"],
    [["run", "a", "--workrs", "2"], "run: unknown option --workrs; moesim run --help lists them"],
    [["sweep", "a", "--max-vioo=2"], "sweep: unknown option --max-vioo; moesim sweep --help lists them"],
    [["run", "a", "--out", "b", "--out", "c"], "--out: given twice; give it once"],
    [
      ["route", "--router", "topk", "--logits", "a", "--logits", "b", "--out", "c"],
      "--logits: given twice; give it once",
    ],
    [["run", "a", "--workers", "two"], "--workers: the value is not a number; give one"],
    [["run", "a", "--seed", ""], "--seed: the value is empty; give one or leave the option out"],
    [
      ["check", "a", "--baseline", "b", "--tolerance="],
      "--tolerance: the value is empty; give one or leave the option out",
    ],
    [["report", "a", "--out", ""], "--out: the value is empty; give one or leave the option out"],
    [["run", "a", "--workers", "0"], "--workers: 0 is not allowed; give an integer of at least 1"],
    [["sweep", "a", "--max-vio", "-1"], "--max-vio: -1 is not allowed; give a number above 0"],
    [["completion", "zsh"], "completion: unexpected zsh; usage: moesim completion (see moesim completion --help)"],
    [["run", "a", "--backend", "--out", "b"], "--backend: the value is missing; give one after the option"],
    [
      ["optimum", "--scores", "--logits", "a", "--top-k", "1"],
      "--scores: the value is missing; give one after the option",
    ],
    [["report", "a", "--theme", "--quiet"], "--theme: the value is missing; give one after the option"],
    [
      ["optimum", "--logits", "a", "--top-k", "2", "--scores", "softmx"],
      '--scores: "softmx" is not allowed. Did you mean "softmax"? Allowed: softmax, sigmoid, sqrt-softplus, logits, raw.',
    ],
    [["run", "a", "--backend", "cuda"], '--backend: "cuda" is not allowed. Allowed: auto, wasm, tfjs, tfjs-gpu.'],
    [["report", "a", "--theme", 'a", "b'], '--theme: "a", "b" is not allowed. Allowed: light, dark.'],
    [
      ["report", "a", "--theme", "\n\u2028, Choices: x"],
      '--theme: "\\u000a\\u2028, Choices: x" is not allowed. Allowed: light, dark.',
    ],
    [
      ["list", "router"],
      'list <subject>: "router" is not allowed. Did you mean "routers"? Allowed: routers, streams, metrics, models.',
    ],
    [["route"], "route: missing --logits and --out; usage: moesim route --logits … --out … (see moesim route --help)"],
    [
      ["route", "--logits", "a", "--out", "b"],
      "route: missing --router or --model; usage: moesim route --router … --logits … --out … (see moesim route --help)",
    ],
    [
      ["route", "--model", "mixtral", "--logits", "a", "--out", "b"],
      `--model: "mixtral" is not allowed. Did you mean "mixtral-8x7b"? Allowed: ${modelNames.join(", ")}.`,
    ],
    [
      ["route", "--router", "topk", "--logits", "a"],
      "route: missing --out; usage: moesim route --logits … --out … (see moesim route --help)",
    ],
    [["measure", "--loads", "a"], "--experts: --selections and --loads need the number of experts of the model"],
    [[], "no command given; moesim --help lists them"],
  ])("%j is refused in one line that names what is wrong", async (words, message) => {
    expect(await runInProcess(words)).toEqual({ code: 2, stdout: "", stderr: `moesim: ${message}\n` });
  });

  it("is told in English whatever the language of the system", () => {
    const { stderr } = spawnSync(process.execPath, [main, "lst"], {
      encoding: "utf8",
      env: { ...process.env, LANG: "fr_FR.UTF-8", LC_ALL: "fr_FR.UTF-8" },
    });
    expect(stderr).toBe('moesim: unknown command "lst". Did you mean list?\n');
  });

  it("lets options of several values be there several times", async () => {
    const { code, stderr } = await runInProcess(["run", "none.yaml", "--set", "steps=1", "--set", "tokens=2"]);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/^moesim: none\.yaml: no such file/) });
  });
});

describe("moesim completion", () => {
  it.each(["bash", "zsh"])("prints a script for %s", (shell) => {
    const { stdout } = spawnSync(process.execPath, [main, "completion"], {
      encoding: "utf8",
      env: { ...process.env, SHELL: `/bin/${shell}`, ZSH_NAME: "" },
    });
    expect(stdout).toContain(shell === "zsh" ? "compdef _moesim" : "complete -o bashdefault");
    // Where the machine has no zsh, its script is only looked at.
    const { status, stderr, error } = spawnSync(shell, ["-n"], { input: stdout, encoding: "utf8" });
    if (error === undefined) expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    else expect(shell).toBe("zsh");
  });

  let bashScript: string;
  beforeAll(() => {
    bashScript = moesim(["completion"]).stdout;
  });

  it.each([
    ["commands", ["re"], "report"],
    ["what list lists", ["list", "s"], "streams"],
    ["options", ["sweep", "--max-c"], "--max-cells"],
    ["what an option allows", ["report", "x", "--theme", "d"], "dark"],
  ])("completes %s in bash", (_, words, expected) => {
    const setWords = `COMP_WORDS=(moesim ${words.join(" ")}); COMP_CWORD=${words.length}`;
    // The script expects the program on the path.
    const program = `moesim() { '${process.execPath}' '${main}' "$@"; }`;
    const script = `${program}\n${bashScript}\n${setWords}; _moesim_yargs_completions; echo "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync("bash", ["--norc"], {
      input: script,
      encoding: "utf8",
      cwd: temporaryFolder(),
    });
    expect({ offered: stdout.trim(), stderr }).toEqual({ offered: expected, stderr: "" });
  });

  it("leaves the place of a file to the shell", () => {
    const { stdout } = moesim(["--get-yargs-completions", "moesim", "run", ""]);
    expect(stdout.trim()).toBe("");
  });
});
