import type { RoutingShape, ScoreKind } from "../../src/core/assignment.ts";
import type { Kernels } from "../../src/core/kernels/kernels.ts";
import { createReferenceKernels } from "../../src/core/kernels/reference.ts";
import { createRandom } from "../../src/core/random.ts";
import { findRouterKind } from "../../src/core/routers/index.ts";
import type { RoutedStep, Router, RouterKind } from "../../src/core/routers/router.ts";
import type { SolverReport } from "../../src/core/solver-report.ts";
import type { TokenBatch } from "../../src/core/token-batch.ts";
import { type Matrix, toMatrix } from "./plain.ts";

/** A copy of what a router decided for one batch, in plain rows. */
export interface Decision {
  /** One row of experts per token, −1 = none. */
  readonly expert: Matrix;
  readonly gate: Matrix;
  readonly load: number[];
  readonly solver: SolverReport | undefined;
}

export interface RouterUnderTest {
  readonly router: Router;
  /** Routes `logits`, whose length gives the number of tokens, as the next step; of tokens with ids where there are any. */
  route(logits: Float32Array, tokenId?: readonly number[]): Decision;
  /** Routes `logits` as at inference, on a copy of the router that was restored from its state. */
  infer(logits: Float32Array): Decision;
  /** The plan of the batch routed last. */
  plan(): Matrix;
  /** Adds to `logitGradient` what `gateGradient` comes to at the logits of the batch routed last. */
  backward(gateGradient: Float32Array, logitGradient: Float32Array): void;
  /** The logits as the router left them. */
  seenLogits(): Float32Array;
}

export interface RouterSetting {
  readonly options?: object;
  readonly scores?: ScoreKind;
  readonly seed?: string;
  readonly kernels?: Kernels;
  readonly firstStep?: number;
  readonly trained?: boolean;
}

/** Makes a router of `kind` with options as a scenario would give them, and a batch buffer that it shares with it. */
export function createRouterUnderTest(
  kind: string | RouterKind,
  shape: RoutingShape,
  setting: RouterSetting = {},
): RouterUnderTest {
  const { options = {}, scores, seed = "test", firstStep = 0, trained = false } = setting;
  const kernels = setting.kernels ?? createReferenceKernels();
  const routerKind = typeof kind === "string" ? findRouterKind(kind)! : kind;
  const create = () =>
    routerKind.create(
      {
        shape,
        scores: scores ?? routerKind.defaultScores ?? "softmax",
        kernels,
        trained,
        random: createRandom(seed),
      },
      routerKind.options.parse(options),
    );
  const router = create();
  const buffer = kernels.allocateFloat32(shape.tokens * shape.experts);
  const plan = kernels.allocateFloat32(routerKind.plan !== undefined ? shape.tokens * shape.experts : 0);
  let batch: TokenBatch = { step: firstStep - 1, tokens: 0, experts: shape.experts, logits: buffer };
  const decisionOf = ({ assignment, solver }: RoutedStep): Decision => ({
    expert: toMatrix(assignment.expert, batch.tokens, assignment.slots),
    gate: toMatrix(assignment.gate, batch.tokens, assignment.slots),
    load: Array.from(assignment.load),
    solver,
  });
  return {
    router,
    infer(logits) {
      const copy = create();
      copy.restore(router.state());
      buffer.set(logits);
      batch = { ...batch, tokens: logits.length / shape.experts };
      return decisionOf(
        copy.routeAtInference === undefined ? copy.route(batch) : { assignment: copy.routeAtInference(batch) },
      );
    },
    route(logits, tokenId) {
      buffer.set(logits);
      batch = {
        ...batch,
        step: batch.step + 1,
        tokens: logits.length / shape.experts,
        hasDisabled: logits.includes(Number.NEGATIVE_INFINITY),
        ...(tokenId !== undefined && { tokenId: Int32Array.from(tokenId) }),
      };
      return decisionOf(router.route(batch));
    },
    plan() {
      router.writePlan!(batch, plan);
      return toMatrix(plan, batch.tokens, shape.experts);
    },
    backward: (gateGradient, logitGradient) => router.backward(batch, gateGradient, logitGradient),
    seenLogits: () => buffer.slice(0, batch.tokens * shape.experts),
  };
}
