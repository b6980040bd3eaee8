// How does selective Sinkhorn route my own logits, and which gates does its plan give?
import { metrics, routers } from "moesim";

const [tokens, experts, topK] = [6, 4, 2];
// Every token prefers expert 0, some more than others.
const logits = Float32Array.from({ length: tokens * experts }, (_, i) => {
  const [token, expert] = [Math.floor(i / experts), i % experts];
  return expert === 0 ? 2 : Math.sin(token + 3 * expert);
});

const ssr = await routers.create({ kind: "ssr", select: { mode: "every", n: 2 } }, { tokens, experts, topK });
// Batch after batch: the first is selected, the second is not.
for (const name of ["selected", "not selected"]) {
  const { expert, gate, load, solver } = ssr.route(logits);
  console.log(`${name}: MaxVio ${metrics.maxVio(load).toFixed(2)}, ${solver?.iterations ?? 0} iterations`);
  const plan = ssr.plan();
  for (let token = 0; token < 2; token++) {
    const row = Array.from(plan.subarray(token * experts, (token + 1) * experts), (mass) => mass.toFixed(3));
    const slots = Array.from({ length: topK }, (_, slot) => token * topK + slot);
    const chosen = slots.map((pair) => `expert ${expert[pair]} gate ${gate[pair].toFixed(3)}`);
    console.log(`  token ${token}: plan [${row.join(", ")}] → ${chosen.join(", ")}`);
  }
}
