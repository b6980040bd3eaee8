import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { claimPartialFolder } from "../../src/report/partial-folder.ts";
import { temporaryFolder } from "../support/program.ts";

it("takes over the latest of several checkpoints whose programs are gone, and leaves the others", () => {
  const folder = temporaryFolder();
  for (const [name, seconds] of [
    ["early", 1000],
    ["latest", 3000],
    ["later", 2000],
  ] as const) {
    const { pid } = spawnSync(process.execPath, ["--version"]);
    const checkpoint = path.join(folder, `.partial-${pid}-${name}`, "checkpoint");
    mkdirSync(checkpoint, { recursive: true });
    writeFileSync(path.join(checkpoint, "0.pass"), "");
    utimesSync(checkpoint, seconds, seconds);
  }
  const own = `.partial-${process.pid}-latest`;
  expect(claimPartialFolder(folder)).toBe(path.join(folder, own));
  const rest = readdirSync(folder).filter((name) => name !== own);
  expect(rest.map((name) => name.split("-").at(-1)).sort()).toEqual(["early", "later"]);
});
