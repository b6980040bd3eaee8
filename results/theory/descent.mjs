import { max } from "d3-array";
import { colors, draw, table, writeRows } from "./output.mjs";
import { loadMeasure, loadTheory, replayAll } from "./recording.mjs";

const { biasPull, lagrangian, switchingBenefits } = await loadMeasure("lagrangian");

/** The dual falls while the benefits of switching stay below the pull of the bias. */
export async function descent() {
  const scenario = await loadTheory("descent");
  const { tokens, topK } = scenario;
  const benefit = new Float64Array(tokens);
  const runs = (await replayAll(scenario)).map(({ name, steps }) => ({
    name,
    rows: steps.slice(1).map((next, step) => {
      const { bias, nextBias, load, choice } = steps[step];
      const dual = lagrangian(choice, bias, load, tokens, topK);
      return {
        router: name,
        step,
        dual,
        change: tokens * (lagrangian(next.choice, nextBias, next.load, tokens, topK) - dual),
        pull: biasPull(bias, nextBias, load),
        benefits: switchingBenefits(choice, next.choice, nextBias, tokens, topK, benefit),
      };
    }),
  }));
  writeRows("descent", runs.flatMap(({ rows }) => rows));
  const shown = runs[0];
  draw("descent", [
    {
      title: "The dual f(b) on one and the same batch",
      x: { name: "step" },
      y: { name: "f", scale: true },
      lines: runs.map(({ name, rows }, run) => ({ name, color: colors[run], data: rows.map(({ step, dual }) => [step, dual]) })),
    },
    {
      title: `What moves it: ${shown.name}`,
      x: { name: "step" },
      y: { name: "of T·f, per step", type: "log" },
      lines: [
        { name: "pull of the bias, u·Σ|A − L|", color: colors[0], data: shown.rows.map(({ step, pull }) => [step, -pull]) },
        {
          name: "benefits of switching",
          color: colors[1],
          data: shown.rows.filter(({ benefits }) => benefits > 0).map(({ step, benefits }) => [step, benefits]),
        },
      ],
    },
  ]);
  return table(
    ["router", "first step that rises", "falls", "rises", "benefits above the pull", "largest error of the identity"],
    runs.map(({ name, rows }) => [
      `\`${name}\``,
      rows.findIndex(({ change }) => change > 0),
      rows.filter(({ change }) => change < 0).length,
      rows.filter(({ change }) => change > 0).length,
      rows.filter(({ pull, benefits }) => benefits > -pull).length,
      max(rows, ({ change, pull, benefits }) => Math.abs(change - pull - benefits)).toExponential(1),
    ]),
  );
}
