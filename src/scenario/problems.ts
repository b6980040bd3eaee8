import { z } from "zod";
import { suggestion } from "../core/suggestion.ts";

/** A path as people write it: `routers[1].select.mode`. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === "number" ? `${text}[${part}]` : text === "" ? String(part) : `${text}.${String(part)}`,
    "",
  );
}

/** One line for each thing that is wrong with `input`, which `schema` refused: the path, the problem, what is allowed. */
export function describeIssues(error: Pick<z.ZodError, "issues">, schema: z.core.$ZodType, input: unknown): string[] {
  return error.issues.flatMap((issue) => describeIssue(issue, schema, input));
}

function describeIssue(issue: z.core.$ZodIssue, schema: z.core.$ZodType, input: unknown): string[] {
  const where = issue.path.length === 0 ? "" : `${formatPath(issue.path)}: `;
  const given = valueAt(input, issue.path);
  if (issue.code === "unrecognized_keys") {
    const known = knownKeys(schemaAt(schema, issue.path, input), given);
    return issue.keys.map(
      (key) =>
        `${formatPath([...issue.path, key])}: unknown key.${suggestion(key, known)} Allowed here: ${known.join(", ")}.`,
    );
  }
  if (issue.code === "invalid_union" && issue.discriminator !== undefined) {
    // The issue's path ends with the discriminator, the schema one step above knows its values.
    const known = discriminatorValues(schemaAt(schema, issue.path.slice(0, -1), input), issue.discriminator);
    if (given === undefined) return [`${where}missing. Allowed: ${known.join(", ")}.`];
    return [
      `${where}unknown ${issue.discriminator} ${show(given)}.${suggestion(String(given), known)} Allowed: ${known.join(", ")}.`,
    ];
  }
  if (issue.code === "invalid_value") {
    if (given === undefined) return [`${where}missing. Allowed: ${issue.values.map(String).join(", ")}.`];
    return [
      `${where}${show(given)} is not allowed.${suggestion(String(given), issue.values.map(String))} Allowed: ${issue.values.map(String).join(", ")}.`,
    ];
  }
  if (issue.code === "invalid_type" && given === undefined) return [`${where}missing, ${issue.expected} expected.`];
  return [`${where}${show(given)} is not allowed: ${issue.message}.`];
}

function show(value: unknown): string {
  // NaN and the infinities have no JSON.
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, part) =>
      typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[part] : undefined,
    input,
  );
}

function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault ? unwrap(schema.unwrap()) : schema;
}

/** The schema of the value at `path`, following in unions the branch that the input's discriminator names. */
function schemaAt(schema: z.core.$ZodType, path: readonly PropertyKey[], input: unknown): z.core.$ZodType {
  const bare = unwrap(schema);
  if (path.length === 0) return bare;
  const [part, ...rest] = path;
  const branch = chosenBranch(bare, input);
  const inner = valueAt(input, [part]);
  if (branch instanceof z.ZodObject && String(part) in branch.shape) {
    return schemaAt(branch.shape[String(part)], rest, inner);
  }
  if (branch instanceof z.ZodArray) return schemaAt(branch.element, rest, inner);
  return z.unknown();
}

function chosenBranch(schema: z.core.$ZodType, input: unknown): z.core.$ZodType {
  if (!(schema instanceof z.ZodDiscriminatedUnion)) return schema;
  const { discriminator } = schema.def;
  const value = valueAt(input, [discriminator]);
  return schema.options.find((option) => discriminatorValues(option, discriminator).includes(String(value))) ?? schema;
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
