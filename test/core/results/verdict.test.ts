import { describe, expect, it } from "vitest";
import { formatInterval } from "../../../src/core/results/format.ts";
import type { Interval } from "../../../src/core/results/interval.ts";
import { variantsOf } from "../../../src/core/results/variants.ts";
import {
  balanceSentences,
  type Contender,
  convergenceSentence,
  type Verdict,
  verdictOf,
  verdictOfRun,
  verdictSentences,
  weigh,
} from "../../../src/core/results/verdict.ts";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import { openResults } from "../../../src/node/files/read-results.ts";
import { runScenario } from "../../../src/node/run/run-scenario.ts";
import { madeSweep } from "../../support/made-sweep.ts";
import { temporaryFolder } from "../../support/program.ts";
import { smallScenario } from "../pictures/parts/small-runs.ts";

const training = { steps: 3, ranks: 1, stream: { kind: "training" }, routers: [{ kind: "topk" }, { kind: "alf-lb" }] };

/** Of one seed, or of several with half the width of the interval. */
function interval(mean: number, halfWidth: number | null = null): Interval {
  return { mean, halfWidth, count: halfWidth === null ? 1 : 3 };
}

type Made = readonly [name: string, maxVio: number, regret: number | null, score: number | null, halfWidth?: number];

function contender([name, maxVio, regret, score, halfWidth]: Made): Contender {
  return {
    name,
    maxVio: interval(maxVio, halfWidth),
    price: regret === null ? null : interval(regret),
    score: score === null ? null : interval(score),
    missedSteps: 0,
  };
}

function verdictOn(...made: readonly Made[]): Verdict {
  return weigh(made.map(contender), "regret");
}

describe("the verdict on routers", () => {
  it("names who balances best and what it pays, the Pareto front with its figures, and who is dominated", () => {
    const verdict = verdictOn(
      ["topk", 3.848, 0.02289, 0.1778],
      ["bias", 1.633, 0.007994, 0.1437],
      ["even", 0, 0.0106, 0.1341],
    );
    expect(verdict).toMatchObject({ best: [2], pareto: [2, 1], dominated: [0], overlapping: [], notConverged: [] });
    expect(balanceSentences(verdict)).toEqual([
      "even balances best: MaxVio of a batch 0, regret 0.0106, score 0.1341 (the highest is 0.1778, of topk).",
      "On the Pareto front of MaxVio and regret: even (0, 0.0106) and bias (1.633, 0.007994). Dominated, because another is at least as good on both and better on one: topk.",
    ]);
  });

  it("calls a tie a tie, on the balance and on the front, to the last digit", () => {
    const tied = verdictOn(["a", 0.1, 0.2, 0.5], ["b", 0.1, 0.2, 0.5], ["c", 0.1 + 2 ** -55, 0.2, 0.5]);
    expect(tied).toMatchObject({ best: [0, 1], pareto: [0, 1], dominated: [2] });
    expect(balanceSentences(tied)[0]).toBe("a and b balance best, tied at MaxVio of a batch 0.1.");
    expect(balanceSentences(verdictOn(["a", 1, 0.2, 0.5], ["b", 1, 0.1, 0.5]))[0]).toBe(
      "All balance alike: MaxVio of a batch 1.",
    );
  });

  it("does not call a router dominated that ties on one side and is better on the other", () => {
    expect(verdictOn(["a", 1, 0.2, null], ["b", 2, 0.1, null], ["c", 3, 0.1, null])).toMatchObject({
      pareto: [0, 1],
      dominated: [2],
    });
  });

  it("weighs score instead if nobody's regret was computed: higher is better", () => {
    const verdict = verdictOn(["a", 2, null, 0.5], ["b", 1, null, 0.4], ["c", 1.5, null, 0.3]);
    expect(verdict).toMatchObject({ against: "score", best: [1], pareto: [1, 0], dominated: [2] });
    expect(balanceSentences(verdict)).toEqual([
      "b balances best: MaxVio of a batch 1, score 0.4 (the highest is 0.5, of a).",
      "On the Pareto front of MaxVio and score: b (1, 0.4) and a (2, 0.5). Dominated, because another is at least as good on both and better on one: c.",
    ]);
  });

  it("says whose interval overlaps with the best one's, and gives the intervals", () => {
    const verdict = verdictOn(["a", 1, 0.1, null, 0.2], ["b", 1.3, 0.2, null, 0.11], ["c", 1.5, 0.3, null, 0.1]);
    expect(verdict.overlapping).toEqual([1]);
    expect(balanceSentences(verdict).slice(0, 2)).toEqual([
      "a balances best: MaxVio of a batch 1.00 ± 0.20, regret 0.1.",
      "More seeds could change that for b: its interval overlaps with the best one.",
    ]);
  });

  it("says that all are on the front if none is dominated, and nothing of a router alone", () => {
    expect(balanceSentences(verdictOn(["a", 1, 0.2, 0.5], ["b", 2, 0.1, 0.6]))[1]).toBe(
      "All are on the Pareto front of MaxVio and regret: none is dominated.",
    );
    expect(balanceSentences(verdictOn(["a", 1, 0.2, 0.5]))).toEqual([]);
  });

  it("lists ten names at most and shows no control character of any", () => {
    const many = Array.from({ length: 30 }, (_, i): Made => [`r${i}\n`, i + 1, i + 1, null]);
    const [best, front] = balanceSentences(verdictOn(...many));
    expect(best).toMatch(/^r0\\u\{a\} balances best/);
    expect(front.split(", ").length).toBeLessThan(16);
    expect(front).toMatch(/and 20 more\.$/);
  });

  it("names whose plans missed their tolerance, and how often", () => {
    const [first, second, third] = [contender(["a", 1, 1, 1]), contender(["b", 1, 1, 1]), contender(["c", 1, 1, 1])];
    const verdict = weigh([{ ...first, missedSteps: 1 }, second, { ...third, missedSteps: 12 }], "regret");
    expect(verdict.notConverged).toEqual([0, 2]);
    expect(convergenceSentence(verdict)).toBe("Plans missed their tolerance: a on 1 step and c on 12 steps.");
    expect(convergenceSentence(verdictOn(["a", 1, 1, 1]))).toBeNull();
  });

  it("is on a page the balance, the front unless a recommendation names it, and what missed its tolerance", () => {
    const [first, second] = [contender(["a", 0.1, 2, 0.5]), contender(["b", 0.2, 1, 0.6])];
    const verdict = weigh([{ ...first, missedSteps: 3 }, second], "regret");
    const [best, front] = balanceSentences(verdict);
    const missed = "Plans missed their tolerance: a on 3 steps.";
    expect(front).toBe("All are on the Pareto front of MaxVio and regret: none is dominated.");
    expect(verdictSentences(verdict, false)).toEqual([best, front, missed]);
    expect(verdictSentences(verdict, true)).toEqual([best, missed]);
    expect(verdictSentences(verdictOn(["alone", 0.25, 0.01, null]), false)).toEqual([
      "alone has MaxVio of a batch 0.25 (0 is perfect balance), regret 0.01.",
    ]);
  });
});

it("is the same of a run as it ends and of its summary.csv, trained or not", async () => {
  for (const trains of [false, true]) {
    const written = { ...smallScenario, ...(trains && training) };
    const scenario = await resolveScenario(written, "small");
    const folder = temporaryFolder();
    const { rows } = await runScenario(scenario, folder, {
      workers: 1,
      backend: "wasm",
      onProgress: () => undefined,
    });
    const results = openResults(folder);
    const verdict = verdictOfRun(rows);
    // Regret is sampled here; between seeds, of which there is one, nothing is known of its spread.
    const errors = rows.map(({ summary }) => (trains ? null : summary.regretSe));
    if (!trains) expect(errors.some((error) => error! > 0)).toBe(true);
    expect(verdict.contenders.map(({ price }) => price!.halfWidth)).toEqual(errors);
    const contenders = verdict.contenders.map((one) => ({ ...one, price: { ...one.price!, halfWidth: null } }));
    expect({ ...verdict, contenders }).toEqual(verdictOf(results, variantsOf(results)));
    const { price } = verdict.contenders[verdict.pareto[0]];
    expect(balanceSentences(verdict).join(" ")).toContain(formatInterval(price));
    expect(verdict.against).toBe(trains ? "task loss" : "regret");
    expect(verdict.pareto.length + verdict.dominated.length).toBe(scenario.routers.length);
  }
});

it("is read from the results of a sweep as means over the seeds", () => {
  const seeds = [1, 2].map((seed) => ({
    seed,
    values: [],
    rows: [
      { router: "a", max_vio_batch_mean: seed, regret_mean: 0.5, score: 0.5, not_converged_steps: seed },
      { router: "b", max_vio_batch_mean: 4, regret_mean: 0.25, score: 0.5, not_converged_steps: 0 },
    ],
  }));
  const results = madeSweep([], seeds);
  const verdict = verdictOf(results, variantsOf(results))!;
  expect(verdict.contenders.map(({ maxVio }) => maxVio.mean)).toEqual([1.5, 4]);
  expect(verdict).toMatchObject({ best: [0], pareto: [0, 1], notConverged: [0] });
  expect(verdict.contenders[0].missedSteps).toBe(3);
  // Student's t with one degree of freedom at 97.5 % is 12.706, the standard error of 1 and 2 is a half.
  expect(verdict.contenders[0].maxVio.halfWidth).toBeCloseTo(6.353, 3);
});
