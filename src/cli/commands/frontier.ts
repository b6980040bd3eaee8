import { writeFileSync } from "node:fs";
import path from "node:path";
import type { CommandModule } from "yargs";
import { scoreKinds } from "../../core/assignment.ts";
import { InputError } from "../../core/input-error.ts";
import { createKernels } from "../../core/kernels/index.ts";
import { frontierPicture } from "../../core/pictures/makers/frontier.ts";
import { themes } from "../../core/pictures/parts/theme.ts";
import { formatInterval, formatNumber, printable } from "../../core/results/format.ts";
import {
  type Frontier,
  type FrontierLayer,
  type FrontierResult,
  frontierTable,
  summarizeFrontier,
  withFactors,
} from "../../core/results/frontier.ts";
import type { Interval } from "../../core/results/interval.ts";
import { adviceWarnings } from "../../core/results/warnings.ts";
import { routerKinds } from "../../core/routers/index.ts";
import { hasLayers, type Scenario, scenariosOfLayers } from "../../core/scenario/scenario.ts";
import { frontierSteps } from "../../core/simulation/frontier.ts";
import { measuredSteps } from "../../core/simulation/optima.ts";
import { hasOwnStreams } from "../../core/simulation/sharing.ts";
import { suggestion } from "../../core/suggestion.ts";
import { mostAssignmentExperts } from "../../core/transport/assignment/exact-assignment.ts";
import { counted, escapeUnprintable, listedFirst } from "../../core/words.ts";
import { readScenarioFile } from "../../node/files/scenario-file.ts";
import { writeTable } from "../../node/files/write-results.ts";
import { namingFile } from "../../node/run/run-record.ts";
import { type CommonArguments, optionGroups, outOption, positiveInteger } from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { checkTarget, filesReadBy, withOutputFolder } from "../output.ts";
import { createProgress } from "../progress.ts";
import {
  type LogitsReading,
  logitsReadingOptions,
  readOneScenario,
  scenarioOfLogits,
  scenarioOptions,
  topKOption,
} from "../scenario-options.ts";
import {
  absentSentences,
  layersText,
  printJson,
  sayTakenFor,
  sizesText,
  type TakenFor,
  tableStyle,
  warn,
  writeLines,
} from "../terminal.ts";
import { columnsWithin, formatTable, type TableCell } from "../text/table.ts";

const defaultFactors = "1,1.05,1.1,1.25,1.5,2";
const pngScale = 2;
const outNames = ["frontier.csv", "frontier.svg", "frontier.png"] as const;

interface FrontierArguments extends CommonArguments, LogitsReading {
  source: string;
  factors: string;
  scores?: (typeof scoreKinds)[number] | undefined;
  router?: string[] | undefined;
  every?: number | undefined;
  gap?: number | undefined;
  seed?: number | undefined;
  set: string[];
  out?: string | undefined;
}

export const frontierCommand: CommandModule<CommonArguments, FrontierArguments> = {
  builder: (yargs) =>
    yargs
      .positional("source", {
        type: "string",
        demandOption: true,
        describe: "Logits (file, folder, quoted pattern), or a scenario (YAML, JSON)",
      })
      .option("top-k", { ...topKOption, defaultDescription: `the scenario's; ${topKOption.defaultDescription}` })
      .option("factors", {
        type: "string",
        group: optionGroups.input,
        requiresArg: true,
        default: defaultFactors,
        describe: "Capacity factors: multiples of an equal share",
      })
      .option("router", {
        type: "string",
        group: optionGroups.input,
        array: true,
        requiresArg: true,
        describe: "Routers to place beside: kinds, or labels of a scenario's",
        defaultDescription: "topk, or all of the scenario's",
      })
      .option("scores", {
        group: optionGroups.input,
        choices: scoreKinds,
        requiresArg: true,
        describe: "What to sum, and what routers of a file select by",
        defaultDescription: "softmax; the scenario's measure.scores",
      })
      .options(logitsReadingOptions)
      .options(scenarioOptions)
      .option("every", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        describe: "Measure one step of that many, drawn by the seed",
        defaultDescription: "1; the scenario's regret.every",
      })
      .option("gap", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        describe: "Stop when (bound − score) per pair is at most this",
        defaultDescription: "0; the scenario's regret.gap",
      })
      .option("out", { ...outOption, describe: "Folder for the table and the picture; created if missing" })
      .example(
        examples({
          "What does balance cost on recorded logits?": "$0 frontier logits.npy --top-k 8 --batch-tokens 4096",
          "And how near is a bias?": "$0 frontier logits.npy --top-k 8 --router topk alf-lb --out prices",
          "How near are a scenario's routers?": "$0 frontier scenarios/quickstart.yaml --factors 1,1.5 --every 20",
        }),
      )
      .epilogue(
        epilogue([
          "frontier.csv  the best score by capacity factor, and each router; with several layers also by layer",
          "frontier.svg, frontier.png  the same as a picture",
        ]),
      ),
  handler: frontier,
};

async function frontier(options: FrontierArguments): Promise<void> {
  const factors = parseFactors(options.factors);
  const given = options.every === undefined ? undefined : positiveInteger("every", options.every);
  if (options.gap !== undefined && !(options.gap >= 0)) {
    throw new InputError(`--gap: ${options.gap} is not allowed; give a number of at least 0`);
  }
  const { scenario, title, recording } = await scenarioOf(options);
  const every = given ?? Math.max(1, scenario.regret.every);
  const gap = options.gap ?? scenario.regret.gap;
  if (scenario.experts > mostAssignmentExperts) {
    throw new InputError(
      `${options.source}: has ${scenario.experts} experts; frontier takes at most ${mostAssignmentExperts}`,
    );
  }
  const routers = chooseRouters(scenario, options);
  const { out } = options;
  if (out !== undefined) {
    const inputs = await filesReadBy(options.source, [scenario]);
    for (const name of outNames) checkTarget("out", path.join(out, name), inputs);
  }
  const all = out === undefined ? factors : withPictured(factors, scenario);
  const find = () => findFrontier(scenario, { factors: all, every, gap, routers }, options.quiet);
  const found = await (recording === null ? namingFile(options.source, find) : find());
  if (found === null) throw new InputError(`${options.source}: empty stream: no step has a token with an expert`);
  const result = withFactors(found, factors);
  if (out !== undefined) await writeFrontier(out, result, found);
  if (options.json) printJson(objectOf(title, recording, scenario, result, out));
  else if (!options.quiet) printFrontier(title, recording, scenario, result, out);
  for (const warning of adviceWarnings(scenario)) warn(warning);
}

/** Returns the capacity factors, rising. Throws `InputError` if one is not a number above 0. */
function parseFactors(text: string): number[] {
  const factors = text.split(",").map((word) => {
    const factor = word.trim() === "" ? Number.NaN : Number(word);
    if (factor > 0 && Number.isFinite(factor)) return factor;
    throw new InputError(
      `--factors: "${printable(word)}" is not allowed; give numbers above 0 with commas between: ${defaultFactors}`,
    );
  });
  return Array.from(new Set(factors)).sort((a, b) => a - b);
}

/** Returns `factors`, and larger ones up to what any batch can need, so that the line of the picture reaches all routers. */
function withPictured(factors: readonly number[], { experts, topK }: Scenario): number[] {
  const further: number[] = [];
  for (let factor = 2; factor < (2 * experts) / topK; factor *= 2) {
    for (const multiple of [1, 1.2, 1.4, 1.7]) further.push(multiple * factor);
  }
  return Array.from(new Set([...factors, ...further.filter((factor) => factor > factors[0])])).sort((a, b) => a - b);
}

/** Options that only files of logits have. */
const ofFiles = ["scores", ...(Object.keys(logitsReadingOptions) as (keyof typeof logitsReadingOptions)[])] as const;

/** Returns the scenario to find the frontier of, the one given or one that replays the file of logits, and what to call it. */
async function scenarioOf(
  options: FrontierArguments,
): Promise<{ scenario: Scenario; title: string; recording: TakenFor | null }> {
  const { source, seed, set, scores, router } = options;
  if (await isScenarioFile(source)) {
    const wrong = ofFiles.find((name) => options[name] !== undefined);
    if (wrong !== undefined) {
      throw new InputError(`--${wrong}: ${source} is a scenario, which says that itself; change it with --set`);
    }
    const topK = options["top-k"] === undefined ? [] : [`topK=${positiveInteger("top-k", options["top-k"])}`];
    const { scenario } = await readOneScenario({ scenario: source, seed, set: [...set, ...topK] });
    return { scenario, title: scenario.name, recording: null };
  }
  if (set.length > 0) {
    throw new InputError(`--set: changes fields of a scenario, but ${source} is taken for a file of logits`);
  }
  const kinds = routerKinds.map(({ kind }) => kind);
  const unknown = router?.find((kind) => !kinds.includes(kind));
  if (unknown !== undefined) {
    throw new InputError(
      `--router ${printable(unknown)}: there is no such router.${suggestion(unknown, kinds)} Allowed: ${kinds.join(", ")}.`,
    );
  }
  const routers = Array.from(new Set(router ?? ["topk"]), (kind) => ({ kind }));
  const { scenario, recording } = await scenarioOfLogits(
    "frontier",
    { ...options, logits: source },
    { seed, scores, routers },
  );
  return { scenario, title: path.parse(source).name, recording };
}

/** Whether `file` is a scenario, by its name and, for JSON, its keys: recordings can be JSON too. */
async function isScenarioFile(file: string): Promise<boolean> {
  if (/\.ya?ml$/i.test(file)) return true;
  if (!/\.json$/i.test(file)) return false;
  const { written } = await readScenarioFile(file);
  return ["stream", "routers", "model"].some((key) => Object.hasOwn(written as object, key));
}

/** Returns the positions of the routers to place beside the frontier. Throws `InputError` if one is not there. */
function chooseRouters(scenario: Scenario, { source, router: labels }: FrontierArguments): number[] {
  const names = scenario.routers.map(({ name }) => name);
  const unknown = labels?.find((label) => !names.includes(label));
  if (unknown !== undefined) {
    throw new InputError(
      `--router ${printable(unknown)}: ${source} has no such router.${suggestion(unknown, names)} Allowed: ${listedFirst(names)}.`,
    );
  }
  const chosen = Array.from(names.keys()).filter((position) => labels?.includes(names[position]) ?? true);
  if (!hasOwnStreams(scenario) || chosen.length === 1) return chosen;
  throw new InputError(
    `${source}: a stream of kind "${scenario.stream.kind}" reacts to its router, so each router has its own logits and its own ` +
      `frontier; choose one with --router: ${listedFirst(names)}`,
  );
}

async function findFrontier(
  scenario: Scenario,
  measured: { factors: readonly number[]; every: number; gap: number; routers: readonly number[] },
  quiet: boolean,
): Promise<FrontierResult | null> {
  const { factors, every, routers } = measured;
  const scenarios = scenariosOfLayers(scenario);
  const { strata } = measuredSteps({ ...scenario, regret: { every, gap: 0 } });
  const progress = createProgress(strata * scenarios.length, "optima", quiet);
  const layers: FrontierLayer[] = [];
  let done = 0;
  try {
    for (const ofLayer of scenarios) {
      const steps = [];
      // Each layer has its own kernels, whose memory ends with it.
      for await (const step of frontierSteps(ofLayer, { kernels: createKernels(), ...measured })) {
        steps.push(step);
        progress.update(++done);
        // The progress bar and signals get their turn.
        await new Promise(setImmediate);
      }
      layers.push({ layer: hasLayers(scenario) ? ofLayer.layers![0] : null, steps });
    }
  } finally {
    progress.stop();
  }
  return summarizeFrontier(
    layers,
    factors,
    routers.map((position) => scenario.routers[position].name),
  );
}

/** @param pictured the result with further capacity factors */
async function writeFrontier(folder: string, result: FrontierResult, pictured: FrontierResult): Promise<void> {
  // Loading ECharts takes longer than loading the rest of the program.
  const { renderPng, renderSvg } = await import("../../node/render/render.ts");
  const svg = renderSvg(frontierPicture(pictured), themes.light);
  await withOutputFolder(folder, async ({ files }) => {
    writeTable(files, frontierTable(result));
    writeFileSync(path.join(files, "frontier.svg"), svg);
    writeFileSync(path.join(files, "frontier.png"), renderPng(svg, pngScale));
  });
}

/** The value of `--json`. */
function objectOf(
  title: string,
  recording: TakenFor | null,
  scenario: Scenario,
  { mean, layers, worst }: FrontierResult,
  out: string | undefined,
): object {
  const { seed, steps, tokens, experts, topK, measure } = scenario;
  return {
    name: title,
    ...(recording !== null && { recording: recording.description }),
    seed,
    steps,
    tokens,
    experts,
    top_k: topK,
    scores: measure.scores,
    ...(hasLayers(scenario) && { absent_layers: scenario.absentLayers ?? [] }),
    out: out ?? null,
    ...frontierObject(mean, worst),
    ...(layers.length > 0 && {
      layers: layers.map((layer) => ({ layer: layer.layer, ...frontierObject(layer, []) })),
    }),
  };
}

function frontierObject(
  { steps, points, unbounded, freeFactor, routers }: Frontier,
  worst: readonly Frontier[],
): object {
  const interval = (name: string, { mean, halfWidth }: Interval) => ({ [name]: mean, [`${name}_ci95`]: halfWidth });
  return {
    measured_steps: steps,
    unbounded: { ...interval("score", unbounded), ...interval("capacity_factor", freeFactor) },
    points: points.map((point, i) => ({
      capacity_factor: point.capacityFactor,
      capacity_tokens: point.capacity,
      ...interval("score", point.score),
      ...interval("price", point.price),
      price_fraction: point.priceFraction,
      gap_max: point.gap,
      exact: point.gap === 0,
      unassigned_fraction: point.unassigned,
      ...(worst.length > 0 && {
        worst_layer: worst[i].layer,
        worst_layer_price_fraction: worst[i].points[i].priceFraction,
      }),
    })),
    routers: routers.map((router) => ({
      router: router.name,
      ...interval("capacity_factor", router.capacityFactor),
      ...interval("max_vio", router.maxVio),
      ...interval("score", router.score),
      ...interval("price", router.price),
      price_fraction: router.priceFraction,
      ...interval("regret_at_own_load", router.ownRegret),
    })),
  };
}

function printFrontier(
  title: string,
  recording: TakenFor | null,
  scenario: Scenario,
  { mean, layers, worst }: FrontierResult,
  out: string | undefined,
): void {
  const { steps, tokens, experts, topK, measure } = scenario;
  const say = (text: string) => writeLines(process.stdout, text);
  const { colors, width } = tableStyle();
  say(`${printable(title)}: ${layersText(scenario)}${sizesText(steps, tokens, experts)}, top-${topK}`);
  if (recording !== null) sayTakenFor(recording);
  for (const sentence of absentSentences(scenario)) say(sentence);
  const overLayers = layers.length > 0 ? `, and over ${counted(layers.length, "layer")}` : "";
  say(
    mean.steps === 1
      ? `\nBest ${measure.scores} score of any assignment, of one step${overLayers}:\n`
      : `\nBest ${measure.scores} score of any assignment, mean over ${counted(mean.steps, "measured step")}${overLayers} ± 95 % interval:\n`,
  );
  const isExact = mean.points.every(({ gap }) => gap === 0);
  const hasUnassigned = mean.points.some(({ unassigned }) => unassigned > 0);
  const header = [
    "capacity\nfactor",
    "tokens\nper expert",
    "best\nscore",
    "price\n%",
    ...(worst.length > 0 ? ["worst\nlayer", "its price\n%"] : []),
    ...(isExact ? [] : ["largest\ngap"]),
    ...(hasUnassigned ? ["unassigned\n%"] : []),
  ];
  const rows = mean.points.map((point, i): TableCell[] => [
    formatNumber(point.capacityFactor),
    formatNumber(point.capacity),
    formatInterval(point.score),
    percent(point.price, mean),
    ...(worst.length > 0 ? [formatNumber(worst[i].layer), formatNumber(100 * worst[i].points[i].priceFraction)] : []),
    ...(isExact ? [] : [formatNumber(point.gap)]),
    ...(hasUnassigned ? [formatNumber(100 * point.unassigned)] : []),
  ]);
  const last: TableCell[] = ["none", "–", formatInterval(mean.unbounded), "0", ...header.slice(4).map(() => "–")];
  process.stdout.write(`${formatTable(header, [...rows, last], { colors, alignRight: header.map(() => true) })}\n`);
  say(
    `Without a capacity, the fullest expert needs ${formatInterval(mean.freeFactor)} times an equal share; price is what is lost ` +
      `of that score.${isExact ? " Every score is proven to be the best." : " Scores are within the gap, per pair, of the best."}`,
  );
  if (mean.routers.length > 0) {
    const titles = ["router", "capacity\nfactor needed", "MaxVio", "score", "price\n%", "regret at\nown load, %"];
    const cells = mean.routers.map((router): TableCell[] => [
      printable(router.name),
      formatInterval(router.capacityFactor),
      formatInterval(router.maxVio),
      formatInterval(router.score),
      percent(router.price, mean),
      percent(router.ownRegret, mean),
    ]);
    const kept = columnsWithin(width, titles, cells, [0, 0, 2, 1, 0, 0]);
    const fitted = cells.map((row) => kept.map((column) => row[column]));
    const header = kept.map((column) => titles[column]);
    process.stdout.write(`\n${formatTable(header, fitted, { colors, alignRight: header.map((_, i) => i > 0) })}\n`);
    say(
      "Regret at own load is what the best assignment with the same largest load has more on each step: the part of a " +
        "router's price that balance does not explain.",
    );
  }
  if (out !== undefined) say(`\nWritten to ${escapeUnprintable(out)}: ${outNames.join(", ")}`);
}

/** Formats an interval as a percentage of the best score without a capacity. */
function percent(interval: Interval, { unbounded }: Frontier): string {
  return formatInterval(interval, unbounded.mean === 0 ? 0 : 100 / unbounded.mean);
}
