import { z } from "zod";
import { InputError } from "../input-error.ts";
import { suggestion } from "../suggestion.ts";
import { listedFirst } from "../words.ts";

/** Maximum number of problems shown: nobody reads more at a time, and suggestions for thousands take seconds. */
export const mostProblems = 20;

/** What is wrong with a scenario. */
export interface Problems {
  /** The first problems, at most 20. */
  readonly lines: readonly string[];
  /** Number of all problems. */
  readonly count: number;
}

/** Maximum characters of a key or value in a message. */
const mostLetters = 60;

/** Formats a path as people write it: `routers[1].select.mode`. Cuts keys that are too long for a line. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    const key = shortened(String(part));
    return text === "" ? key : `${text}.${key}`;
  }, "");
}

/**
 * Describes each thing that is wrong with `input`, which `schema` refused, on one line: the path, the problem, what is
 * allowed. Describes only the first 20.
 */
export function describeIssues(error: Pick<z.ZodError, "issues">, schema: z.core.$ZodType, input: unknown): Problems {
  const lines: string[] = [];
  let count = 0;
  for (const issue of error.issues) {
    const room = mostProblems - lines.length;
    if (room > 0) lines.push(...describeIssue(issue, schema, input, room));
    count += issue.code === "unrecognized_keys" ? issue.keys.length : 1;
  }
  return { lines, count };
}

/** Returns one error for all problems of the data from `where`. */
export function problemsError(where: string, { lines, count }: Problems): InputError {
  if (count === 1) return new InputError(`${where}: ${lines[0]}`);
  const rest = count - lines.length;
  const more = rest === 0 ? [] : [`… and ${rest} more`];
  return new InputError(`${where}: ${count} problems`, { details: [...lines, ...more] });
}

/** Describes one issue in at most `room` lines. */
function describeIssue(issue: z.core.$ZodIssue, schema: z.core.$ZodType, input: unknown, room: number): string[] {
  const where = issue.path.length === 0 ? "" : `${formatPath(issue.path)}: `;
  const given = valueAt(input, issue.path);
  if (issue.code === "unrecognized_keys") {
    const known = knownKeys(schemaAt(schema, issue.path, input), given);
    return issue.keys.slice(0, room).map((key) => {
      const name = formatPath([...issue.path, key]);
      return `${name}: unknown key.${suggestion(key, known)} Allowed here: ${known.join(", ")}.`;
    });
  }
  if (issue.code === "invalid_union" && issue.discriminator !== undefined) {
    // The issue's path ends with the discriminator; the schema one step above knows its values.
    const known = discriminatorValues(schemaAt(schema, issue.path.slice(0, -1), input), issue.discriminator);
    if (given === undefined) return [`${where}missing. Allowed: ${known.join(", ")}.`];
    return [
      `${where}unknown ${issue.discriminator} ${show(given)}.${suggestionFor(given, known)} Allowed: ${known.join(", ")}.`,
    ];
  }
  if (issue.code === "invalid_value") {
    const known = issue.values.map(String);
    if (given === undefined) return [`${where}missing. Allowed: ${listedFirst(known, mostProblems)}.`];
    return [
      `${where}${show(given)} is not allowed.${suggestionFor(given, known)} Allowed: ${listedFirst(known, mostProblems)}.`,
    ];
  }
  if (issue.code === "invalid_type" && given === undefined) return [`${where}missing; expected ${issue.expected}.`];
  return [`${where}${show(given)} is not allowed: ${issue.message}.`];
}

function suggestionFor(given: unknown, known: readonly string[]): string {
  return typeof given === "string" ? suggestion(given, known) : "";
}

function show(value: unknown): string {
  // JSON has no NaN and no infinities.
  return shortened(typeof value === "number" ? String(value) : (JSON.stringify(value) ?? typeof value));
}

function shortened(text: string): string {
  return text.length > mostLetters ? `${text.slice(0, mostLetters - 3)}…` : text;
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, part) =>
      typeof value === "object" && value !== null && Object.hasOwn(value, part)
        ? (value as Record<PropertyKey, unknown>)[part]
        : undefined,
    input,
  );
}

function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault ? unwrap(schema.unwrap()) : schema;
}

/** Returns the schema of the value at `path`; in a union, follows the branch that the input's discriminator names. */
function schemaAt(schema: z.core.$ZodType, path: readonly PropertyKey[], input: unknown): z.core.$ZodType {
  const bare = unwrap(schema);
  if (path.length === 0) return bare;
  const [part, ...rest] = path;
  const branch = chosenBranch(bare, input);
  const inner = valueAt(input, [part]);
  if (branch instanceof z.ZodObject && Object.hasOwn(branch.shape, part)) {
    return schemaAt(branch.shape[String(part)], rest, inner);
  }
  if (branch instanceof z.ZodArray) return schemaAt(branch.element, rest, inner);
  return z.unknown();
}

function chosenBranch(schema: z.core.$ZodType, input: unknown): z.core.$ZodType {
  if (!(schema instanceof z.ZodDiscriminatedUnion)) return schema;
  const { discriminator } = schema.def;
  const value = valueAt(input, [discriminator]);
  if (typeof value !== "string") return schema;
  return schema.options.find((option) => discriminatorValues(option, discriminator).includes(value)) ?? schema;
}

function discriminatorValues(schema: z.core.$ZodType, discriminator: string): string[] {
  if (schema instanceof z.ZodDiscriminatedUnion) {
    return schema.options.flatMap((option) => discriminatorValues(option, discriminator));
  }
  const field = schema instanceof z.ZodObject ? schema.shape[discriminator] : undefined;
  return field instanceof z.ZodLiteral ? Array.from(field.values, String) : [];
}

function knownKeys(schema: z.core.$ZodType, input: unknown): string[] {
  const branch = chosenBranch(schema, input);
  return branch instanceof z.ZodObject ? Object.keys(branch.shape) : [];
}
