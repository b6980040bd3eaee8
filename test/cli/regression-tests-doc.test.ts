import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { listFiles, moesim, projectPath, temporaryFolder } from "../support/program.ts";

const doc = readFileSync(projectPath("docs/regression-tests.md"), "utf8");
const blocksOf = (language: string) =>
  Array.from(doc.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms")), ([, text]) => text);
const [workflow, gate] = blocksOf("yaml");
const [makeBaseline] = blocksOf("sh");
const steps: { run?: string }[] = parse(workflow).jobs.routing.steps;
const commands = steps.flatMap(({ run }) => run ?? []).filter((command) => command !== "npm ci");

const repository = temporaryFolder();

/** Runs the commands of the document one after another until one fails, as a CI job does. */
function runAll(lines: readonly string[]) {
  let last = { code: 0 as number | null, stdout: "", stderr: "" };
  for (const line of lines) {
    const [npx, program, ...words] = line.split(" ");
    expect([npx, program]).toEqual(["npx", "moesim"]);
    last = moesim(words, repository);
    if (last.code !== 0) break;
  }
  return last;
}

describe("the CI job of docs/regression-tests.md", () => {
  beforeAll(() => {
    const scenario = readFileSync(projectPath("scenarios/quickstart.yaml"), "utf8");
    writeFileSync(path.join(repository, "routing.yaml"), scenario.replace("steps: 200", "steps: 20"));
    writeFileSync(path.join(repository, "gate.yaml"), gate);
    expect(runAll(makeBaseline.trim().split("\n"))).toMatchObject({ code: 0 });
  });

  it("passes if nothing has changed, and leaves its report", () => {
    expect(commands).toHaveLength(2);
    const { code, stdout, stderr } = runAll(commands);
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^passed: \d+ same \(tolerance 2%\); gate: 9 kept, 0 broken$/m);
    expect(code).toBe(0);
    expect(listFiles(repository)).toContain("check.xml");
  });

  it("fails if a router has become worse", () => {
    const scenario = path.join(repository, "routing.yaml");
    const text = readFileSync(scenario, "utf8");
    writeFileSync(scenario, text.replace("n: 4", "n: 40"));
    const { code, stdout } = runAll(commands);
    writeFileSync(scenario, text);
    expect(stdout).toMatch(/^ worse +summary\.csv +ssr +max_vio_batch_mean /m);
    expect(stdout).toMatch(/^failed: /m);
    expect(code).toBe(1);
  });
});
