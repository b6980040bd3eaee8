import { type Diagnosis, headline, type LayerDiagnosis, worstFirst } from "../core/diagnosis/diagnosis.ts";
import { dropFactors, type PartFigures } from "../core/diagnosis/layer.ts";
import { thresholds } from "../core/diagnosis/verdict.ts";
import { diagnosisPictures } from "../core/pictures/diagnosis-pictures.ts";
import { formatInterval, formatNumber } from "../core/results/format.ts";
import type { Interval } from "../core/results/interval.ts";
import { counted, listedFirst } from "../core/words.ts";
import { type DataCell, type DataColumn, DataTable } from "./data-table.tsx";
import { renderPage, VerdictSection, verdictId } from "./page.tsx";
import { PictureFigure } from "./picture-figure.tsx";

/** A column of a table with a row per layer. */
interface LayerColumn {
  readonly name: string;
  readonly title?: string;
  readonly isText?: boolean;
  readonly cell: (layer: LayerDiagnosis) => DataCell;
}

/**
 * The diagnosis as one HTML page to send to a colleague: the verdict, the layers, their loads, what remedies fitted to part A do
 * on both parts, scores, drops and placements, and how it was judged.
 */
export function renderDiagnosis(diagnosis: Diagnosis): string {
  const pictures = diagnosisPictures(diagnosis);
  const ranked = worstFirst(diagnosis);
  const sections = [
    { id: "layers", label: "Layers", columns: layerColumns(diagnosis), note: layersNote(diagnosis) },
    { id: "fitted", label: "Fitted on A, judged on B", columns: partColumns(diagnosis), note: partsNote(diagnosis) },
    { id: "scores", label: "What balance costs", columns: scoreColumns(diagnosis), note: scoresNote(diagnosis) },
    { id: "drops", label: "Drops", columns: dropColumns, note: dropsNote(diagnosis) },
    { id: "placement", label: "Placement", columns: placementColumns(diagnosis), note: placementNote(diagnosis) },
  ]
    .map((section) => ({
      ...section,
      columns: section.columns.filter(({ cell }) => ranked.some((one) => cell(one).text !== "")),
    }))
    .filter(({ columns }) => columns.length > 0);
  const [layers, ...others] = sections;
  return renderPage({
    title: `Diagnosis of ${withoutFolder(diagnosis.name)}`,
    description: diagnosis.recording,
    contents: [
      { id: verdictId, label: "Verdict" },
      { id: layers.id, label: layers.label },
      ...pictures.map(({ id, title }) => ({ id, label: title })),
      ...others.map(({ id, label }) => ({ id, label })),
      { id: reasonsId, label: "Reasons" },
      { id: judgedId, label: "How it was judged" },
    ],
    pictures,
    routers: [],
    children: (
      <>
        <VerdictSection sentences={headline(diagnosis)} />
        <LayerTable {...layers} layers={ranked} />
        <section aria-labelledby="pictures">
          <h2 id="pictures">Pictures</h2>
          {pictures.map((picture) => (
            <PictureFigure key={picture.id} picture={picture} />
          ))}
        </section>
        {others.map((section) => (
          <LayerTable key={section.id} {...section} layers={ranked} />
        ))}
        <ReasonsSection layers={ranked} />
        <JudgedSection diagnosis={diagnosis} />
      </>
    ),
  });
}

/** A page to send says nothing of where the files are. */
function withoutFolder(name: string): string {
  return name.split(/[\\/]/).at(-1)!;
}

interface LayerTableProps {
  readonly id: string;
  readonly label: string;
  readonly note: string;
  readonly columns: readonly LayerColumn[];
  readonly layers: readonly LayerDiagnosis[];
}

function LayerTable({ id, label, note, columns, layers }: LayerTableProps) {
  return (
    <section aria-labelledby={id}>
      <h2 id={id}>{label}</h2>
      <p class="muted">{note}</p>
      <DataTable
        id={`${id}-table`}
        label={label}
        headingName="layer"
        columns={columns.map(({ name, title = "", isText = false }): DataColumn => {
          return { name, title, isNumeric: !isText, isMain: true };
        })}
        rows={layers.map((layer) => ({
          heading: String(layer.layer),
          hasSwatch: false,
          cells: columns.map(({ cell }) => cell(layer)),
        }))}
      />
    </section>
  );
}

function number(value: number | null | undefined): DataCell {
  return value === null || value === undefined ? { text: "" } : { text: formatNumber(value), sortKey: value };
}

function interval(value: Interval | null | undefined, shift = 0): DataCell {
  if (value === null || value === undefined) return { text: "" };
  const mean = value.mean - shift;
  return { text: formatInterval({ ...value, mean }), sortKey: mean };
}

function percent(value: number | null | undefined): DataCell {
  return value === null || value === undefined
    ? { text: "" }
    : { text: `${formatNumber(100 * value)} %`, sortKey: value };
}

/** The share of a score that is lost; null for scores of 0 or less, which logits can have. */
function shareLost(from: number, to: number): number | null {
  return from > 0 ? 1 - to / from : null;
}

function layerColumns({ layers }: Diagnosis): LayerColumn[] {
  const someEmpty = layers.some(({ emptyBatches }) => emptyBatches > 0);
  return [
    { name: "verdict", isText: true, cell: ({ verdict }) => ({ text: verdict.kind }) },
    {
      name: "MaxVio, run",
      title: "Largest load of an expert / mean − 1, on the loads of all batches",
      cell: ({ maxVioRun }) => number(maxVioRun),
    },
    { name: "run, by chance", title: "The same if routing were balanced", cell: ({ chanceRun }) => number(chanceRun) },
    { name: "MaxVio, batch", title: "Mean over the batches", cell: ({ maxVioBatch }) => interval(maxVioBatch) },
    {
      name: "batch, by chance",
      title: "The same if routing were balanced",
      cell: ({ chanceBatch }) => number(chanceBatch),
    },
    {
      name: "imbalance of the",
      title: "Always the same experts (run), others in each batch, or chance alone",
      isText: true,
      cell: ({ origin }) => ({ text: origin ?? "" }),
    },
    {
      name: "idle experts",
      title: "Without a token in the whole recording",
      cell: ({ idleExperts }) => number(idleExperts.length),
    },
    {
      name: "idle in a batch",
      title: "Mean share of the experts",
      cell: ({ idleFraction }) => percent(idleFraction.mean),
    },
    {
      name: "busiest experts",
      title: "Load / mean load in the whole recording",
      isText: true,
      cell: ({ hottest }) => ({
        text: hottest.map(({ expert, ratio }) => `${expert} (${formatNumber(ratio)} ×)`).join(", "),
      }),
    },
    { name: "batches", cell: ({ batches }) => number(batches) },
    { name: "empty batches", cell: ({ emptyBatches }) => (someEmpty ? number(emptyBatches) : { text: "" }) },
    { name: "pairs", cell: ({ pairs }) => number(pairs) },
  ];
}

function layersNote({ layers, batch }: Diagnosis): string {
  const order = layers.length === 1 ? "" : " The worst come first.";
  return `A batch is ${batch}; ± is half a 95 % confidence interval over up to 16 blocks of consecutive batches.${order}`;
}

function partColumns({ shape }: Diagnosis): LayerColumn[] {
  // Without GPUs, the slowdown of experts is 1 + MaxVio.
  const shift = shape === null ? 1 : 0;
  const part = (name: string, of: (layer: LayerDiagnosis) => PartFigures | null): LayerColumn[] => [
    { name: `${name}: as it is`, cell: (layer) => interval(of(layer)?.plain.slowdown, shift) },
    { name: `${name}: bias`, cell: (layer) => interval(of(layer)?.biased?.slowdown, shift) },
    { name: `${name}: moved`, cell: (layer) => interval(of(layer)?.moves?.slowdown, shift) },
    { name: `${name}: with replicas`, cell: (layer) => interval(of(layer)?.replicas?.slowdown, shift) },
  ];
  return [
    ...part("A", ({ a }) => a),
    ...part("B", ({ b }) => b),
    { name: "B: above chance", cell: ({ b }) => interval(b?.excess) },
    { name: "B: bias saves", cell: ({ gains }) => interval(gains.bias) },
    { name: "B: moving saves", cell: ({ gains }) => interval(gains.moves) },
    { name: "B: replicas save", cell: ({ gains }) => interval(gains.replicas) },
  ];
}

function partsNote({ shape, split }: Diagnosis): string {
  const unit =
    shape === null
      ? "MaxVio of a batch"
      : `slowdown of a batch (largest load of ${counted(shape.gpus, "GPU")} / mean load; 1 is balanced)`;
  return (
    `Mean ${unit}. Remedies are fitted to part A, the first ${formatNumber(100 * split)} % of the pairs; only what they do on part B ` +
    "counts. Savings are differences batch by batch."
  );
}

function scoreColumns({ capacityFactor }: Diagnosis): LayerColumn[] {
  return [
    { name: "score, as it is", cell: ({ optimum }) => number(optimum?.plain) },
    { name: "with the bias", cell: ({ optimum }) => number(optimum?.biased) },
    {
      name: "cost of the bias",
      cell: ({ optimum }) =>
        percent(optimum && optimum.biased !== null ? shareLost(optimum.plain, optimum.biased) : null),
    },
    {
      name: `least cost within capacity ${formatNumber(capacityFactor)}`,
      title: "No router that keeps every batch within that capacity loses less; one that exceeds it can",
      cell: ({ optimum }) => percent(optimum && shareLost(optimum.plain, optimum.upperBound)),
    },
    { name: "best within capacity", cell: ({ optimum }) => number(optimum?.best) },
    { name: "as it is, within capacity", cell: ({ optimum }) => number(optimum?.plainKept) },
    {
      name: "cost of the bias, within capacity",
      title: "If each expert keeps only its best pairs within the capacity",
      cell: ({ optimum }) =>
        percent(optimum && optimum.biasedKept !== null ? shareLost(optimum.plain, optimum.biasedKept) : null),
    },
    { name: "bias, within capacity", cell: ({ optimum }) => number(optimum?.biasedKept) },
    {
      name: "proof",
      title: "How far the best found can be below the optimum, per pair",
      isText: true,
      cell: ({ optimum }) => ({
        text:
          optimum === null ? "" : optimum.exact ? "exact" : `within ${formatNumber(optimum.upperBound - optimum.best)}`,
      }),
    },
    { name: "batches solved", cell: ({ optimum }) => number(optimum?.batches) },
  ];
}

function scoresNote({ scores, capacityFactor }: Diagnosis): string {
  return (
    `Mean ${scores} affinity of a pair on part B. “Best within capacity” is the certified optimum of each batch, with at most ` +
    `${formatNumber(capacityFactor)} × an equal share of the pairs per expert; “within capacity” leaves each expert only its best ` +
    "pairs up to that."
  );
}

const dropColumns: readonly LayerColumn[] = dropFactors.flatMap((factor, i) => [
  { name: `B: at ${factor}`, cell: ({ b }: LayerDiagnosis) => percent(b?.plain.dropped[i]) },
  { name: `B: at ${factor}, bias`, cell: ({ b }: LayerDiagnosis) => percent(b?.biased?.dropped[i]) },
]);

function dropsNote({ layers }: Diagnosis): string {
  const remedy = layers.some(({ b }) => b !== null && b.biased !== null) ? ", as it is and with the bias" : "";
  return `Share of the pairs on part B beyond a capacity of so many times an equal share per batch${remedy}.`;
}

function placementColumns({ shape }: Diagnosis): LayerColumn[] {
  if (shape === null) return [];
  return [
    { name: "as it is", cell: ({ b }) => interval(b?.plain.slowdown) },
    { name: "moved", cell: ({ b }) => interval(b?.moves?.slowdown) },
    {
      name: "bound, moved",
      title: "No placement with these slots is better",
      cell: ({ b }) => number(b?.moves?.bound),
    },
    { name: "with replicas", cell: ({ b }) => interval(b?.replicas?.slowdown) },
    {
      name: "bound, with replicas",
      title: "No placement with these slots is better",
      cell: ({ b }) => number(b?.replicas?.bound),
    },
    { name: "nodes, as it is", cell: ({ b }) => interval(b?.nodeSlowdown) },
    { name: "nodes, moved", cell: ({ b }) => interval(b?.moves?.nodeSlowdown) },
    { name: "nodes, with replicas", cell: ({ b }) => interval(b?.replicas?.nodeSlowdown) },
  ];
}

function placementNote({ shape }: Diagnosis): string {
  if (shape === null) return "";
  const { gpus, slots } = shape;
  return (
    `Slowdown of a batch on part B with the experts in order on ${counted(gpus, "GPU")}, moved as fitted to part A (${counted(slots, "slot")}), ` +
    `and moved with one more slot per GPU for replicas (${slots + gpus} slots). Bounds are of the loads summed over part B, proven for any ` +
    "placement, even one that knew them."
  );
}

const reasonsId = "reasons";

/** The reason of every verdict. */
function ReasonsSection({ layers }: { layers: readonly LayerDiagnosis[] }) {
  return (
    <section aria-labelledby={reasonsId}>
      <details>
        <summary>
          <h2 id={reasonsId}>Reasons</h2>
        </summary>
        <dl class="definitions">
          {layers.map(({ layer, verdict, idleExperts }) => (
            <div key={layer}>
              <dt>
                Layer {layer}: {verdict.kind}
              </dt>
              <dd>
                {verdict.reason}
                {idleExperts.length > 0 && ` Idle in the whole recording: ${listedFirst(idleExperts)}.`}
              </dd>
            </div>
          ))}
        </dl>
      </details>
    </section>
  );
}

const judgedId = "how-it-was-judged";

function JudgedSection({ diagnosis }: { diagnosis: Diagnosis }) {
  const { name, recording, notes, experts, topK, scores, split, shape, capacityFactor } = diagnosis;
  const { worthwhile, leastShare, leastPairs } = thresholds;
  const facts: readonly (readonly [string, string | null])[] = [
    ["Files", withoutFolder(name)],
    ["Taken for", recording],
    ["Experts", String(experts)],
    ["Experts per token", topK === null ? null : String(topK)],
    ["Affinities", diagnosis.holds === "logits" ? scores : null],
    ["Part A", `the first ${formatNumber(100 * split)} % of the pairs`],
    ["GPUs", shape === null ? null : String(shape.gpus)],
    ["Nodes", shape === null || shape.nodes === 1 ? null : String(shape.nodes)],
    ["Capacity factor of the optimum", diagnosis.holds === "logits" ? formatNumber(capacityFactor) : null],
  ];
  return (
    <section aria-labelledby={judgedId}>
      <h2 id={judgedId}>How it was judged</h2>
      <ul>
        {notes.map((note) => (
          <li key={note}>{note}</li>
        ))}
        <li>
          Leave it: the slowdown is surely at most {worthwhile} above what balanced routing shows by chance, or nothing
          that was fitted to part A holds on part B.
        </li>
        <li>
          A bias, or placement, would do: it surely saves something on part B, and at least{" "}
          {formatNumber(100 * leastShare)} % of what is above chance there. If both do, placement is named, which
          changes no output, unless the bias is clearly better.
        </li>
        <li>
          Not enough data: an interval leaves that open, there are fewer than {leastPairs} pairs per expert in a part,
          or there is nothing to fit.
        </li>
        {diagnosis.holds === "logits" && (
          <li>
            The least cost is proven: no router that keeps every batch within {formatNumber(capacityFactor)} × an equal
            share per expert loses less of the score. One that exceeds it, as a bias does on some batches, can lose
            less.
          </li>
        )}
      </ul>
      <dl class="facts">
        {facts.map(([term, value]) =>
          value === null ? null : (
            <div key={term}>
              <dt>{term}</dt>
              <dd>{value}</dd>
            </div>
          ),
        )}
      </dl>
    </section>
  );
}
