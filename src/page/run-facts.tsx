import { z } from "zod";
import { formatNumber } from "../core/results/format.ts";
import { commandLine } from "../core/results/recommendation.ts";
import type { Results } from "../core/results/results.ts";
import { rangesText } from "../core/words.ts";
import { AddressError, addressOf, viewOfScenario } from "./explore/view.ts";
import { Command } from "./page.tsx";

export const factsId = "what-was-run";

/**
 * What was run, collapsed: sizes and settings, and the commands that run it again and show it in explore; `exploreLink` is the
 * scenario's address on a copy of that page, if there is one.
 */
export function FactsSection({ results, exploreLink }: { results: Results; exploreLink: string | null }) {
  const command = rerunCommand(results);
  const explore = exploreCommand(results);
  return (
    <section aria-labelledby={factsId}>
      <details>
        <summary>
          <h2 id={factsId}>What was run</h2>
        </summary>
        <dl class="facts">
          {runFacts(results).map(({ name, value }) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        {command !== null && (
          <>
            <p>{results.runs.length === 1 ? "Run it again:" : "Run its first cell again; the others are beside it:"}</p>
            <Command text={command} />
          </>
        )}
        {explore !== null && (
          <>
            <p>Open it in explore, and move its sliders:</p>
            <Command text={explore} />
            {exploreLink !== null && (
              <p>
                <a href={exploreLink} rel="noreferrer">
                  Open in explore
                </a>
              </p>
            )}
          </>
        )}
      </details>
    </section>
  );
}

/** Returns the command that runs the first run again from its record; null if the record has no scenario. */
function rerunCommand({ runs: [{ files }] }: Results): string | null {
  const record = files.record() as { scenario?: unknown } | null | undefined;
  if (record?.scenario === undefined || record.scenario === null) return null;
  const { plugins } = recordSchema.parse(record);
  return commandLine(["moesim", "run", files.recordPath, ...plugins.flatMap(({ file }) => ["--plugin", file])]);
}

/** Returns the command that shows the first run in explore; null if its record has no scenario, or plugins, which a page lacks. */
function exploreCommand({ runs: [{ files }] }: Results): string | null {
  const record = files.record() as { scenario?: unknown } | null | undefined;
  if (viewOfScenario(record?.scenario, "").view === null) return null;
  return recordSchema.parse(record).plugins.length > 0 ? null : commandLine(["moesim", "explore", files.recordPath]);
}

/**
 * Returns the address of the first run's scenario on the explore page at `url`; null if its record has no scenario, or one
 * that is too long for an address.
 */
export async function exploreLinkOf({ runs: [{ files }] }: Results, url: URL): Promise<string | null> {
  const record = files.record() as { scenario?: unknown } | null | undefined;
  const { view } = viewOfScenario(record?.scenario, "");
  if (view === null) return null;
  const link = new URL(url);
  try {
    link.hash = await addressOf(view);
  } catch (error) {
    if (error instanceof AddressError) return null;
    throw error;
  }
  return link.href;
}

/** One fact about what was run. */
interface Fact {
  readonly name: string;
  readonly value: string;
}

/** What the page shows of run.json; anything else, or anything of another type, is ignored. */
const recordSchema = z.object({
  command: z.string().optional().catch(undefined),
  file: z.string().optional().catch(undefined),
  ranks: z.number().optional().catch(undefined),
  backend: z.string().optional().catch(undefined),
  layers: z.array(z.number()).optional().catch(undefined),
  absentLayers: z.array(z.number()).optional().catch(undefined),
  versions: z.record(z.string(), z.string()).default({}).catch({}),
  plugins: z
    .array(z.object({ file: z.string(), sha256: z.string() }))
    .default([])
    .catch([]),
  start: z.iso.datetime().optional().catch(undefined),
  end: z.iso.datetime().optional().catch(undefined),
  scenario: z
    .object({
      model: z.string().optional().catch(undefined),
      stream: z.looseObject({ kind: z.string() }).optional().catch(undefined),
      routers: z
        .array(z.looseObject({ kind: z.string(), label: z.string() }))
        .default([])
        .catch([]),
      capacityFactor: z.number().optional().catch(undefined),
      capacity: z.string().optional().catch(undefined),
      ranks: z.number().optional().catch(undefined),
      measure: z.object({ scores: z.string() }).optional().catch(undefined),
      regret: z.object({ every: z.number(), gap: z.number() }).optional().catch(undefined),
    })
    .default({ routers: [] })
    .catch({ routers: [] }),
});
type RunRecord = z.infer<typeof recordSchema>;

/** Returns sizes, seeds, stream and versions of `results`, from the summary and, if present, run.json. */
function runFacts({ summary, parameters, runs }: Results): Fact[] {
  const distinct = (column: string) => {
    const position = summary.columns.indexOf(column);
    const cells = position < 0 ? [] : summary.rows.map((row) => row[position]);
    return Array.from(new Set(cells.filter((cell) => cell !== ""))).join(", ");
  };
  const seeds = distinct("seed");
  const record = recordSchema.catch(recordSchema.parse({})).parse(runs[0].files.record() ?? {});
  const facts: readonly (readonly [string, string | undefined])[] = [
    ["Model", parameters.includes("model") ? undefined : record.scenario.model],
    ["Layers", record.layers && rangesText(record.layers)],
    ["Layers without logits", record.absentLayers && rangesText(record.absentLayers)],
    ["Steps", distinct("steps")],
    ["Tokens in a step", distinct("tokens")],
    ["Experts", distinct("experts")],
    ["Experts per token", distinct("top_k")],
    [seeds.includes(",") ? "Seeds" : "Seed", seeds],
    ...parameters.map((parameter) => [`Swept: ${parameter}`, distinct(parameter)] as const),
    ["Recorded file", record.file],
    ...scenarioFacts(record, new Set(parameters)),
    ...routerFacts(record, new Set(parameters)),
    ["Plugins", record.plugins.map(({ file, sha256 }) => `${file} (SHA-256 ${sha256})`).join(", ")],
    ["Versions", versionsText(record)],
    // Each cell of a sweep has its own times.
    ["Run", runs.length === 1 ? timeText(record) : undefined],
  ];
  return facts.flatMap(([name, value]) => (value === undefined || value === "" ? [] : [{ name, value }]));
}

/** Facts in the scenario but not in the summary, without what is swept: one cell's value is not that of the others. */
function scenarioFacts(
  { scenario, ranks: recordedRanks }: RunRecord,
  swept: ReadonlySet<string>,
): (readonly [string, string | undefined])[] {
  const { stream, capacityFactor, capacity, measure, regret, ranks = recordedRanks } = scenario;
  const unlessSwept = (parameter: string, text: string | undefined) => (swept.has(parameter) ? undefined : text);
  return [
    ["Stream", unlessSwept("stream", stream && streamText(stream, swept))],
    ["Capacity factor", unlessSwept("capacityFactor", capacityFactor?.toString())],
    ["Over capacity", unlessSwept("capacity", capacity === "none" ? "kept" : capacity)],
    ["Ranks", unlessSwept("ranks", ranks?.toString())],
    ["Score and regret in", unlessSwept("measure.scores", measure && `${measure.scores} affinity, for all routers`)],
    ["Regret", unlessSwept("regret", regret && regretText(regret))],
  ];
}

/** Returns each router's kind and options, without swept ones. */
function routerFacts({ scenario }: RunRecord, swept: ReadonlySet<string>): (readonly [string, string])[] {
  if (swept.has("routers")) return [];
  return scenario.routers.map(({ kind, label, ...options }) => [
    `Router ${label}`,
    withOptions(kind, options, `routers.${label}`, swept),
  ]);
}

function streamText({ kind, ...options }: { kind: string }, swept: ReadonlySet<string>): string {
  return withOptions(kind, options, "stream", swept);
}

/** Returns `kind (option value, …)` without swept options; `path` is where they are in the scenario. */
function withOptions(kind: string, options: object, path: string, swept: ReadonlySet<string>): string {
  const shown = Object.entries(options)
    .filter(([name]) => !swept.has(`${path}.${name}`))
    .map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`);
  return shown.length === 0 ? kind : `${kind} (${shown.join(", ")})`;
}

function regretText({ every, gap }: { every: number; gap: number }): string {
  if (every === 0) return "not computed";
  const often = every === 1 ? "on every step" : `on one step drawn from every ${every}`;
  return `${gap === 0 ? "exact" : `to within ${gap} per pair`}, ${often}`;
}

function versionsText({ versions, backend }: RunRecord): string {
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [...programs, ...(backend === undefined ? [] : [`kernels ${backend}`])].join(", ");
}

function timeText({ start, end }: RunRecord): string | undefined {
  if (start === undefined) return undefined;
  const day = `${start.slice(0, 10)} ${start.slice(11, 16)} UTC`;
  if (end === undefined) return day;
  return `${day}, in ${formatNumber((Date.parse(end) - Date.parse(start)) / 1000)} s`;
}
