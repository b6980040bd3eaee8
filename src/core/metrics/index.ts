/** One metric, as `list` and the documentation know it. */
export interface MetricDescription {
  readonly name: string;
  readonly range: string;
  readonly definition: string;
  /** Where it is written: file and column. */
  readonly columns: readonly string[];
  readonly source: string;
}

/** Every metric the program reports. A = load, L = its mean, T tokens, K experts per token, E experts, S affinities. */
export const metricDescriptions: readonly MetricDescription[] = [
  {
    name: "MaxVio",
    range: "[0, E − 1]",
    definition: "max A / L − 1, per batch and on the loads summed over the run",
    columns: ["summary max_vio_global", "summary max_vio_batch_{mean,p95,max}", "steps max_vio"],
    source: "Wang et al. 2024, arXiv 2408.15664",
  },
  {
    name: "MinVio",
    range: "[0, 1]",
    definition: "1 − min A / L",
    columns: ["diagnostics min_vio"],
    source: "counterpart of MaxVio",
  },
  {
    name: "load CV",
    range: "[0, √(E − 1)]",
    definition: "population standard deviation of A / L",
    columns: ["summary load_cv", "steps load_cv"],
    source: "Shazeer et al. 2017, arXiv 1701.06538",
  },
  {
    name: "load Gini",
    range: "[0, 1 − 1/E]",
    definition: "Gini coefficient of A",
    columns: ["summary load_gini", "diagnostics load_gini"],
    source: "Gini 1912",
  },
  {
    name: "load entropy",
    range: "[0, 1]",
    definition: "−Σ q ln q / ln E, q = A / ΣA; 1 is balanced",
    columns: ["summary load_entropy", "steps load_entropy"],
    source: "Shannon 1948, normalised",
  },
  {
    name: "idle fraction",
    range: "[0, 1]",
    definition: "experts without a token in the batch / E",
    columns: ["summary idle_fraction_{mean,max}", "steps idle_fraction"],
    source: "common practice",
  },
  {
    name: "idle streak",
    range: "[0, steps]",
    definition: "longest run of steps in which any one expert has no token",
    columns: ["summary idle_streak_max"],
    source: "common practice",
  },
  {
    name: "dead experts",
    range: "[0, E]",
    definition: "experts without a token in the last deadWindow steps",
    columns: ["summary dead_experts"],
    source: "common practice",
  },
  {
    name: "dropped fraction",
    range: "[0, 1]",
    definition: "pairs over capacity C, and pairs that were not routed, / (T·K), whatever the policy",
    columns: ["summary dropped_fraction", "steps dropped_fraction"],
    source: "Fedus et al. 2021, arXiv 2101.03961",
  },
  {
    name: "score",
    range: "[0, 1]",
    definition:
      "Σ S over the assigned pairs, without those that the capacity policy drops, / (T·K); S by the scenario's " +
      "measure.scores (softmax or sigmoid), the same for all routers",
    columns: ["summary score", "steps score"],
    source: "objective of BASE, arXiv 2103.16716",
  },
  {
    name: "assignment regret",
    range: "≥ 0",
    definition:
      "(OPT − F) / (T·K): OPT the best score of any assignment with at most K experts a token and C tokens an expert, F " +
      "what the router scores when each expert over C keeps its C highest (and a token its K highest); S by the " +
      "scenario's measure.scores, whatever the router selects by. If regret.every is n > 1, one step drawn from each n is " +
      "measured: regret_mean estimates the mean over all steps without bias, and regret_cumulative is the sum over the " +
      "measured steps alone, about 1/n of the whole",
    columns: ["summary regret_{mean,cumulative}", "steps regret", "steps regret_cumulative"],
    source: "objective of BASE, arXiv 2103.16716; this program",
  },
  {
    name: "regret standard error",
    range: "≥ 0",
    definition:
      "standard error of regret_mean over the sampled steps, from the differences between neighbouring strata: never too " +
      "low on average; empty if every step is measured",
    columns: ["summary regret_se"],
    source: "collapsed strata: Hansen, Hurwitz and Madow 1953; Cochran 1977, section 5A.12",
  },
  {
    name: "optimum gap",
    range: "≥ 0",
    definition: "proven upper bound of OPT minus the best assignment found, / (T·K); 0 when exact",
    columns: ["summary optimum_gap_max", "steps optimum_gap"],
    source: "linear programming duality",
  },
  {
    name: "dual regret",
    range: "any; < 0 if the moving bias beat every fixed one",
    definition:
      "Σ_n f_n(b_n) − f_n(b*), f(b) = (Σ_t K largest of S_t + b) / T − (K/E)·Σ b, b* the best fixed bias in hindsight; S by " +
      "the router's own affinities, so that only routers of the same `scores` compare",
    columns: ["summary dual_regret_cumulative", "steps dual_regret_cumulative"],
    source: "Han and Zhong 2025, arXiv 2512.03915",
  },
  {
    name: "router z",
    range: "≥ 0",
    definition: "mean over tokens of logsumexp(Z)²",
    columns: ["diagnostics router_z"],
    source: "Zoph et al. 2022, arXiv 2202.08906, eq. 5",
  },
  {
    name: "churn",
    range: "[0, 1]",
    definition: "fraction of pairs that differ from plain top-k's choice on the same batch",
    columns: ["summary churn", "steps churn"],
    source: "common practice",
  },
  {
    name: "rank MaxVio",
    range: "[0, R − 1]",
    definition: "MaxVio of the loads summed over each of R ranks",
    columns: ["summary rank_max_vio", "steps rank_max_vio"],
    source: "expert parallelism, arXiv 2412.19437",
  },
  {
    name: "step time",
    range: "≥ 1 when every pair is routed",
    definition: "max over ranks of the rank's load / (T·K / R): the slowdown against perfect balance",
    columns: ["summary step_time_mean", "steps step_time"],
    source: "expert parallelism, arXiv 2412.19437",
  },
  {
    name: "Sinkhorn steps",
    range: "[0, steps]",
    definition: "steps on which the router solved an entropic transport plan; empty for routers without one",
    columns: ["summary sinkhorn_steps"],
    source: "the router's own",
  },
  {
    name: "solver iterations",
    range: "≥ 0",
    definition: "iterations of the transport solver on a step; in the summary the mean over the steps on which it ran",
    columns: ["summary solver_iterations_mean", "steps solver_iterations"],
    source: "the router's own",
  },
  {
    name: "marginal error",
    range: "[0, 2]",
    definition: "how far the plan is from its marginals; steps over the tolerance are counted",
    columns: ["steps marginal_error", "summary not_converged_steps"],
    source: "the router's own",
  },
  {
    name: "duality gap, column cardinality",
    range: "the solver's own",
    definition: "of sparsity-constrained plans: primal − dual value; most non-zeros in a column",
    columns: ["diagnostics duality_gap", "diagnostics max_column_cardinality"],
    source: "Liu et al. 2022, arXiv 2209.15466",
  },
  {
    name: "task loss",
    range: "the stream's own",
    definition:
      "where the stream trains: mean loss of its task over the batch's tokens, before it learns from them; in the summary " +
      "the mean over the last deadWindow steps, and over all of them",
    columns: ["summary task_loss", "summary task_loss_mean", "steps task_loss"],
    source: "this program",
  },
  {
    name: "gate gradient norm",
    range: "≥ 0",
    definition: "Euclidean norm of ∂loss / ∂(gate's weights), the router's own loss included; in the summary the mean",
    columns: ["summary gate_gradient_norm_mean", "steps gate_gradient_norm"],
    source: "common practice",
  },
  {
    name: "routing entropy",
    range: "[0, 1]",
    definition:
      "mean over tokens of −Σ p ln p / ln E, p = softmax(Z); 1 is undecided; in the summary over the last deadWindow steps",
    columns: ["summary routing_entropy", "steps routing_entropy"],
    source: "Shannon 1948, normalised",
  },
  {
    name: "specialisation",
    range: "[0, entropy of the clusters] nats",
    definition:
      "mutual information of a pair's expert and its token's true cluster, on a batch; experts that do not care have 0, and " +
      "of few pairs about (clusters − 1)·(E − 1) / (2·T·K) more; in the summary over the last deadWindow steps",
    columns: ["summary specialisation", "steps specialisation"],
    source: "Shannon 1948; its bias: Miller 1955",
  },
  {
    name: "expert similarity",
    range: "[−1, 1]",
    definition:
      "mean over pairs of experts of the cosine between their outputs on the same tokens; in the summary over the last " +
      "deadWindow steps",
    columns: ["summary expert_similarity", "steps expert_similarity"],
    source: "common practice",
  },
  {
    name: "route time",
    range: "> 0 ms",
    definition: "wall-clock time of routing one batch, metrics not counted",
    columns: ["timing route_ms_{mean,median,p95}", "timing tokens_per_second"],
    source: "this program",
  },
  {
    name: "train time",
    range: "> 0 ms",
    definition: "wall-clock time that the stream takes to learn from one batch, the router's own gradient included",
    columns: ["timing train_ms_{mean,median,p95}"],
    source: "this program",
  },
];
