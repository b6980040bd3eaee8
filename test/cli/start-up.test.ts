import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { projectPath, temporaryFolder } from "../support/program.ts";

/** A module hook that prints what is imported. */
const hook = `export async function resolve(specifier, context, next) {
  if (/^[a-z@.]/.test(specifier) && !/^(node|file|data):/.test(specifier)) process._rawDebug(specifier);
  return next(specifier, context);
}`;
const registration = `import { register } from "node:module"; register("data:text/javascript,${encodeURIComponent(hook)}");`;

/** The program after the hook, as words for Node. */
const traced = [
  "--import",
  `data:text/javascript,${encodeURIComponent(registration)}`,
  projectPath("dist/cli/main.js"),
];

/**
 * What the program imports when it is called with `words`, under a shell that first runs `limits`: packages by name, its own
 * files by path.
 */
function importedBy(words: readonly string[], limits = ":"): string[] {
  const program = [process.execPath, ...traced, ...words];
  const { status, stderr } = spawnSync("sh", ["-c", `${limits}; exec "$0" "$@"`, ...program], { encoding: "utf8" });
  expect([status, stderr.match(/^moesim: .*/m)?.[0]]).toEqual([0, undefined]);
  const imported = Array.from(new Set(stderr.trim().split("\n")));
  // That there is something shows that the hook sees.
  expect(imported).toContain("yargs");
  return imported;
}

const results = projectPath("results/trace");

/** KiB: enough for Node and the decoders, and less than one WebAssembly memory reserves. */
const addressSpace = process.platform === "linux" ? "ulimit -v 10000000" : ":";

/** What takes long to load, or reserves memory. */
const heavy =
  /^(cli-table3|csv-parse|echarts|hyparquet|jstat|preact|piscina|junit-report-builder|dejavu-fonts-ttf|tinybench|zod|@resvg|@tensorflow)|kernels\/(index|wasm|reference)\.|parquet/;
const kernels = /kernels\/(index|wasm|reference)\.|parquet|^@tensorflow|^tinybench|^piscina/;

describe("the start of the program", () => {
  it.each([["--version"], ["--help"], ["completion"]])("loads nothing that only some commands need: %s", (word) => {
    expect(importedBy([word], addressSpace).filter((name) => heavy.test(name))).toEqual([]);
  });

  it.each([
    [["list", "routers"]],
    [["schema"]],
    [["validate", projectPath("scenarios/quickstart.yaml")]],
    [["compare", results, projectPath("results/trace-balanced")]],
    [["check", results, "--baseline", results]],
  ])("loads no kernels, decompressors and threads for %j, which runs in little address space", (words) => {
    expect(importedBy(words, addressSpace).filter((name) => kernels.test(name))).toEqual([]);
  });

  it("draws without the packages that are bundled, which an installation lacks", () => {
    const folder = temporaryFolder();
    const loads = projectPath("scenarios/traces/made-loads.npy");
    importedBy(["measure", "--loads", loads, "--experts", "8", "--quiet", "--out", folder]);
    const imported = importedBy(["report", folder, "--svg", folder, "--png", folder, "--pdf", folder]);
    expect(imported).toContain("@resvg/resvg-js");
    expect(imported.filter((name) => /^(echarts|zrender|dejavu|pdfkit|svg-to-pdfkit)/.test(name))).toEqual([]);
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

/** Runs `moesim` with `words` under a shell that first runs `limits`. */
function runLimited(limits: string, words: readonly string[], env: Record<string, string> = {}) {
  const command = `${limits}; exec "$0" "$@"`;
  const program = [process.execPath, projectPath("dist/cli/main.js"), ...words];
  return spawnSync("sh", ["-c", command, ...program], { encoding: "utf8", env: { ...process.env, ...env } });
}

describe.runIf(process.platform === "linux")("a limit on address space", () => {
  it("is named when the kernels do not fit, with what helps, and that does help", () => {
    const words = ["run", projectPath("scenarios/quickstart.yaml"), "--quiet", "--set", "steps=2", "tokens=32"];
    const failed = runLimited(addressSpace, [...words, "--out", temporaryFolder()]);
    expect(failed.status).toBe(2);
    expect(failed.stderr).toMatch(/^moesim: .*no address space for the kernels.* 10 GB .*ulimit -v/);
    expect(failed.stderr.match(/^ +at /m)).toBeNull();
    const [option] = failed.stderr.match(/--disable-wasm-trap-handler/)!;
    const { status } = runLimited(addressSpace, [...words, "--out", temporaryFolder()], { NODE_OPTIONS: option });
    expect(status).toBe(0);
  });
});

describe("exit code 1 is that of a failed check alone", () => {
  /** Runs `moesim` with `words` after a module that does `sabotage`. */
  function runSabotaged(sabotage: string, words: readonly string[]) {
    const module = `data:text/javascript,${encodeURIComponent(sabotage)}`;
    const program = ["--import", module, projectPath("dist/cli/main.js"), ...words];
    return spawnSync(process.execPath, program, { encoding: "utf8" });
  }

  const missing = (name: string) =>
    `import { register } from "node:module"; register("data:text/javascript,${encodeURIComponent(`export function resolve(specifier, context, next) {
      return next(specifier === ${JSON.stringify(name)} ? "no-such-package" : specifier, context);
    }`)}");`;

  /** Does `work` as soon as the program has begun. */
  const inProgram = (work: string) =>
    `const timer = setInterval(() => {
      if (process.listenerCount("uncaughtException") === 0) return;
      clearInterval(timer);
      ${work}
    }, 1);`;

  it.each([
    ["a package that is missing at the start", missing("yargs"), ["--version"]],
    ["a package that only a command needs", missing("zod"), ["list", "routers"]],
    ["an exception that nothing catches", inProgram(`throw new Error("sabotaged");`), ["schema"]],
    ["a rejection that nothing handles", inProgram(`Promise.reject(new Error("sabotaged"));`), ["schema"]],
    ["a rejection that is no error", inProgram("Promise.reject(null);"), ["schema"]],
  ])("%s exits with 70", (_, sabotage, words) => {
    const { status, stderr } = runSabotaged(sabotage, words);
    expect(status).toBe(70);
    expect(stderr).toMatch(/^moesim: internal error: .*\nThis is a bug in moesim/);
    expect(stderr.match(/^ +at /m)).toBeNull();
    expect(runSabotaged(sabotage, [...words, "--verbose"]).status).toBe(70);
  });

  it("a heap that is used up does not exit with 1", () => {
    const scenario = projectPath("scenarios/quickstart.yaml");
    const program = ["--max-old-space-size=10", "--max-semi-space-size=1", projectPath("dist/cli/main.js")];
    const words = ["run", scenario, "--out", temporaryFolder()];
    // Node aborts: there is no status, or in a shell 134.
    const { status } = spawnSync(process.execPath, [...program, ...words], { encoding: "utf8" });
    expect([0, 1]).not.toContain(status);
  });
});
