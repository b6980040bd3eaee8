import { table, writeRows } from "./output.mjs";
import { loadMeasure, loadTheory, replayAll } from "./recording.mjs";

const { createMoveCounter, loadClasses, movesByLoadClass } = await loadMeasure("token-moves");

/** Tokens move from more to less loaded experts only. */
export async function preference() {
  const scenario = await loadTheory("preference");
  const { tokens, experts, topK } = scenario;
  const counter = createMoveCounter(experts, topK);
  const moves = new Int32Array(experts * experts);
  const byClass = new Int32Array(loadClasses.length ** 2);
  const runs = (await replayAll(scenario)).map(({ name, steps }) => {
    const total = new Float64Array(byClass.length);
    const byOrder = { lower: 0, equal: 0, higher: 0 };
    for (const [step, next] of steps.slice(1).entries()) {
      const { load, choice } = steps[step];
      counter.count(choice.expert, next.choice.expert, tokens, moves);
      movesByLoadClass(moves, load, byClass);
      byClass.forEach((count, entry) => {
        total[entry] += count;
      });
      moves.forEach((count, entry) => {
        const difference = load[entry % experts] - load[Math.floor(entry / experts)];
        byOrder[difference < 0 ? "lower" : difference > 0 ? "higher" : "equal"] += count;
      });
    }
    return { name, total, byOrder };
  });
  writeRows(
    "preference",
    runs.flatMap(({ name, total }) =>
      loadClasses.flatMap((from, row) =>
        loadClasses.map((to, column) => ({ router: name, from, to, moves: total[row * loadClasses.length + column] })),
      ),
    ),
  );
  const pairs = loadClasses.flatMap((from, row) => loadClasses.map((to, column) => ({ from, to, row, column })));
  const byClassTable = table(
    ["from → to", ...runs.map(({ name }) => `\`${name}\``)],
    pairs.map(({ from, to, row, column }) => [
      `${from} → ${to}`,
      ...runs.map(({ total }) => total[row * loadClasses.length + column]),
    ]),
  );
  const byOrderTable = table(
    ["moves to an expert whose load was", ...runs.map(({ name }) => `\`${name}\``)],
    ["lower", "equal", "higher"].map((order) => [order, ...runs.map(({ byOrder }) => byOrder[order])]),
  );
  return `${byClassTable}\n\n${byOrderTable}`;
}
