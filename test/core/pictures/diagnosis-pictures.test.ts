import { expect, it } from "vitest";
import { diagnose } from "../../../src/core/library/diagnose.ts";
import { diagnosisPictures } from "../../../src/core/pictures/diagnosis-pictures.ts";
import { projectPath } from "../../support/program.ts";

const selections = projectPath("scenarios/traces/made-selections.npy");

it("draws the GPUs before and after the placement that was fitted to part A, if there are GPUs", async () => {
  const input = { files: selections, as: "selections", experts: 64 } as const;
  expect(diagnosisPictures(await diagnose(input)).map(({ id }) => id)).toEqual(["loads"]);
  const diagnosis = await diagnose({ ...input, gpus: 8 });
  const [loads, gpus] = diagnosisPictures(diagnosis);
  expect([loads.id, gpus.id]).toEqual(["loads", "gpu-loads"]);
  expect(gpus.reading).toContain("summed over the whole recording, with experts ");
  const series = gpus.option.series as { name: string; data: number[] }[];
  expect(series.map(({ name }) => name)).toEqual(["experts in order", "placed", "bound of any placement"]);
  const [{ load }] = diagnosis.layers;
  const mean = load.reduce((sum, each) => sum + each, 0) / 8;
  // Eight experts of each GPU in order, in percent of the mean, as the picture rounds them.
  series[0].data.forEach((percent, gpu) => {
    const own = load.subarray(8 * gpu, 8 * gpu + 8).reduce((sum, each) => sum + each, 0);
    expect(percent).toBeCloseTo((100 * own) / mean, 1);
  });
  expect(Math.max(...series[1].data)).toBeLessThan(Math.max(...series[0].data));
  expect(Math.max(...series[1].data)).toBeGreaterThanOrEqual(series[2].data[0] - 0.01);
});
