import { describe, expect, it } from "vitest";
import { createRefittedPlacement, movedExperts } from "../../../src/core/placement/refitted.ts";

const shape = { experts: 4, gpus: 2, slots: 4, nodes: 1, groups: 1 };
const busy01 = [4, 4, 1, 1];
const busy02 = [4, 1, 4, 1];

/** The experts on each GPU, after each of the steps, and the moves. */
function follow(loads: number[][], window: number, interval: number, method: "eplb" | "balanced" = "eplb") {
  const placement = createRefittedPlacement(shape, { method, window, interval }, 0);
  return loads.map((load) => {
    const moves = placement.advance();
    placement.observe(load);
    const { expertOfSlot } = placement.state;
    const gpus = [0, 2].map((slot) =>
      Array.from(expertOfSlot.slice(slot, slot + 2))
        .sort()
        .join(""),
    );
    return [...gpus, moves];
  });
}

describe("a placement that is fitted again", () => {
  it("has the experts in order until the first interval is over", () => {
    expect(follow([busy01, busy01, busy01], 2, 2)).toEqual([
      ["01", "23", 0],
      ["01", "23", 0],
      ["02", "13", 2],
    ]);
  });

  it("sums up the loads of the window only", () => {
    const loads = [busy01, busy01, busy01, busy02, busy02];
    // Of the last step, busy02: 0 and 2 part. Of all four, 0 has 16, 1 has 13 and 2 has 7.
    expect(follow(loads, 1, 4).at(-1)).toEqual(["01", "23", 0]);
    expect(follow(loads, 4, 4).at(-1)).toEqual(["03", "12", 2]);
  });

  it("keeps windows that overlap apart", () => {
    const loads = [busy01, busy02, busy02, busy02, busy01, busy01];
    const [window, interval] = [3, 1];
    const followed = follow(loads, window, interval);
    for (let step = 1; step < loads.length; step++) {
      const last = loads.slice(Math.max(0, step - window), step);
      const summed = last.reduce((sum, load) => sum.map((each, e) => each + load[e]));
      // One window over as many steps sees the same loads.
      const alone = follow([...last, busy01], last.length, last.length).at(-1)!;
      expect(followed[step].slice(0, 2), `${step}: ${summed}`).toEqual(alone.slice(0, 2));
    }
  });

  it("stays if there was no load", () => {
    expect(follow([busy01, [0, 0, 0, 0], busy01], 1, 1)).toEqual([
      ["01", "23", 0],
      ["02", "13", 2],
      ["02", "13", 0],
    ]);
  });

  it.each([
    ["", []],
    [", which is that of the first window with load", [[0, 0, 0, 0]]],
  ])("keeps the first placement aside%s", (_, before) => {
    const placement = createRefittedPlacement(shape, { method: "eplb", window: 1, interval: 1 }, 0);
    const loads = [...before, busy01, busy02, busy02];
    for (const load of loads) {
      placement.advance();
      placement.observe(load);
    }
    expect(Array.from(placement.state.first)).toEqual([0, 2, 1, 3]);
    expect(Array.from(placement.state.expertOfSlot)).toEqual([0, 1, 2, 3]);
  });

  it("resumes from its state", () => {
    const rule = { method: "balanced", window: 3, interval: 2 } as const;
    const loads = [busy01, busy02, busy02, busy01, busy01, busy02, busy01];
    const whole = createRefittedPlacement(shape, rule, 0);
    let resumed = createRefittedPlacement(shape, rule, 0);
    for (const load of loads) {
      const moves = [whole, resumed].map((each) => each.advance());
      expect(moves[1]).toBe(moves[0]);
      for (const each of [whole, resumed]) each.observe(load);
      expect(resumed.state).toEqual(whole.state);
      resumed = createRefittedPlacement(shape, rule, 0, structuredClone(resumed.state));
    }
  });

  it("gives balanced placements to the GPUs that have most of their experts", () => {
    // Placed anew, 3 and 1 could be on either GPU: 0 and 2 stay, 1 and 3 change places.
    const loads = [busy01, [9, 1, 3, 5], busy01];
    const moves = follow(loads, 1, 1, "balanced").map((row) => row[2]);
    expect(moves).toEqual([0, 2, 2]);
  });
});

it("counts what a GPU did not have as moved, twins once", () => {
  const before = Int32Array.of(0, 1, 2, 3);
  expect(movedExperts(before, Int32Array.of(1, 0, 3, 2), 2)).toBe(0);
  expect(movedExperts(before, Int32Array.of(0, 2, 1, 3), 2)).toBe(2);
  expect(movedExperts(before, Int32Array.of(0, 0, 1, 1), 2)).toBe(1);
});
