import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { metrics, models, routers, streams, transport } from "../../../src/index.ts";
import { projectPath, temporaryFolder } from "../../support/program.ts";

it("makes pages of every exported symbol without a warning, such as a symbol that is not documented", () => {
  const folder = temporaryFolder();
  // Types are checked elsewhere, which would take most of the time here.
  const words = [projectPath("node_modules/typedoc/bin/typedoc"), "--out", folder, "--skipErrorChecking"];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { cwd: projectPath(), encoding: "utf8" });
  expect(`${stdout}${stderr}`).not.toMatch(/warning|error/);
  expect(status).toBe(0);
  const groups = Object.entries({ metrics, models, routers, streams, transport });
  const members = groups.flatMap(([group, library]) => Object.keys(library).map((member) => `${group}.${member}`));
  for (const name of ["simulate", "measure", "loadScenario", ...members]) {
    expect(existsSync(path.join(folder, "functions", `${name}.html`)), name).toBe(true);
  }
  for (const [group] of groups) expect(existsSync(path.join(folder, "modules", `${group}.html`)), group).toBe(true);
  expect(readFileSync(path.join(folder, "index.html"), "utf8")).toContain("moesim as a library");
});
