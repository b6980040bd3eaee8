import type { View } from "./view.ts";

/** A guided tour: a scenario and three sentences about what it shows. */
export interface Tour {
  readonly id: string;
  readonly title: string;
  readonly sentences: readonly [string, string, string];
  readonly view: View;
}

const sizes = { seed: 1, tokens: 1024, experts: 32, topK: 2, regret: { every: 0 } } as const;

export const tours: readonly Tour[] = [
  {
    id: "collapse",
    title: "Collapse",
    sentences: [
      "The gate prefers one expert, and plain top-k gives it what it wants: nearly every token goes there, and MaxVio is close to its limit of E/K − 1 = 15.",
      "Move the stream's skew down and watch the bars level out; at 0 all experts are equally popular and only noise is left.",
      "The second router hashes tokens to experts without looking at the logits: only chance makes its load uneven, and its score shows what that costs.",
    ],
    view: {
      steps: 40,
      scenario: {
        name: "tour-collapse",
        ...sizes,
        stream: { kind: "gaussian", skew: 4 },
        routers: [{ kind: "topk" }, { kind: "hash" }],
      },
    },
  },
  {
    id: "bias",
    title: "A bias catches up",
    sentences: [
      "ALF-LB adds a bias to each expert's affinity and moves it a little after every batch, down for busy experts and up for idle ones.",
      "Press “Play”: the small update rate needs about two hundred steps to balance the load, and the large one overshoots and never settles.",
      "After these two hundred steps press “Prove” to compare the prices with b*, the best fixed bias of all steps so far: the slow router's lie much closer to it than the fast one's.",
    ],
    view: {
      steps: 60,
      scenario: {
        name: "tour-bias",
        ...sizes,
        scores: "sigmoid",
        stream: { kind: "clusters" },
        routers: [
          { kind: "alf-lb", label: "slow", updateRate: 0.001 },
          { kind: "alf-lb", label: "fast", updateRate: 0.03 },
        ],
      },
    },
  },
  {
    id: "plan",
    title: "A plan balances each batch",
    sentences: [
      "Sinkhorn computes a transport plan for every batch: each token has a mass of 1 and each expert may take the same mass, so that no history is needed.",
      "The clusters drift, and the bias of ALF-LB always runs behind them, while the plan is balanced on every step and its K largest entries per token nearly so.",
      "Lower ε to sharpen the plan in the heat map: at first it blurs the tokens' preferences, and with a small ε it follows them as far as balance allows.",
    ],
    view: {
      steps: 60,
      scenario: {
        name: "tour-plan",
        ...sizes,
        stream: { kind: "drift", rate: 0.15 },
        routers: [{ kind: "topk" }, { kind: "alf-lb", updateRate: 0.01 }, { kind: "sinkhorn", epsilon: 0.3 }],
      },
    },
  },
  {
    id: "ssr",
    title: "SSR's few steps",
    sentences: [
      "SSR routes most batches by plain top-k and solves a transport plan only on some steps: here on every tenth one.",
      "On those steps MaxVio drops and the heat map shows the plan; on the steps between the load is as uneven as that of top-k.",
      "Without a gate that learns from these steps nothing lasts: in training the selected steps are what keeps the gate balanced.",
    ],
    view: {
      steps: 51,
      scenario: {
        name: "tour-ssr",
        ...sizes,
        stream: { kind: "clusters" },
        routers: [{ kind: "topk" }, { kind: "ssr", select: { mode: "every", n: 10 } }],
      },
    },
  },
  {
    id: "price",
    title: "The price of balance",
    sentences: [
      "Routers trade score for balance: top-k has the best score and the worst MaxVio, and hashing is nearly balanced and scores no more than chance, 1/E.",
      "Press “Prove” to draw the frontier, which the exact optimum of this batch proves: no assignment at all lies above it.",
      "Top-k and BASE lie on the frontier, at its two ends, since BASE balances each batch exactly; the others' distance from it is what they give away.",
    ],
    view: {
      steps: 20,
      scenario: {
        name: "tour-price",
        ...sizes,
        tokens: 512,
        stream: { kind: "clusters" },
        routers: [{ kind: "topk" }, { kind: "sinkhorn", epsilon: 0.1 }, { kind: "base" }, { kind: "hash" }],
      },
    },
  },
];

/** What the page shows at first. */
export const firstView: View = {
  steps: 60,
  scenario: {
    name: "explore",
    seed: 1,
    tokens: 1024,
    experts: 64,
    topK: 2,
    regret: { every: 0 },
    stream: { kind: "clusters" },
    routers: [
      { kind: "topk" },
      { kind: "alf-lb", updateRate: 0.01 },
      { kind: "sinkhorn", epsilon: 0.5 },
      { kind: "ssr", select: { mode: "every", n: 5 } },
    ],
  },
};
