import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { listFiles, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const folder = temporaryFolder();
const inFolder = (...parts: string[]) => path.join(folder, ...parts);

const scenario = {
  name: "small",
  steps: 2,
  tokens: 8,
  experts: 4,
  stream: { kind: "gaussian" },
  routers: [{ kind: "topk" }],
};
const logits = "0.1,0.2\n0.4,0.3\n0.2,0.9\n0.8,0.1\n";

function writeScenario(file: string, changes: object = {}): void {
  mkdirSync(path.dirname(inFolder(file)), { recursive: true });
  writeFileSync(inFolder(file), JSON.stringify({ ...scenario, ...changes }));
}

/** The bytes of every file, by its path. */
function contents(): Map<string, string> {
  const files = listFiles(folder).filter((name) => /\.\w+$/.test(name));
  return new Map(files.map((name) => [name, readFileSync(inFolder(name), "base64")]));
}

beforeAll(async () => {
  writeScenario("small.json", { seeds: [1, 2] });
  for (const out of ["a", "b"]) await runInProcess(["run", "small.json", "--quiet", "--out", out], folder);
  await runInProcess(["sweep", "small.json", "--quiet", "--out", "swept"], folder);
  symlinkSync(inFolder("b/loads.csv"), inFolder("link.html"));
  writeFileSync(inFolder("logits.csv"), logits);
});

describe("a file that a command writes", () => {
  it.each([
    ["compare a b --html a/summary.csv", /--html and the results in a name the same file: a\/summary\.csv/],
    ["compare a swept --html swept/cells/1/loads.csv", /--html and the results in swept name the same file/],
    ["compare a a --html b/steps.csv", /--html b\/steps\.csv: has the name of a result file/],
    ["compare a a --html link.html", /--html link\.html: has the name of a result file/],
    ["report a --out b/summary.csv", /--out b\/summary\.csv: has the name of a result file/],
    ["report a --out swept/intervals.csv", /--out swept\/intervals\.csv: has the name of a result file/],
    ["report a --out link.html", /has the name of a result file/],
    ["report a --svg p --out p/max-vio.svg", /--out and the picture max-vio of --svg name the same file/],
    ["report a --png p --out p/max-vio.png", /--out and the picture max-vio of --png name the same file/],
    ["report a --svg b/summary.csv", /b\/summary\.csv: cannot be written to/],
    ["report a --png b/run.json", /b\/run\.json: cannot be written to/],
    ["check a --baseline b --junit swept/cells/0/steps.csv", /has the name of a result file/],
    ["check a --baseline b --junit b/run.json", /--junit and the results in b name the same file/],
    ["route --router topk --logits logits.csv --out b/timing.csv", /has the name of a result file/],
    ["route --router ssr --logits logits.csv --out new.csv --plan b/run.json", /has the name of a result file/],
  ])("does not replace results: %s", async (words, message) => {
    const before = contents();
    const { code, stderr } = await runInProcess(words.split(" "), folder);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
    expect(contents()).toEqual(before);
  });
});

describe("results", () => {
  beforeAll(() => {
    for (const to of ["rt", "st", "mt", "ct/cells/0"]) mkdirSync(inFolder(to), { recursive: true });
    for (const to of ["rt/loads.csv", "st/summary.csv", "mt/loads.csv", "ct/cells/0/steps.csv"]) {
      copyFileSync(inFolder("logits.csv"), inFolder(to));
    }
    const traced = (file: string) => ({ stream: { kind: "trace", path: file, batchTokens: 2 }, experts: 2, tokens: 2 });
    writeScenario("run-trace.json", traced("rt/loads.csv"));
    writeScenario("sweep-trace.json", { ...traced("st/summary.csv"), seeds: [1, 2] });
    writeScenario("cell-trace.json", { ...traced("ct/cells/0/steps.csv"), seeds: [1, 2] });
    writeScenario("rs/run.json");
    writeScenario("results/small/run.json");
    writeFileSync(inFolder("mt/loads.csv"), "1,3\n2,2\n");
  });

  it.each([
    [
      "run run-trace.json --out rt",
      /run-trace\.json: a file that it reads: the results in rt would overwrite \S+rt\/loads\.csv; .* --out/,
    ],
    ["run run-trace.json --out ./st/../rt", /a file that it reads/],
    ["run rs/run.json --out rs", /the scenario: the results in rs would overwrite rs\/run\.json;/],
    [
      "run results/small/run.json",
      /the scenario: the results in results\/small would overwrite results\/small\/run\.json;/,
    ],
    ["run cell-trace.json --out ct", /ct\/cells\/0\/steps\.csv/],
    [
      "sweep sweep-trace.json --out st",
      /sweep-trace\.json: a file that it reads: the results in st would overwrite \S+st\/summary\.csv;/,
    ],
    ["sweep cell-trace.json --out ct", /ct\/cells\/0\/steps\.csv/],
    ["sweep rs/run.json --out rs", /the scenario: the results in rs would overwrite rs\/run\.json;/],
    ["measure --loads mt/loads.csv --experts 2 --out mt", /--loads: the results in mt would overwrite mt\/loads\.csv;/],
  ])("do not replace what they are made from: %s", async (words, message) => {
    const before = contents();
    const { code, stderr } = await runInProcess(words.split(" "), folder);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
    expect(contents()).toEqual(before);
  });

  it("go beside what they are made from where it has a name of its own", async () => {
    mkdirSync(inFolder("beside"));
    copyFileSync(inFolder("logits.csv"), inFolder("beside/logits.csv"));
    writeScenario("beside/x.json", {
      stream: { kind: "trace", path: "logits.csv", batchTokens: 2 },
      tokens: 2,
      experts: 2,
    });
    const { code, stderr } = await runInProcess([
      "run",
      inFolder("beside/x.json"),
      "--out",
      inFolder("beside"),
      "--quiet",
    ]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(readFileSync(inFolder("beside/logits.csv"), "utf8")).toBe(logits);
  });
});
