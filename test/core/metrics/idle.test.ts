import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createIdleTracker } from "../../../src/core/metrics/idle.ts";

/** Both answers from the whole history, one expert at a time. */
function fromHistory(history: number[][], window: number) {
  const experts = history[0].length;
  let longestStreak = 0;
  let deadExperts = 0;
  for (let expert = 0; expert < experts; expert++) {
    const idle = history.map((load) => (load[expert] === 0 ? "0" : "1")).join("");
    longestStreak = Math.max(longestStreak, ...idle.split("1").map((run) => run.length));
    if (!idle.slice(-window).includes("1")) deadExperts += 1;
  }
  return { longestStreak, deadExperts };
}

function track(history: number[][]) {
  const tracker = createIdleTracker(history[0].length);
  for (const load of history) tracker.observe(load);
  return tracker;
}

describe("createIdleTracker", () => {
  it("has seen no streak before the first step", () => {
    expect(createIdleTracker(4).longestStreak()).toBe(0);
  });

  it("remembers a streak that has ended, of whichever expert", () => {
    const tracker = track([
      [1, 0],
      [1, 0],
      [1, 0],
      [0, 2],
      [0, 2],
    ]);
    expect(tracker.longestStreak()).toBe(3);
    expect(tracker.deadExperts(2)).toBe(1);
    expect(tracker.deadExperts(3)).toBe(0);
  });

  it("calls an expert dead only when it had no token in any of the last steps of the window", () => {
    const history = [
      [0, 1, 0],
      [0, 0, 1],
      [0, 0, 0],
    ];
    expect([1, 2, 3].map((window) => track(history).deadExperts(window))).toEqual([3, 2, 1]);
  });

  it("agrees with the whole history after every step", () => {
    const histories = fc.integer({ min: 1, max: 5 }).chain((experts) =>
      fc.array(fc.array(fc.constantFrom(0, 0, 1, 7), { minLength: experts, maxLength: experts }), {
        minLength: 1,
        maxLength: 20,
      }),
    );
    fc.assert(
      fc.property(histories, (history) => {
        const tracker = createIdleTracker(history[0].length);
        history.forEach((load, step) => {
          tracker.observe(Int32Array.from(load));
          for (let window = 1; window <= step + 1; window++) {
            const expected = fromHistory(history.slice(0, step + 1), window);
            expect(tracker.longestStreak()).toBe(expected.longestStreak);
            expect(tracker.deadExperts(window)).toBe(expected.deadExperts);
          }
        });
      }),
      { seed: 1, numRuns: 50 },
    );
  });
});
