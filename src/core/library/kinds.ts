import { z } from "zod";

/** A kind of router or token stream, as `moesim list` knows it. */
export interface KindDescription<Kind extends string = string> {
  /** Its name in a scenario. */
  readonly kind: Kind;
  /** One line. */
  readonly summary: string;
  /** Paper and equation. */
  readonly source: string;
  /** JSON Schema of what it takes: each option with its type, default and meaning. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** What a registry says of a kind, as plain data. */
export function describeKind(kind: {
  readonly kind: string;
  readonly summary: string;
  readonly source: string;
  readonly options: z.ZodObject;
}): KindDescription {
  const { kind: name, summary, source, options } = kind;
  return { kind: name, summary, source, options: { ...z.toJSONSchema(options, { io: "input" }) } };
}
