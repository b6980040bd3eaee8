import type { CommandModule } from "yargs";
import { z } from "zod";
import { describeMetrics } from "../../core/metrics/catalogue.ts";
import { routerKinds } from "../../core/routers/index.ts";
import { type Model, modelDescriptions } from "../../core/scenario/models.ts";
import { streamKinds } from "../../core/streams/index.ts";
import { counted } from "../../core/words.ts";
import type { CommonArguments } from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { colorsOf, printJson } from "../terminal.ts";
import { formatTable } from "../text/table.ts";

const subjects = ["routers", "streams", "metrics", "models"] as const;

/** Maximum characters in a line of a list. */
const listCharacters = 80;

interface ListArguments extends CommonArguments {
  subject: (typeof subjects)[number];
}

/** One option of a router or stream; `name` is its path in the scenario, under the router or the stream. */
export interface ParameterDescription {
  readonly name: string;
  readonly allowed: string;
  /** As JSON; null if the parameter is required, or optional without a default. */
  readonly default: string | null;
  readonly description: string;
}

interface KindDescription {
  readonly kind: string;
  readonly summary: string;
  readonly source: string;
  readonly parameters: readonly ParameterDescription[];
}

export const listCommand: CommandModule<CommonArguments, ListArguments> = {
  builder: (yargs) =>
    yargs
      .positional("subject", { choices: subjects, demandOption: true, describe: "What to list" })
      .example(
        examples({
          "List all router kinds and their parameters": "$0 list routers",
          "Explain each column of the CSV files": "$0 list metrics",
          "List the kinds of token streams, for scripts": "$0 list streams --json",
          "List the published models that a scenario can name": "$0 list models",
        }),
      )
      .epilogue(epilogue()),
  handler({ subject, json, quiet }) {
    if (json) printJson(entriesOf(subject));
    else if (!quiet) process.stdout.write(listText(subject));
  },
};

function entriesOf(subject: ListArguments["subject"]): readonly object[] {
  if (subject === "metrics") return describeMetrics();
  if (subject === "models") return modelDescriptions;
  return describeKinds(subject);
}

function listText(subject: ListArguments["subject"]): string {
  if (subject === "models") {
    const preamble =
      "`model: NAME` in a scenario sets experts, topK, scores and the router; what the\nscenario has of these itself wins.\n\n";
    return preamble + definitionTable("model", modelDescriptions.map(modelDefinition));
  }
  if (subject === "metrics") {
    const metrics = describeMetrics().map(({ name, unit, range, definition, columns, source }): Definition => {
      const facts = [range, ...(unit === "1" ? [] : [unit]), source];
      return { name, lines: [definition, facts.join(" · "), columns.join(", ")] };
    });
    return definitionTable("metric", metrics);
  }
  const { bold } = colorsOf(process.stdout);
  const preamble =
    subject === "routers"
      ? `Every router also takes \`scores\`, the affinities that it selects by, and \`label\`,\nits name in tables. ${defaultScoresText()}\n\n`
      : "";
  return `${preamble}${describeKinds(subject)
    .map(({ kind, summary, source, parameters }) => {
      const heading = `${bold(kind)}: ${summary}\n  ${source}\n`;
      if (parameters.length === 0) return heading;
      const definitions = parameters.map(({ name, allowed, default: standard, description }): Definition => {
        return { name, lines: [description, standard === null ? allowed : `${allowed}, default ${standard}`] };
      });
      return heading + definitionTable("parameter", definitions);
    })
    .join("\n")}`;
}

function modelDefinition(model: Model): Definition {
  const { name, sameRouting, experts, topK, sharedExperts, moeLayers, layers, scores } = model;
  const { kind, ...options } = model.router;
  const settings = Object.entries(options).map(([option, value]) => `${option} ${value}`);
  return {
    name,
    lines: [
      sameRouting.length === 0 ? "" : `also ${sameRouting.join(", ")}`,
      `${experts} experts, top-${topK}, ${scores}${sharedExperts === 0 ? "" : `; ${counted(sharedExperts, "shared expert")}`}; ` +
        `${moeLayers} of ${layers} layers`,
      `${kind}: ${settings.join(", ")}`,
      `exact: ${model.exact}`,
      model.notExpressed === "" ? "" : `not expressed: ${model.notExpressed}`,
      model.source,
    ],
  };
}

/** Says which affinities each kind selects by, by default. */
function defaultScoresText(): string {
  const others = routerKinds.filter(({ defaultScores }) => defaultScores !== undefined);
  const kinds = others.map(({ kind, defaultScores }) => `${defaultScores} for ${kind}`).join(", ");
  return `Default scores: the scenario's, else ${kinds},\nsoftmax for the others.`;
}

/** A name and its explanation. */
interface Definition {
  readonly name: string;
  readonly lines: readonly string[];
}

/** Formats definitions as a table for a terminal of 80 characters. */
function definitionTable(header: string, definitions: readonly Definition[]): string {
  const rows = definitions.map(({ name, lines }) => [name, lines.filter((line) => line !== "").join("\n")]);
  const nameCharacters = Math.max(header.length, ...definitions.map(({ name }) => name.length));
  // Each cell has a space on both sides, and another separates two cells; the width of the last includes its own two.
  const wrapLast = listCharacters - nameCharacters - 3;
  return `${formatTable([header, "meaning"], rows, { wrapLast, colors: colorsOf(process.stdout) })}\n`;
}

function describeKinds(subject: "routers" | "streams"): KindDescription[] {
  return (subject === "routers" ? routerKinds : streamKinds).map(({ kind, summary, source, options }) => ({
    kind,
    summary,
    source,
    parameters: describeParameters(z.toJSONSchema(options, { io: "input" }) as JsonSchema, ""),
  }));
}

interface JsonSchema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly default?: unknown;
  readonly description?: string;
}

/** Lists the parameters of an object schema; those of nested objects follow with dotted names. */
function describeParameters(schema: JsonSchema, prefix: string): ParameterDescription[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, field]) => {
    const name = `${prefix}${key}`;
    const branches = field.oneOf ?? field.anyOf ?? [field];
    return [
      {
        name,
        allowed: allowedValues(field),
        default: field.default === undefined ? null : JSON.stringify(field.default),
        description: field.description ?? "",
      },
      ...branches.flatMap((branch) =>
        describeParameters(branch, `${name}.`).filter((parameter) => !isTag(branch, parameter.name, name)),
      ),
    ];
  });
}

/** Whether a parameter only identifies its branch of a union: the union's own row lists those. */
function isTag(branch: JsonSchema, parameter: string, union: string): boolean {
  return branch.properties?.[parameter.slice(union.length + 1)]?.const !== undefined;
}

/** Lists the fields whose value identifies a branch of a union. */
function tagsOf(branch: JsonSchema): { key: string; value: string }[] {
  return Object.entries(branch.properties ?? {})
    .filter(([, field]) => field.const !== undefined)
    .map(([key, field]) => ({ key, value: String(field.const) }));
}

function allowedValues(field: JsonSchema): string {
  if (field.const !== undefined) return String(field.const);
  if (field.enum !== undefined) return field.enum.join(" | ");
  const branches = field.oneOf ?? field.anyOf;
  if (branches !== undefined) {
    const tags = branches.flatMap(tagsOf);
    const [first] = tags;
    if (first === undefined) return branches.map(allowedValues).join(" | ");
    return `${first.key}: ${tags.map(({ value }) => value).join(" | ")}`;
  }
  if (field.type === "array") return `list of ${allowedValues(field.items ?? {})}`;
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = field;
  const limits = [
    ...(minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? [`≥ ${minimum}`] : []),
    ...(exclusiveMinimum !== undefined ? [`> ${exclusiveMinimum}`] : []),
    ...(maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? [`≤ ${maximum}`] : []),
    ...(exclusiveMaximum !== undefined ? [`< ${exclusiveMaximum}`] : []),
  ];
  return [field.type ?? "any", limits.join(", ")].join(" ").trim();
}
