import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createWasmKernels } from "../../../src/core/kernels/wasm.ts";
import { loadTensors } from "../../../src/node/tensors.ts";
import { absolute, hold, printParity } from "../../support/parity.ts";
import { countLoad } from "../../support/plain.ts";
import { skewedLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest, type Decision } from "../../support/router-under-test.ts";
import { onTensorBackends } from "../../support/tensor-backends.ts";

type Options = Readonly<Record<string, unknown>>;

const wasm = createWasmKernels();
const batches = 4;
const shapes = [
  { tokens: 96, experts: 16, topK: 2, capacityFactor: 1 },
  { tokens: 130, experts: 64, topK: 8, capacityFactor: 1 },
  { tokens: 9, experts: 4, topK: 4, capacityFactor: 1 },
  { tokens: 5, experts: 1, topK: 1, capacityFactor: 1 },
];

/** Every router whose selection and gates are tensor programs, with the options that lead to different ones. */
const routers: readonly (readonly [kind: string, options: Options])[] = [
  ["topk", {}],
  ["noisy-topk", {}],
  ["alf-lb", { updateRate: 0.01 }],
  ["alf-lb", { updateRule: "proportional", updateRate: 0.1, renormalize: false }],
  ["aux-loss", {}],
  ["sinkhorn", {}],
  ["sinkhorn", { epsilon: 1e-3, maxIterations: 8 }],
  ["sinkhorn", { epsilon: 0.2, solver: "sns" }],
  ["ssr", { select: { mode: "every", n: 2 } }],
  ["ssr", { select: { mode: "every", n: 1 }, epsilon: 0.1 }],
];

/** At a tiny epsilon a plan splits tokens into equal parts, whose order is one of the rounding of float64. */
const hasTies = (options: Options) => options.epsilon === 1e-3;

for (const { backend, name, kernels } of onTensorBackends) {
  describe.skipIf(kernels === null)(`routers on TensorFlow.js backend ${name}`, () => {
    beforeAll(async () => {
      await loadTensors(backend);
    });

    it("leave no tensors behind", async () => {
      const { memory } = await loadTensors(backend);
      const { route } = createRouterUnderTest("ssr", shapes[0], {
        options: { select: { mode: "every", n: 2 } },
        kernels: kernels!,
      });
      const before = memory().numTensors;
      for (const seed of ["selected", "not selected"]) route(skewedLogits(seed, 96, 16, 1));
      expect(memory().numTensors).toBe(before);
    });

    it.each(routers)("choose as on WebAssembly over batches that move their state: %s %j", (kind, options) => {
      for (const shape of shapes) {
        const { tokens, experts } = shape;
        const [onTensors, onWasm] = [kernels!, wasm].map((each) =>
          createRouterUnderTest(kind, shape, { options, kernels: each }),
        );
        for (let step = 0; step < batches; step++) {
          // The last batch has fewer tokens than there is room for.
          const rows = step === batches - 1 ? Math.ceil(tokens / 2) : tokens;
          const logits = skewedLogits(`${kind} ${step}`, rows, experts, 1);
          const [actual, expected] = [onTensors.route(logits), onWasm.route(logits)];
          const title = `${backend}: ${kind} ${JSON.stringify(options)}`;
          if (hasTies(options)) {
            const plan = onWasm.plan();
            const chosenMass = ({ expert }: Decision) => expert.flatMap((chosen, t) => chosen.map((e) => plan[t][e]));
            hold(`${title}, chosen mass`, chosenMass(actual), chosenMass(expected), absolute(1e-6));
            expect(actual.load).toEqual(countLoad(actual.expert, experts));
          } else {
            expect(actual.expert).toEqual(expected.expert);
            expect(actual.load).toEqual(expected.load);
            hold(`${title}, gates`, actual.gate.flat(), expected.gate.flat(), absolute(1e-6));
          }
          if (expected.solver === undefined) continue;
          const { marginalError, converged } = actual.solver!;
          hold(`${title}, marginal error`, [marginalError], [expected.solver.marginalError], absolute(1e-6));
          expect(converged).toBe(expected.solver.converged);
        }
      }
    });
  });
}

afterAll(printParity);
