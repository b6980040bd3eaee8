// How many batches does a bias need to balance a stream? Step the simulation, and stop as soon as it is balanced.
import { createSimulation } from "moesim";

const simulation = await createSimulation({
  name: "step-by-step",
  seed: 1,
  steps: 1000,
  tokens: 1024,
  experts: 8,
  topK: 2,
  stream: { kind: "clusters" },
  routers: [{ kind: "topk" }, { kind: "alf-lb", updateRate: 0.005 }],
  regret: { every: 10 },
});

// Balanced: five batches in a row whose busiest expert has less than 1.2 times its share.
let balanced = 0;
while (balanced < 5) {
  const routers = await simulation.step();
  if (routers === null) break;
  const [, biased] = routers;
  balanced = biased.maxVio !== null && biased.maxVio < 0.2 ? balanced + 1 : 0;
}
console.log(`balanced after ${simulation.steps} steps`);
for (const { name, summary } of await simulation.result()) {
  console.log(`${name}: MaxVio ${summary.maxVioBatchMean?.toFixed(2)} on average until then`);
}

// The state is plain data: another simulation resumes from it, later or in another thread.
const state = simulation.state();
await simulation.close();
const resumed = await createSimulation(simulation.scenario, { from: structuredClone(state) });
for (let more = 0; more < 50; more++) await resumed.step();
const [, alfLb] = await resumed.result();
const later = alfLb.summary.maxVioBatches.slice(state.steps);
console.log(
  `the ${later.length} steps after it: MaxVio at most ${Math.max(...later.map((maxVio) => maxVio ?? 0)).toFixed(2)}`,
);
await resumed.close();
