import { describe, expect, it } from "vitest";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import { openRunCheckpoint } from "../../../src/node/run/run-scenario.ts";
import { temporaryFolder } from "../../support/program.ts";
import { stagingIn } from "../../support/staging.ts";

describe("the checkpoint of a run", () => {
  async function small() {
    const written = { name: "small", experts: 4, stream: { kind: "gaussian" }, routers: [{ kind: "topk" }] };
    return { scenario: await resolveScenario(written, "small.yaml"), staging: stagingIn(temporaryFolder()) };
  }

  it("goes on to keep what is done as often as the last program that said how often", async () => {
    const { scenario, staging } = await small();
    const every = async (wanted: number | null) =>
      (await openRunCheckpoint(staging, scenario, "wasm", wanted, 1))?.every;
    expect(await every(null)).toBeUndefined();
    expect(await every(500)).toBe(500);
    expect(await every(null)).toBe(500);
    expect(await every(70)).toBe(70);
    expect(await every(null)).toBe(70);
  });

  it("is not gone on with on another backend", async () => {
    const { scenario, staging } = await small();
    await openRunCheckpoint(staging, scenario, "wasm", 5, 1);
    await expect(openRunCheckpoint(staging, scenario, "reference", null, 1)).rejects.toThrow(
      'of another run; what differs: the backend ("wasm" there, "reference" here). Resume that run as it was',
    );
    expect(await openRunCheckpoint(staging, scenario, "wasm", null, 1)).not.toBeNull();
  });
});
