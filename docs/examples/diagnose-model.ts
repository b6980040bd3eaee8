// Would a bias or a placement fix this model's layers, on tokens that they were not fitted to?
import { diagnose } from "moesim";

const { layers } = await diagnose({
  files: "scenarios/traces/made-selections.npy",
  as: "selections",
  experts: 64,
  gpus: 8,
});
for (const { layer, verdict } of layers) console.log(`layer ${layer}: ${verdict.kind}. ${verdict.reason}`);
