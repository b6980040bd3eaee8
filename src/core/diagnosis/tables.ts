import type { Interval } from "../results/interval.ts";
import type { CsvValue, ResultTable } from "../results/result-columns.ts";
import { cellText } from "../results/result-columns.ts";
import type { Diagnosis, LayerDiagnosis } from "./diagnosis.ts";
import { dropFactors, type PartFigures, type PlacedFigures, type RoutingFigures } from "./layer.ts";
import { thresholds } from "./verdict.ts";

/** Returns a diagnosis as the JSON of `diagnose --json` and diagnosis.json: plain, with names as in the CSV files. */
export function diagnosisObject(diagnosis: Diagnosis): object {
  const { name, recording, notes, holds, experts, topK, scores, batch, split, capacityFactor, shape } = diagnosis;
  return {
    name,
    recording,
    notes,
    holds,
    experts,
    top_k: topK,
    scores,
    batch,
    split,
    capacity_factor: capacityFactor,
    gpus: shape?.gpus ?? null,
    nodes: shape?.nodes ?? null,
    groups: shape?.groups ?? null,
    slots: shape?.slots ?? null,
    slots_with_replicas: shape === null ? null : shape.slots + shape.gpus,
    drop_factors: dropFactors,
    thresholds: {
      worthwhile: thresholds.worthwhile,
      least_share: thresholds.leastShare,
      least_pairs_per_expert: thresholds.leastPairs,
    },
    absent_layers: diagnosis.absentLayers,
    layers: diagnosis.layers.map(layerObject),
  };
}

function layerObject(layer: LayerDiagnosis): object {
  const { bias, optimum, placement, a, b, gains, verdict } = layer;
  return {
    layer: layer.layer,
    verdict: verdict.kind,
    remedy: verdict.remedy,
    reason: verdict.reason,
    imbalance_of: layer.origin,
    experts: layer.experts,
    tokens: layer.tokens,
    pairs: layer.pairs,
    batches: layer.batches,
    empty_batches: layer.emptyBatches,
    max_vio_run: layer.maxVioRun,
    max_vio_run_by_chance: layer.chanceRun,
    max_vio_batch: intervalObject(layer.maxVioBatch),
    max_vio_batch_by_chance: layer.chanceBatch,
    slowdown: intervalObject({ ...layer.slowdownExcess, mean: layer.slowdownExcess.mean + 1 }),
    slowdown_above_chance: intervalObject(layer.excess),
    idle_fraction: intervalObject(layer.idleFraction),
    idle_experts: layer.idleExperts,
    hottest: layer.hottest,
    dropped: layer.dropped,
    load: Array.from(layer.load, (count) => (count < 0 ? null : count)),
    a: a && partObject(a),
    b: b && partObject(b),
    saved_on_b: {
      bias: intervalObject(gains.bias),
      moves: intervalObject(gains.moves),
      replicas: intervalObject(gains.replicas),
    },
    optimum: optimum && {
      capacity_factor: optimum.capacityFactor,
      batches: optimum.batches,
      score: optimum.plain,
      score_biased: optimum.biased,
      score_kept: optimum.plainKept,
      score_biased_kept: optimum.biasedKept,
      optimum: optimum.best,
      upper_bound: optimum.upperBound,
      exact: optimum.exact,
    },
    bias: bias && { values: Array.from(bias.values), dual_gap: bias.gap, tokens: bias.tokens },
    no_bias_because: layer.biasProblem,
    placement: placement && {
      moves: Array.from(placement.moves),
      replicas: Array.from(placement.replicas),
    },
  };
}

function intervalObject(interval: Interval | null): object | null {
  return interval && { mean: interval.mean, half_width: interval.halfWidth };
}

function partObject(part: PartFigures): object {
  return {
    batches: part.batches,
    tokens: part.tokens,
    pairs: part.pairs,
    slowdown_above_chance: intervalObject(part.excess),
    plain: { ...routingObject(part.plain), node_slowdown: intervalObject(part.nodeSlowdown) },
    bias: part.biased && routingObject(part.biased),
    moves: part.moves && placedObject(part.moves),
    replicas: part.replicas && placedObject(part.replicas),
  };
}

function routingObject(figures: RoutingFigures): object {
  return {
    max_vio_run: figures.maxVioRun,
    max_vio_batch: intervalObject(figures.maxVioBatch),
    slowdown: intervalObject(figures.slowdown),
    dropped: figures.dropped,
    score: figures.score,
  };
}

function placedObject({ slowdown, nodeSlowdown, bound }: PlacedFigures): object {
  return {
    slowdown: intervalObject(slowdown),
    node_slowdown: intervalObject(nodeSlowdown),
    slowdown_bound: bound,
  };
}

interface TableColumn {
  readonly name: string;
  readonly value: (layer: LayerDiagnosis) => CsvValue;
}

/** A mean, and half the width of its interval. */
function intervalColumns(name: string, of: (layer: LayerDiagnosis) => Interval | null | undefined): TableColumn[] {
  return [
    { name, value: (layer) => of(layer)?.mean ?? null },
    { name: `${name}_half_width`, value: (layer) => of(layer)?.halfWidth ?? null },
  ];
}

/** The columns of one part. */
function partColumns(name: "a" | "b"): TableColumn[] {
  return [
    { name: `${name}_batches`, value: (layer) => layer[name]?.batches ?? null },
    ...intervalColumns(`${name}_slowdown`, (layer) => layer[name]?.plain.slowdown),
    ...intervalColumns(`${name}_slowdown_bias`, (layer) => layer[name]?.biased?.slowdown),
    ...intervalColumns(`${name}_slowdown_moves`, (layer) => layer[name]?.moves?.slowdown),
    ...intervalColumns(`${name}_slowdown_replicas`, (layer) => layer[name]?.replicas?.slowdown),
    ...intervalColumns(`${name}_node_slowdown`, (layer) => layer[name]?.nodeSlowdown),
    ...intervalColumns(`${name}_node_slowdown_moves`, (layer) => layer[name]?.moves?.nodeSlowdown),
    ...intervalColumns(`${name}_node_slowdown_replicas`, (layer) => layer[name]?.replicas?.nodeSlowdown),
    { name: `${name}_score`, value: (layer) => layer[name]?.plain.score ?? null },
    { name: `${name}_score_bias`, value: (layer) => layer[name]?.biased?.score ?? null },
  ];
}

const columns: readonly TableColumn[] = [
  { name: "layer", value: ({ layer }) => layer },
  { name: "verdict", value: ({ verdict }) => verdict.kind },
  { name: "remedy", value: ({ verdict }) => verdict.remedy },
  { name: "imbalance_of", value: ({ origin }) => origin },
  { name: "experts", value: ({ experts }) => experts },
  { name: "tokens", value: ({ tokens }) => tokens },
  { name: "pairs", value: ({ pairs }) => pairs },
  { name: "batches", value: ({ batches }) => batches },
  { name: "empty_batches", value: ({ emptyBatches }) => emptyBatches },
  { name: "max_vio_run", value: ({ maxVioRun }) => maxVioRun },
  { name: "max_vio_run_by_chance", value: ({ chanceRun }) => chanceRun },
  ...intervalColumns("max_vio_batch", ({ maxVioBatch }) => maxVioBatch),
  { name: "max_vio_batch_by_chance", value: ({ chanceBatch }) => chanceBatch },
  ...intervalColumns("slowdown", ({ slowdownExcess }) => ({ ...slowdownExcess, mean: slowdownExcess.mean + 1 })),
  ...intervalColumns("slowdown_above_chance", ({ excess }) => excess),
  { name: "idle_experts", value: ({ idleExperts }) => idleExperts.length },
  { name: "idle_fraction", value: ({ idleFraction }) => idleFraction.mean },
  { name: "hottest_expert", value: ({ hottest }) => hottest[0].expert },
  { name: "hottest_ratio", value: ({ hottest }) => hottest[0].ratio },
  ...dropFactors.map((factor, i) => ({
    name: `dropped_at_${factor}`,
    value: ({ dropped }: LayerDiagnosis) => dropped[i] ?? null,
  })),
  ...partColumns("a"),
  ...partColumns("b"),
  ...dropFactors.map((factor, i) => ({
    name: `b_dropped_at_${factor}`,
    value: ({ b }: LayerDiagnosis) => b?.plain.dropped[i] ?? null,
  })),
  ...dropFactors.map((factor, i) => ({
    name: `b_dropped_at_${factor}_bias`,
    value: ({ b }: LayerDiagnosis) => b?.biased?.dropped[i] ?? null,
  })),
  ...intervalColumns("b_saved_bias", ({ gains }) => gains.bias),
  ...intervalColumns("b_saved_moves", ({ gains }) => gains.moves),
  ...intervalColumns("b_saved_replicas", ({ gains }) => gains.replicas),
  { name: "b_slowdown_bound_moves", value: ({ b }) => b?.moves?.bound ?? null },
  { name: "b_slowdown_bound_replicas", value: ({ b }) => b?.replicas?.bound ?? null },
  { name: "optimum_score", value: ({ optimum }) => optimum?.best ?? null },
  { name: "optimum_upper_bound", value: ({ optimum }) => optimum?.upperBound ?? null },
  { name: "optimum_batches", value: ({ optimum }) => optimum?.batches ?? null },
  { name: "reason", value: ({ verdict }) => verdict.reason },
];

/** Returns diagnosis.csv: a row per layer. Slowdowns without GPUs are those of experts, 1 + MaxVio of a batch. */
export function diagnosisTable({ layers }: Diagnosis): ResultTable {
  return {
    file: "diagnosis.csv",
    columns: columns.map(({ name }) => name),
    rows: layers.map((layer) => columns.map(({ value }) => cellText(value(layer)))),
  };
}
