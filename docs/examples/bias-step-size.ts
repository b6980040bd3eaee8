// How large should the bias step of auxiliary-loss-free balancing be? Rows for a plot, one for each step and rate.
import { simulate } from "moesim";

const rates = [0.0001, 0.001, 0.01, 0.1];
const { runs } = await simulate({
  name: "bias-step-size",
  steps: 300,
  tokens: 256,
  experts: 16,
  topK: 2,
  stream: { kind: "clusters" },
  // One variant for each rate; all see the same batches.
  routers: rates.map((updateRate) => ({ kind: "alf-lb", label: `u = ${updateRate}`, updateRate })),
});

const rows = runs.flatMap(({ name, options, steps }) =>
  steps.map(({ step, maxVio, dualRegretCumulative }) => ({
    router: name,
    rate: options.updateRate,
    step,
    maxVio,
    dualRegret: dualRegretCumulative,
  })),
);
console.log("router,rate,step,maxVio,dualRegret");
for (const row of rows) console.log(Object.values(row).join(","));
