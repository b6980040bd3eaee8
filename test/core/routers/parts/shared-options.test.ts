import { describe, expect, it } from "vitest";
import { createRandom } from "../../../../src/core/random.ts";
import { emptyStateSchema, randomStateSchema } from "../../../../src/core/routers/parts/shared-options.ts";

describe("the options and states that routers share", () => {
  it("take the state of a random source after JSON, and nothing that lacks a part of it", () => {
    const random = createRandom("state");
    random.uniform();
    const saved = JSON.parse(JSON.stringify(random.state()));
    expect(randomStateSchema.parse(saved)).toEqual(random.state());
    expect(() => randomStateSchema.parse({ i: 1, j: 2 })).toThrow();
    expect(() => randomStateSchema.parse({ ...saved, S: ["1"] })).toThrow();
  });

  it("take no field in the state of a router that remembers nothing", () => {
    expect(emptyStateSchema.parse({})).toEqual({});
    expect(() => emptyStateSchema.parse({ bias: [] })).toThrow();
  });
});
