import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ScoreKind } from "../../../src/core/assignment.ts";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { createWasmKernels } from "../../../src/core/kernels/wasm.ts";
import { loadTensors } from "../../../src/node/tensors.ts";
import { absolute, fourRoundings, hold, ofExponentials, printParity, relative } from "../../support/parity.ts";
import { countLoad, toMatrix } from "../../support/plain.ts";
import { onTensorBackends } from "../../support/tensor-backends.ts";
import { float32, float64, int32, logitFamilies, normals } from "./matrices.ts";

const wasm = createWasmKernels();
const reference = createReferenceKernels();
/** What the tensor programs are held to. */
const twins = [wasm, reference];

/** With one expert, all experts chosen, a part of a block of 64 rows, one, and several, with and without a rest. */
const shapes = [
  { tokens: 1, experts: 1, topK: 1 },
  { tokens: 5, experts: 1, topK: 1 },
  { tokens: 7, experts: 3, topK: 3 },
  { tokens: 64, experts: 8, topK: 2 },
  { tokens: 65, experts: 16, topK: 16 },
  { tokens: 128, experts: 31, topK: 5 },
] as const;
type Shape = (typeof shapes)[number];
const families = Object.entries(logitFamilies);
// Differences of larger logits are more than float32 holds.
const transportFamilies = families.filter(([name]) => name !== "up to 3e38");
const epsilons = [1, 0.05, 1e-3];

/** The logits of a batch, in an array with room for more tokens, filled with what must not be read. */
function batchOf(kernels: Kernels, logits: number[], { experts }: Shape): Float32Array {
  const array = kernels.allocateFloat32(logits.length + 3 * experts).fill(Number.NaN);
  array.set(logits);
  return array;
}

/** Experts for `topK` slots of each token, every fifth of them −1. */
function someExperts(kernels: Kernels, { tokens, experts, topK }: Shape): Int32Array {
  const chosen = Array.from({ length: tokens * topK }, (_, pair) => (pair % 5 === 3 ? -1 : (pair * 7) % experts));
  return int32(kernels, chosen);
}

/** The most that the largest and the smallest of a row differ by. */
function rangeOf(logits: number[], experts: number): number {
  const rows = toMatrix(logits, logits.length / experts, experts);
  return Math.max(...rows.map((row) => Math.max(...row) - Math.min(...row)));
}

function select(kernels: Kernels, logits: number[], key: ScoreKind, bias: number[] | null, shape: Shape) {
  const { tokens, experts, topK } = shape;
  const [expert, load] = [kernels.allocateInt32(tokens * topK), kernels.allocateInt32(experts)];
  const biases = bias === null ? null : float64(kernels, bias);
  kernels.selectTopK(batchOf(kernels, logits, shape), key, biases, tokens, experts, topK, expert, load);
  return { expert: Array.from(expert), load: Array.from(load) };
}

for (const { backend, name, kernels } of onTensorBackends) {
  describe.skipIf(kernels === null)(`the tensor programs on TensorFlow.js backend ${name}`, () => {
    const both = [kernels!, ...twins];

    beforeAll(async () => {
      await loadTensors(backend);
    });

    it.each(families)("choose without a bias as the twins do, ties to the lower index: %s", (_, make) => {
      for (const shape of shapes) {
        const logits = make(shape.tokens, shape.experts);
        const [actual, ...expected] = both.map((each) => select(each, logits, "softmax", null, shape));
        for (const twin of expected) expect(actual).toEqual(twin);
      }
    });

    it.each(families)("choose with a bias as the twins do, but for near ties: %s", (family, make) => {
      const keyKinds = family === "up to 3e38" ? (["softmax", "sigmoid"] as const) : (["logits", "softmax"] as const);
      for (const shape of shapes) {
        const { tokens, experts, topK } = shape;
        const logits = make(tokens, experts);
        for (const key of keyKinds) {
          for (const scale of [0, 0.1, 100]) {
            const bias = normals(experts, experts, scale);
            const [actual, ...expected] = both.map((each) => select(each, logits, key, bias, shape));
            const keys = new Float64Array(tokens * experts);
            reference.affinities(Float32Array.from(logits), key, tokens, experts, keys);
            const entries = ({ expert }: typeof actual) =>
              expert.map((e, pair) => Math.floor(pair / topK) * experts + e);
            const keyOf = (entry: number) => keys[entry] + bias[entry % experts];
            // Rounded where they stand below the largest of the row, and affinities before.
            const range = 2 * Math.max(...bias.map(Math.abs)) + (key === "logits" ? rangeOf(logits, experts) : 1);
            const ofKeys = {
              error: (difference: number) => difference / range,
              most: (expected: number) =>
                fourRoundings + ((key === "logits" ? 0 : 2e-6) + 2 ** -46 * Math.abs(expected)) / range,
            };
            for (const twin of expected) {
              hold(`${backend}: selectTopK`, entries(actual).map(keyOf), entries(twin).map(keyOf), ofKeys);
            }
            expect(new Set(entries(actual)).size).toBe(tokens * topK);
            expect(actual.load).toEqual(countLoad([actual.expert], experts));
          }
        }
      }
    });

    it.each(families)("have the affinities and gates of the twins: %s", (_, make) => {
      for (const shape of shapes) {
        const { tokens, experts, topK } = shape;
        const logits = make(tokens, experts);
        for (const kind of ["softmax", "sigmoid"] as const) {
          const [actual, ...expected] = both.map((each) => {
            const batch = batchOf(each, logits, shape);
            const scores = each.allocateFloat32(tokens * experts);
            each.scores(batch, kind, tokens, experts, scores);
            const [normalised, plain] = [true, false].map((renormalize) => {
              const gate = each.allocateFloat32(tokens * topK);
              each.gates(batch, kind, renormalize, someExperts(each, shape), tokens, experts, topK, gate);
              return gate;
            });
            return { scores, normalised, plain };
          });
          for (const twin of expected) {
            hold(`${backend}: scores`, actual.scores, twin.scores, ofExponentials);
            hold(`${backend}: gates`, actual.normalised, twin.normalised, ofExponentials);
            hold(`${backend}: gates`, actual.plain, twin.plain, ofExponentials);
          }
        }
      }
    });

    it.each(transportFamilies)("sweep as the twins do: %s", (_, make) => {
      for (const shape of shapes) {
        const { tokens, experts } = shape;
        const logits = make(tokens, experts);
        const scaling = normals(experts + 2, experts, 3).map((x) => Math.fround(Math.exp(x)));
        for (const epsilon of epsilons) {
          const [actual, ...expected] = both.map((each) => {
            const gibbs = each.allocateFloat32(tokens * experts);
            const [first, next] = [each.allocateFloat64(experts), each.allocateFloat64(experts)];
            const range = each.gibbsSweep(batchOf(each, logits, shape), epsilon, tokens, experts, gibbs, first);
            each.sinkhornSweep(gibbs, float32(each, scaling), tokens, experts, next);
            return { gibbs, first, next, range };
          });
          for (const twin of expected) {
            hold(`${backend}: gibbsSweep, range`, [actual.range], [twin.range], relative(3e-7));
            if (twin.range > 80) continue;
            hold(`${backend}: gibbsSweep`, actual.gibbs, twin.gibbs, ofExponentials);
            // The entries that make up a column can all have the error of the smallest.
            const ofColumns = relative(5e-6 + fourRoundings * twin.range);
            hold(`${backend}: gibbsSweep, columns`, actual.first, twin.first, ofColumns);
            hold(`${backend}: sinkhornSweep`, actual.next, twin.next, ofColumns);
          }
        }
      }
    });

    it.each(transportFamilies)("sweep and plan in the log domain as the twins do: %s", (_, make) => {
      for (const shape of shapes) {
        const { tokens, experts, topK } = shape;
        const logits = make(tokens, experts);
        for (const epsilon of epsilons) {
          // They make up for the differences of the columns, 2e7 at ±1e4 and the least epsilon, and for some more.
          const potential = normals(experts, experts, 3).map((x, e) => x - logits[e] / epsilon);
          const [actual, ...expected] = both.map((each) => {
            const [rowLogSum, logColumnSum] = [each.allocateFloat64(tokens), each.allocateFloat64(experts)];
            const [plan, gate] = [each.allocateFloat32(tokens * experts), each.allocateFloat32(tokens * topK)];
            const [batch, potentials] = [batchOf(each, logits, shape), float64(each, potential)];
            each.logSinkhornSweep(batch, epsilon, potentials, tokens, experts, rowLogSum, logColumnSum);
            each.entropicPlan(batch, potentials, epsilon, tokens, experts, plan);
            const [chosen, load] = [each.allocateInt32(tokens * topK), each.allocateInt32(experts)];
            each.selectByPlan(batch, potentials, epsilon, tokens, experts, topK, chosen, load, gate);
            return { rowLogSum, logColumnSum, plan, gate };
          });
          for (const twin of expected) {
            hold(`${backend}: logSinkhornSweep, rows`, actual.rowLogSum, twin.rowLogSum, absolute(5e-6, 2 ** -50));
            hold(`${backend}: logSinkhornSweep, columns`, actual.logColumnSum, twin.logColumnSum, absolute(5e-6));
            hold(`${backend}: entropicPlan`, actual.plan, twin.plan, ofExponentials);
            hold(`${backend}: selectByPlan, gates`, actual.gate, twin.gate, ofExponentials);
          }
        }
      }
    });
  });
}

afterAll(printParity);
