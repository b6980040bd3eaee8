import { bench, describe } from "vitest";
import { createKernels } from "../src/core/kernels/index.ts";
import { createRandom } from "../src/core/random.ts";
import { findRouterKind } from "../src/core/routers/index.ts";
import { trainingKind } from "../src/core/streams/training.ts";

const shape = { steps: 1_000_000, tokens: 1024, experts: 16, topK: 2, capacityFactor: 1 };
const tasks = [{ task: "clusters" }, { task: "text", path: "../scenarios/texts/alice.txt" }];

describe.each(tasks)("a training step of task $task, 1024 tokens, 16 experts, top-2, width 64", async (options) => {
  for (const kind of ["topk", "ssr", "sinkhorn"]) {
    const kernels = createKernels();
    const random = createRandom("bench");
    const context = { shape, kernels, random, folder: import.meta.dirname };
    const stream = await trainingKind.create(context, trainingKind.options.parse(options));
    const routerKind = findRouterKind(kind)!;
    const router = routerKind.create(
      { shape, scores: "softmax", kernels, trained: true, random },
      routerKind.options.parse(kind === "ssr" ? { select: { mode: "every", n: 1 }, maxIterations: 3 } : {}),
    );
    bench(kind, async () => {
      const batch = (await stream.next())!;
      const { assignment } = router.route(batch);
      stream.learn!(assignment, (gateGradient, logitGradient) => router.backward(batch, gateGradient, logitGradient));
    });
  }
});
