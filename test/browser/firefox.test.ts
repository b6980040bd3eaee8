import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { serveSite } from "../../src/node/explore-server.ts";
import { addressOf, scenarioFileOf, type View } from "../../src/page/explore/view.ts";
import { projectPath, readCsv, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";
import { findFirefox } from "./browser.ts";

const firefox = findFirefox();

/** Firefox computes `Math.log`, `Math.exp` and `Math.cos` in its own way, which differs from V8's in the last digits. */
const tolerance = 1e-12;

const view: View = {
  steps: 10,
  scenario: {
    name: "in-firefox",
    seed: 5,
    tokens: 256,
    experts: 16,
    regret: { every: 1 },
    stream: { kind: "drift", rate: 0.1 },
    routers: [{ kind: "topk" }, { kind: "alf-lb", updateRate: 0.02 }, { kind: "sinkhorn", epsilon: 0.2 }],
  },
};

describe.skipIf(firefox === undefined)("explore in Firefox (skipped without it)", () => {
  it("computes what the command line does, within what the last digits of exp and log differ by", async () => {
    const folder = temporaryFolder();
    const server = await serveSite([], 0);
    const script = projectPath("test/browser/firefox.mjs");
    const words = [script, firefox!, `${server.url}#${await addressOf(view)}`, String(view.steps)];
    const program = spawn(process.execPath, ["--experimental-websocket", "--no-warnings", ...words], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let printed = "";
    program.stdout.setEncoding("utf8").on("data", (text) => {
      printed += text;
    });
    expect(await once(program, "close")).toEqual([0, null]);
    await server.close();
    const { text, problems } = JSON.parse(printed);
    expect(problems).toEqual([]);

    writeFileSync(path.join(folder, "summary.csv"), text);
    writeFileSync(path.join(folder, "scenario.json"), JSON.stringify(scenarioFileOf(view)));
    const { code, stderr } = await runInProcess(["run", "scenario.json", "--quiet", "--out", "results"], folder);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [found, right] = [path.join(folder, "summary.csv"), path.join(folder, "results/summary.csv")].map(readCsv);
    expect(found).toHaveLength(3);
    for (const [index, row] of right.entries()) {
      expect(Object.keys(found[index])).toEqual(Object.keys(row));
      for (const [column, expected] of Object.entries(row)) {
        const cell = found[index][column];
        if (cell === expected) continue;
        const difference = Math.abs(Number(cell) - Number(expected));
        expect(difference, column).toBeLessThan(tolerance * Math.max(1, Math.abs(Number(expected))));
      }
    }
  });
});
