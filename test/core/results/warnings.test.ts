import { expect, it } from "vitest";
import { sampledRegretWarnings } from "../../../src/core/results/warnings.ts";

const ssr = { router: "ssr", steps: 100, solved: 10, measured: 25, solvedWithRegret: 3 };

it.each([
  ["both sorts of steps", ssr],
  ["every step", { ...ssr, measured: 100, solvedWithRegret: 10 }],
  ["none", { ...ssr, measured: 0, solvedWithRegret: 0 }],
])("says nothing of a router whose regret was measured on %s", (_, sample) => {
  expect(sampledRegretWarnings([sample])).toEqual([]);
});

it.each([0, 100])("says nothing of a router that solved on %i of 100 steps", (solved) => {
  expect(sampledRegretWarnings([{ ...ssr, solved, solvedWithRegret: solved / 4 }])).toEqual([]);
});

it.each([
  ["with", 0],
  ["without", 25],
])("warns if regret was measured on no step %s a plan", (missing, solvedWithRegret) => {
  const [warning, ...others] = sampledRegretWarnings([{ ...ssr, solvedWithRegret }]);
  expect(others).toEqual([]);
  expect(warning).toMatch(
    new RegExp(
      `^ssr: its plan ran on 10 of 100 steps, but regret was measured on no step ${missing} a plan, so regret_mean`,
    ),
  );
});

it("warns once if regret was measured on a single step of several", () => {
  const one = { ...ssr, measured: 1, solvedWithRegret: 0 };
  expect(sampledRegretWarnings([one, { ...one, router: "topk" }])).toEqual([
    expect.stringMatching(/^regret was measured on one of 100 steps, so regret_mean has no standard error/),
  ]);
  expect(sampledRegretWarnings([{ ...one, steps: 1, solved: 0 }])).toEqual([]);
});
