import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";
import { createRouter } from "../../dist/core/simulation/router-run.js";
import { openStream } from "../../dist/core/simulation/simulation.js";
import { loadScenario } from "../../dist/index.js";
import { createKernels } from "../../dist/core/kernels/index.js";

/** Imports `measures/<name>.ts`, which imports nothing itself. Node 20 does not read TypeScript. */
export async function loadMeasure(name) {
  const source = await readFile(new URL(`measures/${name}.ts`, import.meta.url), "utf8");
  const { code } = await transform(source, { loader: "ts", format: "esm" });
  return import(`data:text/javascript,${encodeURIComponent(code)}`);
}

/** The scenario `theory-<name>.yaml`. */
export const loadTheory = (name) =>
  loadScenario(fileURLToPath(new URL(`../../scenarios/theory-${name}.yaml`, import.meta.url)), []);

/** Everything the scenario's stream yields, as one batch of steps · tokens tokens. */
export async function record(scenario) {
  const kernels = createKernels();
  const { steps, tokens, experts } = scenario;
  const stream = await openStream(scenario, kernels);
  const logits = kernels.allocateFloat32(steps * tokens * experts);
  const logSumExp = kernels.allocateFloat64(steps * tokens);
  for (let batch = await stream.next(); batch !== null; batch = await stream.next()) {
    logits.set(batch.logits, batch.step * tokens * experts);
  }
  await stream.close?.();
  kernels.logSumExpRows(logits, steps * tokens, experts, logSumExp);
  return { kernels, logits, logSumExp };
}

/** S of the experts `[tokens × slots]` of one recorded step. */
export function scoresOf({ kernels, logits, logSumExp }, { tokens, experts }, scores, step, expert, slots, out) {
  const [first, next] = [step * tokens, (step + 1) * tokens];
  const rows = logits.subarray(first * experts, next * experts);
  kernels.pairScores(rows, scores, logSumExp.subarray(first, next), expert, tokens, experts, slots, out);
  return Float64Array.from(out);
}

/** Routes what was recorded by one router; a step has the bias before and after it, and copies of the choice. */
export function replay(recording, scenario, choice) {
  const { kernels, logits } = recording;
  const { tokens, experts, topK } = scenario;
  const router = createRouter(scenario, choice, kernels);
  const pairScore = kernels.allocateFloat64(tokens * topK);
  let bias = new Float64Array(experts);
  const steps = Array.from({ length: scenario.steps }, (_, step) => {
    const rows = logits.subarray(step * tokens * experts, (step + 1) * tokens * experts);
    const { assignment } = router.route({ step, tokens, experts, logits: rows });
    const { expert, load } = assignment;
    const before = bias;
    bias = Float64Array.from(router.state().bias);
    const scored = scoresOf(recording, scenario, choice.scores, step, expert, topK, pairScore);
    return {
      bias: before,
      nextBias: bias,
      load: Int32Array.from(load),
      choice: { expert: Int32Array.from(expert), pairScore: scored },
    };
  });
  return { name: choice.name, options: choice.options, steps };
}

/** What each router of the scenario did. */
export async function replayAll(scenario) {
  const recording = await record(scenario);
  return scenario.routers.map((choice) => replay(recording, scenario, choice));
}
