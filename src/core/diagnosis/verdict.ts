import { formatInterval, formatNumber } from "../results/format.ts";
import type { Interval } from "../results/interval.ts";
import { counted } from "../words.ts";
import type { LayerFigures, PartFigures } from "./layer.ts";

/** What to do about a layer. */
export const verdictKinds = ["leave it", "a bias would do", "placement would do", "not enough data"] as const;
/** `leave it`, `a bias would do`, `placement would do` or `not enough data`. */
export type VerdictKind = (typeof verdictKinds)[number];

/** What was tried on a layer: a bias in the router, or experts moved between GPUs, without or with a replica per GPU. */
export type Remedy = "bias" | "moves" | "replicas";

/** A verdict, and the numbers that it rests on. */
export interface Verdict {
  readonly kind: VerdictKind;
  /** The remedy that would do; null if none. */
  readonly remedy: Remedy | null;
  /** One or two sentences with the numbers. */
  readonly reason: string;
}

/** What decides between verdicts; `docs/diagnose.md` explains them. */
export const thresholds = {
  /** Imbalance above chance, as a share of the balanced time of a step, up to which nothing is worth doing. */
  worthwhile: 0.1,
  /** A remedy does if it removes at least this share of the imbalance above chance on later tokens. */
  leastShare: 0.5,
  /** Pairs per expert, on average, that part A and part B need. */
  leastPairs: 4,
} as const;

/** Where the imbalance of a layer comes from: chance alone, other experts in each batch, or always the same ones. */
export type Origin = "chance" | "batch" | "run";

/**
 * Returns where a layer's imbalance comes from; null if chance is unknown. It is of the run if at least half of what MaxVio of
 * a batch has above chance is left when the loads of all batches are summed up.
 */
export function originOf({
  maxVioBatch,
  maxVioRun,
  chanceBatch,
  chanceRun,
}: Pick<LayerFigures, "maxVioBatch" | "maxVioRun" | "chanceBatch" | "chanceRun">): Origin | null {
  if (chanceBatch === null || chanceRun === null) return null;
  const ofBatch = maxVioBatch.mean - chanceBatch;
  if (ofBatch <= thresholds.worthwhile) return "chance";
  return (maxVioRun - chanceRun) / ofBatch >= thresholds.leastShare ? "run" : "batch";
}

/** Returns the verdict on a layer. */
export function verdictOf(figures: LayerFigures): Verdict {
  const { excess, a, b } = figures;
  if (figures.experts === 1 || (figures.topK !== null && figures.topK >= figures.experts)) {
    return leave("Every token has every expert, so the loads are equal.");
  }
  if (excess === null) return lacking("Shares do not say how many pairs there were, so chance cannot be told apart.");
  const { gpus, slowdownExcess } = figures;
  const above =
    excess.mean < 0
      ? `${formatInterval({ ...excess, mean: -excess.mean })} below chance`
      : `${formatInterval(excess)} above chance`;
  const measured =
    gpus === null
      ? `MaxVio of a batch is ${formatInterval(slowdownExcess)}, ${above}`
      : `The slowdown on ${counted(gpus, "GPU")} is ${formatInterval({ ...slowdownExcess, mean: slowdownExcess.mean + 1 })} ` +
        `(1 is balanced), ${above}`;
  if (a === null || b === null || excess.halfWidth === null) {
    return lacking(`${measured}, but there is a single batch: nothing can be fitted and judged on others.`);
  }
  const { worthwhile, leastPairs } = thresholds;
  if (upper(excess) <= worthwhile) return leave(`${measured}: at most ${worthwhile} is not worth a remedy.`);
  const pairs = Math.min(a.pairs, b.pairs) / figures.experts;
  if (pairs < leastPairs) {
    return lacking(
      `${measured}, but there are only ${formatNumber(pairs)} pairs per expert in a part; ${leastPairs} are needed.`,
    );
  }
  if (excess.mean <= worthwhile) {
    return lacking(`${measured}: more batches would tell whether it is more than ${worthwhile}.`);
  }
  if (b.excess !== null && b.excess.halfWidth !== null && upper(b.excess) <= worthwhile) {
    return leave(`${measured}, but only ${formatInterval(b.excess)} on the later part B.`);
  }
  return remedyVerdict(figures, b, measured);
}

/** The verdict on a layer that is unbalanced, and has two parts. */
function remedyVerdict(figures: LayerFigures, b: PartFigures, measured: string): Verdict {
  const avoidable = b.excess?.mean ?? 0;
  const needed = thresholds.leastShare * avoidable;
  const known = remedies.flatMap((remedy) => {
    const gain = figures.gains[remedy];
    return gain === null ? [] : [{ remedy, gain }];
  });
  if (known.length === 0) return lacking(`${measured}, but no remedy can be judged: ${whyNone(figures)}.`);
  const does = (remedy: Remedy) =>
    known.some((one) => one.remedy === remedy && lower(one.gain) > 0 && one.gain.mean >= needed);
  const isBeaten = (placement: "moves" | "replicas") => {
    const lead = figures.biasLead[placement];
    return does("bias") && lead !== null && lower(lead) > thresholds.worthwhile;
  };
  const placement = placements.find((one) => does(one) && !isBeaten(one)) ?? null;
  const sentences = known.map(({ remedy, gain }) => gainText(remedy, gain)).join("; ");
  const text = `${measured}. On part B, where ${formatNumber(avoidable)} is above chance, ${sentences}.`;
  if (placement !== null) {
    const how = placement === "moves" ? "" : " Moving alone does not do: it takes one replica per GPU.";
    return { kind: "placement would do", remedy: placement, reason: `${text}${how}` };
  }
  if (does("bias")) return { kind: "a bias would do", remedy: "bias", reason: `${text}${costText(figures)}` };
  if (known.some(({ gain }) => upper(gain) >= needed)) {
    return lacking(`${text} The intervals leave open whether that is half of it.`);
  }
  return leave(`${text} That is less than half: what fits earlier tokens does not fit later ones.`);
}

const remedies: readonly Remedy[] = ["bias", "moves", "replicas"];
/** The one that needs no memory first. */
const placements = ["moves", "replicas"] as const;

function gainText(remedy: Remedy, gain: Interval): string {
  const noun = {
    bias: "a bias fitted on A",
    moves: "moving experts",
    replicas: "moving them with a replica per GPU",
  }[remedy];
  return gain.mean >= 0
    ? `${noun} saves ${formatInterval(gain)}`
    : `${noun} adds ${formatInterval({ ...gain, mean: -gain.mean })}`;
}

function costText({ optimum }: LayerFigures): string {
  // Logits can have a score of 0 or less, of which nothing is a share.
  if (optimum === null || optimum.biased === null || !(optimum.plain > 0)) return "";
  const cost = (score: number) => `${formatNumber((100 * (optimum.plain - score)) / optimum.plain)} %`;
  const factor = formatNumber(optimum.capacityFactor);
  return (
    ` It costs ${cost(optimum.biased)} of the score; keeping every batch within capacity ${factor} costs at least ` +
    `${cost(optimum.upperBound)}.`
  );
}

function whyNone({ biasProblem, gpus }: LayerFigures): string {
  return [
    ...(biasProblem === null ? [] : [biasProblem]),
    ...(gpus === null ? ["placement needs the number of GPUs"] : []),
  ].join(", and ");
}

function leave(reason: string): Verdict {
  return { kind: "leave it", remedy: null, reason };
}

function lacking(reason: string): Verdict {
  return { kind: "not enough data", remedy: null, reason };
}

/** The ends of an interval; infinitely far for a single value. */
function upper({ mean, halfWidth }: Interval): number {
  return mean + (halfWidth ?? Number.POSITIVE_INFINITY);
}

function lower({ mean, halfWidth }: Interval): number {
  return mean - (halfWidth ?? Number.POSITIVE_INFINITY);
}
