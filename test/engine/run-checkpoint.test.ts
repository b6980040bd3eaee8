import { expect, it } from "vitest";
import { openRunCheckpoint } from "../../src/engine/run-checkpoint.ts";
import { resolveScenario } from "../../src/scenario/load.ts";
import { temporaryFolder } from "../support/program.ts";

it("goes on to keep what is done as often as the last program that said how often", async () => {
  const written = { name: "small", experts: 4, stream: { kind: "gaussian" }, routers: [{ kind: "topk" }] };
  const scenario = await resolveScenario(written, "small.yaml");
  const folder = temporaryFolder();
  const every = async (wanted: number | null) => (await openRunCheckpoint(folder, scenario, "wasm", wanted, 1))?.every;
  expect(await every(null)).toBeUndefined();
  expect(await every(500)).toBe(500);
  expect(await every(null)).toBe(500);
  expect(await every(70)).toBe(70);
  expect(await every(null)).toBe(70);
});
