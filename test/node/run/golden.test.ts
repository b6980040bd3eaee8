import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { withOutputFolder } from "../../../src/cli/output.ts";
import { formatCheck } from "../../../src/cli/text/check-output.ts";
import { planAcceptance, stageAcceptance } from "../../../src/node/check/accept-results.ts";
import { type CheckRules, checkResults } from "../../../src/node/check/check-results.ts";
import { parseTolerances } from "../../../src/node/check/tolerances.ts";
import { loadScenario } from "../../../src/node/files/scenario-file.ts";
import { runScenario } from "../../../src/node/run/run-scenario.ts";
import { projectPath, temporaryFolder } from "../../support/program.ts";

// Set to accept the results as they are now: UPDATE_GOLDEN=1 npx vitest run test/node/run/golden.test.ts
const isUpdate = process.env.UPDATE_GOLDEN !== undefined;

// Training takes most of the time; a quick check makes one such run.
const isLong = (name: string) => name.startsWith("training-") && name !== "training-ssr-clusters.yaml";
const scenarios = readdirSync(projectPath("scenarios"))
  .filter((name) => name.endsWith(".yaml"))
  .filter((name) => process.env.QUICK_TESTS !== "1" || !isLong(name));

// V8 computes exp and log itself, so that known versions give the same bytes, which GOLDEN_TOLERANCE=0 checks. Another
// engine may round them differently, which shows in the last digits of scores and marginal errors, and in the dual regret
// within 2e-6: the search for the best bias in hindsight stops at a gap of 1e-6.
const overall = process.env.GOLDEN_TOLERANCE ?? "1e-9";
const tolerances = parseTolerances(overall, overall === "0" ? [] : ["dual_regret_cumulative=2e-6"]);
const rules: CheckRules = { failOn: "different", tolerances, isStrict: true, gate: null };

/** A small run of a scenario: few steps, and few tokens where the file does not fix them. Returns a folder with its summary. */
async function summaryOf(file: string): Promise<string> {
  const isRecorded = file.startsWith("trace");
  const overrides = ["steps=8", ...(isRecorded ? [] : ["tokens=96"])];
  // Shifts that come later than the few steps would be refused.
  if (file === "drift.yaml") overrides.push("stream.steps=[3, 6]");
  if (file === "training-shift.yaml") overrides.push("stream.shift=[4]");
  // Longer than the few steps, there would be only the initial placement.
  if (file === "placement.yaml") overrides.push("placement.interval=3", "placement.window=2");
  const scenario = await loadScenario(projectPath("scenarios", file), overrides);
  const folder = temporaryFolder();
  await runScenario(scenario, folder, { workers: 1, backend: "wasm", onProgress: () => undefined });
  // The rest would make the record large, and follows from the same numbers.
  for (const name of readdirSync(folder)) {
    if (name !== "summary.csv" && name !== "layers.csv") rmSync(path.join(folder, name));
  }
  return folder;
}

function goldenOf(file: string): string {
  return projectPath("test/golden", path.parse(file).name);
}

describe("a small run of each scenario gives the results on record", () => {
  it.each(scenarios)("%s", async (file) => {
    const [folder, golden] = [await summaryOf(file), goldenOf(file)];
    if (isUpdate) {
      const acceptance = planAcceptance(folder, golden);
      await withOutputFolder(golden, async ({ files }) => stageAcceptance(folder, files, acceptance));
    }
    const check = await checkResults(folder, golden, rules);
    expect(check.passed, formatCheck(check, tolerances)).toBe(true);
  });

  it("and would not with a score that is off in its eighth digit", async () => {
    const folder = await summaryOf("quickstart.yaml");
    const file = path.join(folder, "summary.csv");
    const [header, first, ...rest] = readFileSync(file, "utf8").split("\n");
    const column = header.split(",").indexOf("score");
    const cells = first.split(",");
    cells[column] = String(Number(cells[column]) + 1e-8);
    writeFileSync(file, [header, cells.join(","), ...rest].join("\n"));
    const check = await checkResults(folder, goldenOf("quickstart.yaml"), rules);
    expect(check.parts.flatMap(({ worst }) => worst)).toMatchObject([
      { kind: "value", verdict: "better", file: "summary.csv", router: cells[1], column: "score" },
    ]);
  });
});
