import { describe, expect, it } from "vitest";
import { createAssignmentBuffers } from "../../../../src/core/routers/parts/assignment-buffers.ts";
import { backends } from "../../../support/backends.ts";

describe.each(backends)("createAssignmentBuffers on $backend kernels", (kernels) => {
  it("has topK slots for each of the most tokens a batch may hold, and one load per expert, all zero", () => {
    const { slots, expert, gate, load } = createAssignmentBuffers(kernels, {
      tokens: 5,
      experts: 4,
      topK: 3,
      capacityFactor: 1,
    });
    expect(slots).toBe(3);
    expect(Array.from(expert)).toEqual(new Array(15).fill(0));
    expect(Array.from(gate)).toEqual(new Array(15).fill(0));
    expect(Array.from(load)).toEqual([0, 0, 0, 0]);
  });
});
