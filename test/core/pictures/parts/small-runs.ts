import { openRecording } from "../../../../src/core/formats/recording.ts";
import { type ReportData, readReportData } from "../../../../src/core/pictures/parts/report-data.ts";
import { resolveScenario } from "../../../../src/core/scenario/load.ts";
import { sweepCells } from "../../../../src/core/scenario/sweep.ts";
import { openResults } from "../../../../src/node/files/read-results.ts";
import { measureRecorded } from "../../../../src/node/run/measure-recorded.ts";
import { runScenario } from "../../../../src/node/run/run-scenario.ts";
import { runSweep } from "../../../../src/node/run/run-sweep.ts";
import { projectPath, temporaryFolder } from "../../../support/program.ts";
import { stagingIn } from "../../../support/staging.ts";

/** Eight experts of which some stay idle, with a router of each sort: plain, with a bias, with a plan, without drops. */
export const smallScenario = {
  name: "small",
  seed: 1,
  steps: 8,
  tokens: 64,
  experts: 8,
  topK: 2,
  ranks: 2,
  regret: { every: 2 },
  stream: { kind: "clusters", clusters: 6, exponent: 1.6 },
  routers: [
    { kind: "topk" },
    { kind: "alf-lb", updateRate: 0.01 },
    { kind: "ssr", select: { mode: "every", n: 2 } },
    { kind: "scot" },
    { kind: "expert-choice" },
  ],
} as const;

const quietly = {
  workers: 1,
  backend: "wasm",
  onProgress: () => undefined,
} as const;

/** What a run of `written` leaves. */
export async function dataOfRun(written: object): Promise<ReportData> {
  const folder = temporaryFolder();
  await runScenario(await resolveScenario(written, "small"), folder, quietly);
  return readReportData(openResults(folder));
}

/** What a sweep of `written` leaves. */
export async function dataOfSweep(written: object): Promise<ReportData> {
  const staging = stagingIn(temporaryFolder());
  const cells = await sweepCells(written, "small", 100);
  await runSweep(cells, staging, { ...quietly, scenarioFile: "small", resume: false });
  return readReportData(openResults(staging.files));
}

/** What measuring the recorded loads of a model with 8 experts leaves. */
export async function dataOfMeasure(): Promise<ReportData> {
  const folder = temporaryFolder();
  const recording = await openRecording(projectPath("scenarios/traces/made-loads.npy"));
  await measureRecorded(recording, folder, { name: "recorded", experts: 8, ranks: 1, onProgress: () => undefined });
  await recording.close();
  return readReportData(openResults(folder));
}
