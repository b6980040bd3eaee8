import { expect, it } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import { sweepDualRegretWarnings } from "../../../src/core/results/warnings.ts";
import { dualRegretBases } from "../../../src/node/files/dual-regret-bases.ts";
import { madeSweep } from "../../support/made-sweep.ts";

const rows = [{ router: "a" }];
const basis = { router: "a", gap: 0, keptFraction: 1 };

function basesOf(records: readonly unknown[]) {
  return dualRegretBases(
    madeSweep(
      [],
      records.map((record, seed) => ({ seed, values: [], rows, record })),
    ),
  );
}

it("lists what the run.json of every cell tells, in the order of the cells", () => {
  const other = { router: "a", gap: 0.5, keptFraction: 0.25 };
  expect(basesOf([{ dualRegret: [basis] }, { dualRegret: [] }, { dualRegret: [other, basis] }])).toEqual([
    basis,
    other,
    basis,
  ]);
});

it("finds nothing in a cell without run.json, or whose run.json does not tell", () => {
  expect(basesOf([undefined, { seed: 1 }, { dualRegret: [basis] }])).toEqual([basis]);
});

it.each([[null], [[]], [{ dualRegret: 1 }], [{ dualRegret: [{ ...basis, gap: "0" }] }]])(
  "names the run.json that holds %j",
  (record) => {
    expect(() => basesOf([{ dualRegret: [basis] }, record])).toThrow(InputError);
    expect(() => basesOf([{ dualRegret: [basis] }, record])).toThrow(/cells\/1\/run\.json: dualRegret is not as/);
  },
);

it("tells of a sweep in a line how many rows rest on a sample, and in another how far they may be off", () => {
  expect(sweepDualRegretWarnings([basis, { ...basis, keptFraction: 0.5 }, { ...basis, keptFraction: 0.25 }])).toEqual([
    "dual regret is based on a sample in 2 rows of summary.csv, at least 25 % of the tokens (keptFraction in each cell's run.json)",
  ]);
  expect(sweepDualRegretWarnings([basis, { ...basis, gap: 0.123 }])).toEqual([
    "dual regret may be up to 0.12 too low in 1 row of summary.csv (gap in each cell's run.json)",
  ]);
  expect(sweepDualRegretWarnings([basis])).toEqual([]);
});
