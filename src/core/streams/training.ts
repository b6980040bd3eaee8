import type { TensorContainer } from "@tensorflow/tfjs-core";
import { z } from "zod";
import { InputError } from "../input-error.ts";
import { tensorBackendOf } from "../kernels/kernels.ts";
import { withTensorMemory } from "../kernels/tensor/memory.ts";
import { platform } from "../platform.ts";
import { checkTextFile, readTextTokens, textUnits } from "./parts/text-tokens.ts";
import { defineStreamKind, layersOption, type StreamContext, type StreamShape } from "./stream.ts";
import { assign, createAdam } from "./training/adam.ts";
import { createClustersTask } from "./training/clusters-task.ts";
import { createDispatch, gatesOf } from "./training/dispatch.ts";
import { createExpertLayer } from "./training/expert-layer.ts";
import { createParameters } from "./training/parameters.ts";
import type { Task, TaskContext } from "./training/task.ts";
import { createTextTask } from "./training/text-task.ts";

const size = (most: number) => z.number().int().min(1).max(most);

/** Options that only one task has, by its name. */
const taskFields = {
  clusters: {
    clusters: size(4096).default(16).describe("task: clusters. Clusters that tokens come from, each with its own map."),
    exponent: z
      .number()
      .min(0)
      .max(10)
      .default(1)
      .describe("task: clusters. Zipf exponent of the clusters' weights; 0 makes all equally frequent."),
    spread: z
      .number()
      .min(0)
      .max(1000)
      .default(0.5)
      .describe("task: clusters. Standard deviation of tokens around their centre, per coordinate; centres have 1."),
    noise: z
      .number()
      .min(0)
      .max(1000)
      .default(0.1)
      .describe("task: clusters. Standard deviation of the noise on each target; targets have 1."),
    shift: z
      .array(z.number().int().nonnegative())
      .default([])
      .describe("task: clusters. Steps, in any order, from which the clusters have their weights in a new order."),
  },
  text: {
    path: z.string().min(1).optional().describe("task: text. The text file; required."),
    unit: z.enum(textUnits).default("bytes").describe("task: text. What a token of the text is."),
    vocabulary: z
      .number()
      .int()
      .min(2)
      .max(65_536)
      .default(256)
      .describe("task: text. Distinct tokens; the rarer ones in a text share one id."),
    context: size(256).default(8).describe("task: text. Number of previous tokens that predict the next one."),
    embedding: size(1024).default(16).describe("task: text. Numbers per token of the context."),
  },
};

const trainingOptions = z.strictObject({
  task: z.enum(["clusters", "text"]).default("clusters").describe("What the layer is trained for."),
  width: size(4096)
    .default(64)
    .describe("Length of the token vectors before and after the experts; experts · width · hidden is at most 2^25."),
  hidden: size(16_384).default(64).describe("Hidden units of each expert."),
  learningRate: z.number().positive().max(1).default(0.003).describe("Learning rate of Adam for every parameter."),
  evaluate: z
    .strictObject({
      every: z
        .number()
        .int()
        .positive()
        .default(100)
        .describe("Evaluate after every so many steps, and after the last one."),
      tokens: z
        .number()
        .int()
        .min(1)
        .max(2 ** 20)
        .default(1024)
        .describe("Number of held-back tokens, the same for every router and every evaluation."),
    })
    .optional()
    .describe(
      "Measure the loss and the balance on held-back data, routed as at inference: without plans, capacity or noise, and with " +
        "biases as they are. Absent for none. A text then keeps its last tenth from training.",
    ),
  ...taskFields.clusters,
  ...taskFields.text,
  layers: layersOption,
});

export type TrainingOptions = z.infer<typeof trainingOptions>;

const trainingState = z.strictObject({ step: z.number().int().nonnegative() });

/** TensorFlow.js has 4 GiB on WebAssembly for parameters, their gradients and intermediate results of a batch. */
const mostNumbers = 2 ** 25;
/** The maps of clusters share the kernels' 4 GiB of memory with what routers need. */
const mostMapNumbers = 2 ** 28;

/** What must fit, by name: the number of values, and the maximum. */
function sizesOf(options: TrainingOptions, { tokens, experts }: StreamShape): [string, number, number][] {
  const { task, width, hidden, clusters, vocabulary, context, embedding, evaluate } = options;
  const batchSizes = (name: string, tokens: number): [string, number, number][] => [
    [`${name} × width`, tokens * width, mostNumbers],
    [`${name} × hidden`, tokens * hidden, mostNumbers],
    ...(task === "clusters"
      ? []
      : ([
          [`${name} × context × embedding`, tokens * context * embedding, mostNumbers],
          [`${name} × vocabulary`, tokens * vocabulary, mostNumbers],
        ] satisfies [string, number, number][])),
  ];
  return [
    ["experts × width × hidden", experts * width * hidden, mostNumbers],
    ...batchSizes("tokens", tokens),
    ...(evaluate === undefined ? [] : batchSizes("evaluate.tokens", evaluate.tokens)),
    ...(task === "clusters"
      ? ([["clusters × width × width", clusters * width ** 2, mostMapNumbers]] satisfies [string, number, number][])
      : []),
  ];
}

/**
 * Options of the `other` task that differ from their defaults, which is a mistake. Defaults are filled in for both
 * tasks, also in the record of a run.
 */
function strayOptions(options: TrainingOptions, other: TrainingOptions["task"]): string[] {
  const isDefault = ([name, field]: [string, z.ZodType]) =>
    JSON.stringify(options[name as keyof TrainingOptions]) === JSON.stringify(field.parse(undefined));
  return Object.entries(taskFields[other])
    .filter((option) => !isDefault(option))
    .map(([name]) => name);
}

const tooLarge =
  "stream: a training step needs more memory than TensorFlow.js has; lower tokens, topK, width or hidden";

/** Number of tokens, the first of a batch, that show how alike the experts are. */
const comparedTokens = 32;

/**
 * A small sparse mixture of experts that is trained with the router under test in its middle, so that its gate learns
 * from how its tokens were routed. A step is
 *
 *     x        = the task's token vectors
 *     Z        = x · W                        the batch that the router sees
 *     loss     = task(Σ_k gate_k · expert_k(x)),   experts and gates as the router chose
 *     all parameters move by Adam along ∂loss, W through the gates as the router differentiates them
 *
 * The task's batches depend only on the seed and the step: routers see different logits of the same data.
 *
 * An evaluation follows the update of its step. It draws from a random source of its own, once, as the data are on step 0
 * before any shift, so that it is the same for all routers and all evaluations.
 */
export const trainingKind = defineStreamKind({
  kind: "training",
  summary: "the gate of a small mixture of experts that is trained with the router under test",
  source: "Shazeer et al. 2017, arXiv 1701.06538; collapse by self-reinforcement, section 4",
  options: trainingOptions,
  feedback: "training",
  evaluatedTokens: ({ evaluate }) => evaluate?.tokens ?? null,
  check(options, shape) {
    const { task, path, shift, layers } = options;
    const problems: { path: readonly string[]; message: string }[] = [];
    if (layers !== undefined && layers > 1) {
      const message = `a stream that trains has one layer; run ${layers} scenarios with seeds of their own instead`;
      problems.push({ path: ["layers"], message });
    }
    if (task === "text" && path === undefined) {
      problems.push({ path: ["path"], message: "is missing; task: text needs the path of a text file" });
    }
    const other = task === "clusters" ? "text" : "clusters";
    for (const name of strayOptions(options, other)) {
      problems.push({ path: [name], message: `is an option of task: ${other}, but the task is ${task}` });
    }
    for (const [index, step] of shift.entries()) {
      if (step < shape.steps) continue;
      const message = `step ${step} is after the last step, ${shape.steps - 1}`;
      problems.push({ path: ["shift", String(index)], message });
    }
    for (const [name, size, most] of sizesOf(options, shape)) {
      if (size <= most) continue;
      const message = `${name} would be ${size} numbers; the maximum is ${most}`;
      problems.push({ path: [], message });
    }
    return problems;
  },
  async checkInput({ task, path }, folder) {
    platform().checkCanTrain();
    if (task === "text" && path !== undefined) await checkTextFile(path, folder);
  },
  async create({ shape, kernels, random, folder }: StreamContext, options) {
    const { steps, tokens, experts } = shape;
    const { width, hidden, learningRate, evaluate } = options;
    const tf = await platform().loadTensors(tensorBackendOf(kernels.backend));
    const { parameters, create: createParameter } = createParameters(tf, kernels, random.derive("parameters"));
    const task = await createTask({ tf, kernels, random, createParameter, width }, options, folder);
    const data = task.createBatch(tokens, "training");
    const layer = createExpertLayer(tf, { width, hidden, experts }, createParameter);
    const adam = createAdam(tf, parameters, learningRate);
    const saved = new Map(
      parameters.flatMap(({ name, values }, index): [string, Float32Array][] => [
        [name, values],
        [`${name}/first moment`, adam.moments[index].first],
        [`${name}/second moment`, adam.moments[index].second],
      ]),
    );
    const logits = kernels.allocateFloat32(tokens * experts);
    const heldBack = evaluate === undefined ? null : task.createBatch(evaluate.tokens, "evaluation");
    heldBack?.draw(random.derive("evaluation"), 0);
    const heldBackLogits = kernels.allocateFloat32((evaluate?.tokens ?? 0) * experts);
    let step = 0;
    let expertSimilarity = 1;
    const tidy = <Result extends TensorContainer>(work: () => Result): Result =>
      withTensorMemory(tooLarge, () => tf.tidy(work));

    return {
      async next() {
        if (step === steps) return null;
        data.draw(random.derive(`step ${step}`), step);
        tidy(() => {
          const x = data.tokens();
          const gate = layer.logits(x);
          logits.set(gate.dataSync());
          checkFinite(tf.sum(tf.abs(gate)).dataSync()[0], "logits", step);
          expertSimilarity = layer.similarity(tf.slice(x, 0, Math.min(tokens, comparedTokens)));
        });
        const { cluster } = data;
        return { step: step++, tokens, experts, logits, ...(cluster !== undefined && { cluster }) };
      },
      learn(assignment, backward) {
        return tidy(() => {
          const dispatch = createDispatch(assignment, tokens, experts);
          const { value, grads } = tf.variableGrads(
            () => {
              const x = data.tokens();
              const gates = gatesOf(tf, layer.logits(x), assignment.gate, backward);
              return data.loss(x, layer.output(x, dispatch, gates));
            },
            parameters.map(({ variable }) => variable),
          );
          const taskLoss = value.dataSync()[0];
          checkFinite(taskLoss, "loss", step - 1);
          const gateGradientNorm = tf.norm(grads[layer.gateWeights.name]).dataSync()[0];
          checkFinite(gateGradientNorm, "gradient of the gate", step - 1);
          adam.update(grads, step);
          return { taskLoss, gateGradientNorm, expertSimilarity };
        });
      },
      evaluate(route) {
        if (heldBack === null || (step % evaluate!.every !== 0 && step !== steps)) return null;
        const load = new Int32Array(experts);
        const loss = tidy(() => {
          const x = heldBack.tokens();
          heldBackLogits.set(layer.logits(x).dataSync());
          const tokens = evaluate!.tokens;
          const assignment = route({ step: step - 1, tokens, experts, logits: heldBackLogits });
          load.set(assignment.load);
          const dispatch = createDispatch(assignment, tokens, experts);
          const gates = tf.tensor2d(assignment.gate, [1, assignment.gate.length]);
          return heldBack.loss(x, layer.output(x, dispatch, gates)).dataSync()[0];
        });
        checkFinite(loss, "loss on held-back data", step - 1);
        return { loss, load };
      },
      state: () => ({
        fields: { step },
        arrays: Object.fromEntries(Array.from(saved, ([name, values]) => [name, values.slice()])),
      }),
      restore({ fields, arrays }) {
        step = trainingState.parse(fields).step;
        for (const [name, values] of saved) values.set(arrays[name]);
        for (const parameter of parameters) assign(tf, parameter);
      },
      async close() {
        for (const { variable } of parameters) variable.dispose();
      },
    };
  },
});

/** Throws `InputError` if a result of `step` is not finite. */
function checkFinite(value: number, name: string, step: number): void {
  if (Number.isFinite(value)) return;
  throw new InputError(
    `stream: training diverged: step ${step} has non-finite ${name}; lower learningRate or the weight of the router's ` +
      "loss",
  );
}

async function createTask(context: TaskContext, options: TrainingOptions, folder: string): Promise<Task> {
  if (options.task === "clusters") return createClustersTask(context, options);
  const tokens = await readTextTokens(options.path!, folder, options.unit);
  return createTextTask(context, tokens, { ...options, holdsBack: options.evaluate !== undefined });
}
