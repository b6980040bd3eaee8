import { mean } from "d3-array";
import {
  countVerdicts,
  type Diagnosis,
  headline,
  type LayerDiagnosis,
  worstFirst,
} from "../../core/diagnosis/diagnosis.ts";
import { dropFactors } from "../../core/diagnosis/layer.ts";
import { formatInterval, formatNumber } from "../../core/results/format.ts";
import type { Interval } from "../../core/results/interval.ts";
import { counted, escapeUnprintable } from "../../core/words.ts";
import type { TableStyle } from "../terminal.ts";
import { columnsWithin, type FittedTable, formatTable, type TableCell, titlesLeftOut } from "./table.ts";

/** Layers that the terminal shows; diagnosis.csv has them all. */
const shownLayers = 6;

/** What the terminal says about a diagnosis, in about 20 lines. */
export interface DiagnosisText {
  /** Above the table: what was read, the verdicts, and how to read the table. */
  readonly above: string;
  readonly table: FittedTable;
  /** Below it: the other layers. */
  readonly below: readonly string[];
}

export function diagnosisText(diagnosis: Diagnosis, { colors, width }: TableStyle): DiagnosisText {
  const { recording, notes, layers, batch, shape, split } = diagnosis;
  const [first, ...others] = headline(diagnosis).map(escapeUnprintable);
  const ranked = worstFirst(diagnosis);
  const shown = ranked.slice(0, shownLayers);
  const columns = columnsOf(diagnosis).filter(({ value }) => shown.some((layer) => value(layer) !== null));
  const header = columns.map(({ title }) => title);
  const rows = shown.map((layer) => columns.map(({ value }) => value(layer)));
  const kept = columnsWithin(
    width,
    header,
    rows,
    columns.map(({ rank }) => rank),
  );
  const pick = <Item>(items: readonly Item[]) => kept.map((column) => items[column]);
  const unit = shape === null ? "MaxVio of a batch" : `the slowdown of a batch on ${counted(shape.gpus, "GPU")}`;
  const hasParts = layers.some(({ b }) => b !== null);
  const reading = hasParts
    ? `A batch is ${batch}. B: ${unit} on the last ${formatNumber(100 * (1 - split))} % of the pairs; remedies were fitted to the others.`
    : `A batch is ${batch}.`;
  return {
    above: [
      `Taken for: ${escapeUnprintable(recording)}`,
      ...notes.map(escapeUnprintable),
      "",
      colors.bold(first),
      ...others,
      reading,
    ].join("\n"),
    table: {
      text: formatTable(pick(header), rows.map(pick), {
        colors,
        alignRight: pick(columns.map(({ isText }) => !isText)),
      }),
      leftOut: titlesLeftOut(header, kept),
    },
    below: othersText(ranked.slice(shownLayers)),
  };
}

interface TextColumn {
  readonly title: string;
  readonly value: (layer: LayerDiagnosis) => TableCell;
  /** Columns of the highest rank are left out first. */
  readonly rank: number;
  readonly isText?: boolean;
}

function columnsOf({ shape, capacityFactor }: Diagnosis): TextColumn[] {
  // Without GPUs, the slowdown of experts is 1 + MaxVio.
  const shift = shape === null ? 1 : 0;
  const unit = shape === null ? "MaxVio" : "slowdown";
  const onB = (of: (b: NonNullable<LayerDiagnosis["b"]>) => Interval | null | undefined) => (layer: LayerDiagnosis) => {
    const interval = layer.b && of(layer.b);
    return interval ? formatInterval({ ...interval, mean: interval.mean - shift }) : null;
  };
  return [
    { title: "layer", value: ({ layer }) => layer, rank: 0 },
    { title: "MaxVio\nrun", value: ({ maxVioRun }) => maxVioRun, rank: 0 },
    { title: "MaxVio\nbatch", value: ({ maxVioBatch }) => maxVioBatch.mean, rank: 0 },
    { title: "by\nchance", value: ({ chanceBatch }) => chanceBatch, rank: 4 },
    { title: "of the", value: ({ origin }) => (origin === "chance" ? "(chance)" : origin), rank: 5, isText: true },
    { title: "idle\nexperts", value: ({ idleExperts }) => idleExperts.length, rank: 3 },
    { title: `B: ${unit}\nplain`, value: onB(({ plain }) => plain.slowdown), rank: 1 },
    { title: "B:\nbias", value: onB(({ biased }) => biased?.slowdown), rank: 1 },
    { title: "B:\nmoves", value: onB(({ moves }) => moves?.slowdown), rank: 1 },
    { title: "B: and\nreplicas", value: onB(({ replicas }) => replicas?.slowdown), rank: 1 },
    {
      title: "score\ncost, %",
      value: ({ b }) => (b?.biased ? percentLost(b.plain.score!, b.biased.score!) : null),
      rank: 2,
    },
    {
      title: `least cost\nwithin ${formatNumber(capacityFactor)}, %`,
      value: ({ optimum }) => (optimum === null ? null : percentLost(optimum.plain, optimum.upperBound)),
      rank: 6,
    },
    {
      title: "B: dropped\nat 1.25, %",
      value: ({ b }) => {
        const dropped = b?.plain.dropped[dropFactors.indexOf(1.25)];
        return dropped === undefined ? null : 100 * dropped;
      },
      rank: 7,
    },
    { title: "verdict", value: ({ verdict }) => verdict.kind, rank: 0, isText: true },
  ];
}

/** Null for scores of 0 or less, which logits can have. */
function percentLost(from: number, to: number): number | null {
  return from > 0 ? (100 * (from - to)) / from : null;
}

/** Sums up the layers that are not shown. */
function othersText(layers: readonly LayerDiagnosis[]): string[] {
  if (layers.length === 0) return [];
  const verdicts = countVerdicts({ layers }).map(({ kind, layers: { length } }) => `${length} ${kind}`);
  const batch = layers.map(({ maxVioBatch }) => maxVioBatch.mean);
  return [
    `${counted(layers.length, "other layer")}: MaxVio of a batch ${formatNumber(mean(batch)!)} in the mean, at most ` +
      `${formatNumber(Math.max(...batch))}; ${verdicts.join(", ")}.`,
  ];
}
