import { z } from "zod";
import { InputError } from "../input-error.ts";
import { tensorBackendOf } from "../kernels/kernels.ts";
import { platform } from "../platform.ts";
import { checkTextFile, readTextTokens, textUnits } from "./parts/text-tokens.ts";
import { defineStreamKind, layersOption, type StreamContext, type StreamShape } from "./stream.ts";
import { createClustersTask } from "./training/clusters-task.ts";
import { createKernelModel } from "./training/kernel-model.ts";
import { createModelParameters, type Model, type TextShape } from "./training/model.ts";
import { createAdam, createParameters } from "./training/parameters.ts";
import type { Task } from "./training/task.ts";
import { createTensorModel } from "./training/tensor-model.ts";
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

/** The kernels have 4 GiB for parameters, their moments and intermediate results of a batch, TensorFlow.js as much again. */
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
    const { task, path, shift } = options;
    const problems: { path: readonly string[]; message: string }[] = [];
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
    if (task === "text" && path !== undefined) await checkTextFile(path, folder);
  },
  async create(context: StreamContext, options) {
    const { shape, kernels, random } = context;
    const { steps, tokens, experts } = shape;
    const { width, hidden, learningRate, evaluate } = options;
    const { task, text } = await createTask(context, options);
    const store = createParameters(kernels, random.derive("parameters"));
    const modelShape = { width, hidden, experts };
    const parameters = createModelParameters(store, modelShape, text);
    const adam = createAdam(kernels, learningRate);
    const { backend } = kernels;
    const model: Model =
      backend === "tfjs" || backend === "tfjs-gpu"
        ? createTensorModel(
            await platform().loadTensors(tensorBackendOf(backend)),
            kernels,
            modelShape,
            parameters,
            store.blocks,
            adam,
          )
        : createKernelModel(kernels, modelShape, parameters, adam);
    const saved = store.named();
    const data = task.createBatch(tokens, "training");
    const batch = model.open(data);
    const heldBackData = evaluate === undefined ? null : task.createBatch(evaluate.tokens, "evaluation");
    heldBackData?.draw(random.derive("evaluation"), 0);
    const heldBack = heldBackData && model.open(heldBackData);
    const load = new Int32Array(experts);
    let step = 0;
    let expertSimilarity = 1;

    return {
      async next() {
        if (step === steps) return null;
        data.draw(random.derive(`step ${step}`), step);
        const logits = batch.logits();
        checkFinite(sumOfSizes(logits), "logits", step);
        expertSimilarity = batch.similarity();
        const cluster = data.task === "clusters" ? data.cluster : undefined;
        return { step: step++, tokens, experts, logits, ...(cluster !== undefined && { cluster }) };
      },
      learn(assignment, backward) {
        const { loss: taskLoss, gateGradientNorm } = batch.learn(assignment, backward, step);
        checkFinite(taskLoss, "loss", step - 1);
        checkFinite(gateGradientNorm, "gradient of the gate", step - 1);
        return { taskLoss, gateGradientNorm, expertSimilarity };
      },
      evaluate(route) {
        if (heldBack === null || (step % evaluate!.every !== 0 && step !== steps)) return null;
        const logits = heldBack.logits();
        const { tokens } = evaluate!;
        const assignment = route({ step: step - 1, tokens, experts, logits });
        load.set(assignment.load);
        const loss = heldBack.loss(assignment);
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
        model.reload();
      },
      async close() {
        model.close();
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

function sumOfSizes(values: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.abs(values[i]);
  return sum;
}

/** Returns the task, and what the model needs to know of its text. */
async function createTask(
  { kernels, random, folder }: StreamContext,
  options: TrainingOptions,
): Promise<{ task: Task; text: TextShape | null }> {
  const { width, context, embedding } = options;
  if (options.task === "clusters") return { task: createClustersTask(kernels, random, width, options), text: null };
  const tokens = await readTextTokens(options.path!, folder, options.unit);
  const task = createTextTask(kernels, tokens, { ...options, holdsBack: options.evaluate !== undefined });
  return { task, text: { vocabulary: task.vocabulary, context, embedding } };
}
