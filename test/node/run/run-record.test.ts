import { existsSync, renameSync, statSync, unlinkSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import type { Scenario } from "../../../src/core/scenario/scenario.ts";
import { type SweepCell, sweepCells } from "../../../src/core/scenario/sweep.ts";
import { readRunRecord } from "../../../src/node/files/results-folder.ts";
import { runCell } from "../../../src/node/run/cell.ts";
import { openInput } from "../../../src/node/run/run-record.ts";
import { runSweep } from "../../../src/node/run/run-sweep.ts";
import { npyBytes } from "../../support/npy.ts";
import { readCsv, temporaryFolder } from "../../support/program.ts";
import { stagingIn } from "../../support/staging.ts";

const sizes = { steps: 3, tokens: 8, experts: 4 };
const values = (seed: number) =>
  Array.from({ length: sizes.steps * sizes.tokens * sizes.experts }, (_, i) => Math.sin(seed * (i + 1)));
const changed = /changed or replaced while it was used/;

let folder: string;
let recording: string;
let cells: SweepCell[];
let scenario: Scenario;

/** Puts another recording of the same sizes, with the same time of writing, in the place of the one that is there. */
function replaceRecording(): void {
  const { atime, mtime } = statSync(recording);
  const beside = `${recording}.new`;
  writeFileSync(beside, npyBytes([sizes.steps, sizes.tokens, sizes.experts], values(7)));
  utimesSync(beside, atime, mtime);
  renameSync(beside, recording);
}

beforeEach(async () => {
  folder = temporaryFolder();
  recording = path.join(folder, "recording.npy");
  writeFileSync(recording, npyBytes([sizes.steps, sizes.tokens, sizes.experts], values(1)));
  const written = {
    name: "recorded",
    topK: 1,
    stream: { kind: "trace", path: recording },
    routers: [{ kind: "topk" }],
    seeds: [1, 2],
  };
  cells = await sweepCells(written, "recorded.yaml", 10, folder);
  ({ scenario } = cells[0]);
});

describe("openInput", () => {
  it("records the file as it was when the run began, and finds it the same", async () => {
    const input = await openInput(scenario);
    const { size, mtimeMs } = statSync(recording);
    expect(input?.record).toEqual({ path: recording, bytes: size, modifiedMs: mtimeMs });
    await input?.checkSame();
  });

  it.each<[string, () => void]>([
    ["another file took its place, of the same size and time", replaceRecording],
    ["it was written to", () => writeFileSync(recording, npyBytes([3, 8, 4], values(2)))],
    ["it was cut off", () => writeFileSync(recording, "")],
    ["it is gone", () => unlinkSync(recording)],
  ])("refuses it when %s", async (_, change) => {
    const input = await openInput(scenario);
    await new Promise((resolve) => setTimeout(resolve, 20));
    change();
    await expect(input?.checkSame()).rejects.toThrow(changed);
  });
});

describe("a recording that is replaced", () => {
  const options = { scenarioFile: "recorded.yaml", workers: 1, backend: "wasm" as const };

  it("during a run leaves no results that say they are of the new file", async () => {
    const cell = path.join(folder, "cell");
    const task = { scenario, folder: cell, workFolder: folder, ...options };
    await expect(runCell(task, replaceRecording)).rejects.toThrow(changed);
    expect(existsSync(cell)).toBe(false);
  });

  it("between two cells stops the sweep, and a resumed one takes nothing of the old file", async () => {
    const staging = stagingIn(folder);
    const out = staging.files;
    let isReplaced = false;
    const attempt = runSweep(cells, staging, {
      ...options,
      resume: false,
      onProgress(progress) {
        if (progress.cells === 0 || isReplaced) return;
        isReplaced = true;
        replaceRecording();
        // A moment that the record can tell apart.
        utimesSync(recording, new Date(), new Date());
      },
    });
    await expect(attempt).rejects.toThrow(changed);
    expect(existsSync(path.join(out, "summary.csv"))).toBe(false);

    await runSweep(cells, staging, { ...options, resume: true, onProgress: () => undefined });
    const { mtimeMs } = statSync(recording);
    const records = cells.map((_, i) => readRunRecord(path.join(out, "cells", String(i))));
    expect(records.map((record) => record?.input)).toEqual(
      cells.map(() => ({ path: recording, bytes: statSync(recording).size, modifiedMs: mtimeMs })),
    );
    const [first, second] = readCsv(path.join(out, "summary.csv"));
    expect({ ...second, seed: "1" }).toEqual(first);
  });
});
