import { expect, it } from "vitest";
import { diagnosisObject } from "../../../src/core/diagnosis/tables.ts";
import { diagnose, InputError } from "../../../src/index.ts";
import { projectPath } from "../../support/program.ts";
import { runInProcess } from "../../support/run-in-process.ts";

const files = projectPath("scenarios/traces/made-selections.npy");
const reading = { files, as: "selections", experts: 64 } as const;

it("finds what the command line finds", async () => {
  const words = ["--as", "selections", "--experts", "64", "--gpus", "8", "--split", "0.4", "--json"];
  const { code, stdout } = await runInProcess(["diagnose", files, ...words]);
  expect(code).toBe(0);
  const found = await diagnose({ ...reading, gpus: 8, split: 0.4 });
  expect(JSON.parse(JSON.stringify(diagnosisObject(found)))).toEqual(JSON.parse(stdout));
});

it.each([
  [{ ...reading, split: 1 }, "split"],
  [{ ...reading, gpu: 8 }, "gpu: unknown"],
  [{ ...reading, nodes: 2 }, "nodes: only together with gpus"],
  [{ ...reading, files: "missing.npy" }, "missing.npy"],
])("refuses %j", async (input, message) => {
  await expect(diagnose(input)).rejects.toThrow(InputError);
  await expect(diagnose(input)).rejects.toThrow(message);
});
