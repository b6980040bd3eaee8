import { z } from "zod";

/** A kind of router or token stream, as `moesim list` shows it. */
export interface KindDescription<Kind extends string = string> {
  /** Name in a scenario. */
  readonly kind: Kind;
  /** One line. */
  readonly summary: string;
  /** Paper and equation. */
  readonly source: string;
  /** JSON Schema of its options, each with type, default and meaning. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** Returns a registry entry as plain data. */
export function describeKind(kind: {
  readonly kind: string;
  readonly summary: string;
  readonly source: string;
  readonly options: z.ZodObject;
}): KindDescription {
  const { kind: name, summary, source, options } = kind;
  return { kind: name, summary, source, options: { ...z.toJSONSchema(options, { io: "input" }) } };
}
