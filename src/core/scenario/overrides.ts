import { parse } from "yaml";
import { InputError } from "../input-error.ts";
import { suggestion } from "../suggestion.ts";
import { escapeUnprintable, listedFirst } from "../words.ts";
import { withModel } from "./models.ts";
import { parsePlainData } from "./plain-data.ts";
import type { Scenario } from "./scenario.ts";

/** One `path=value` from the command line. */
export interface Override {
  readonly path: readonly string[];
  readonly value: unknown;
}

/**
 * Reads `path=value`: a dotted path (`routers.0.updateRate`, `routers[0].updateRate` or, by the router's label or kind,
 * `routers.alf-lb.updateRate`) and a value in YAML (`0.1`, `true`, `[1, 2]`, `text`). Throws `InputError`.
 */
export function parseOverride(text: string): Override {
  const equals = text.indexOf("=");
  if (equals < 1) throw new InputError(`"${text}": expected path=value, for example tokens=4096`);
  const path = parsePath(text.slice(0, equals));
  return { path, value: parsePlainData(text.slice(equals + 1), `"${text}"`) };
}

/** Splits a dotted path into its parts. Throws `InputError` if a part is empty or would reach beyond plain data. */
export function parsePath(text: string): string[] {
  const parts = text.replace(/\[(\d+)\]/g, ".$1").split(".");
  for (const part of parts) {
    if (part === "" || part === "__proto__") throw new InputError(`${text}: "${part}" is not a field of a scenario`);
  }
  return parts;
}

/**
 * Returns `scenario` with all `overrides`, in their order; but `model` comes first, since the others change what it sets.
 * Throws like {@link withOverride}.
 */
export function withOverrides(scenario: unknown, overrides: readonly Override[]): unknown {
  const isModel = ({ path }: Override) => path.length === 1 && path[0] === "model";
  const ordered = [...overrides.filter(isModel), ...overrides.filter((override) => !isModel(override))];
  return ordered.reduce<unknown>(withOverride, scenario);
}

/**
 * Returns a copy of `scenario` (as read from its file) with `value` at `path`, creating missing objects on the way. In
 * a list, a part of the path is an index, or the label or kind of an entry. A path into the `routers` that only the
 * scenario's model sets leads into a copy of those. Throws `InputError` if the path leads through a single value.
 */
export function withOverride(scenario: unknown, { path, value }: Override): unknown {
  const copy = structuredClone(path.length > 1 && path[0] === "routers" ? withModel(scenario) : scenario);
  let parent = copy;
  for (const [depth, part] of path.entries()) {
    if (typeof parent !== "object" || parent === null) {
      const here = path.slice(0, depth).join(".");
      throw new InputError(
        `${path.join(".")}: ${here === "" ? "the scenario" : here} is a single value and has no fields to set`,
      );
    }
    const container = parent as Record<string, unknown>;
    const key = Array.isArray(parent) ? entryIndex(parent, part, path) : part;
    if (depth === path.length - 1) container[key] = value;
    else if (!Object.hasOwn(container, key)) container[key] = {};
    parent = container[key];
  }
  return copy;
}

function entryIndex(list: readonly unknown[], part: string, path: readonly string[]): string {
  if (/^\d+$/.test(part) && Number(part) < list.length) return part;
  const names = list.map((entry) => {
    const { label, kind } = (entry ?? {}) as { label?: unknown; kind?: unknown };
    return [label, kind].find((name) => typeof name === "string") ?? "";
  });
  const index = names.indexOf(part);
  if (index < 0) {
    throw new InputError(
      `${path.join(".")}: no entry "${part}".${suggestion(part, names)} Allowed: 0 to ${list.length - 1}, or one of ${listedFirst(names)}`,
    );
  }
  return String(index);
}

/** Text that YAML reads as a string, unless it looks like a number, a boolean or null. */
const plainText = /^[\w./-]+$/;

/**
 * Writes `path=value` on one line, as `--set` takes it; `parseOverride` reads it back to the same value. `path` is one
 * that `scenario` was made with. A router whose name cannot stand before `=` is given by its index.
 */
export function formatOverride(path: string, value: unknown, scenario: Scenario): string {
  const isPlain = !path.includes("=") && escapeUnprintable(path) === path;
  return `${isPlain ? path : numberedPath(path, scenario)}=${formatValue(value)}`;
}

function numberedPath(path: string, { routers }: Scenario): string {
  const [room, name, ...rest] = parsePath(path);
  const index = routers.findIndex((router) => router.name === name);
  return room === "routers" && index >= 0 ? [room, index, ...rest].join(".") : path;
}

function formatValue(value: unknown): string {
  if (typeof value === "string" && plainText.test(value) && parse(value) === value) return value;
  // JSON is YAML, and escapes what a terminal would not print.
  return escapeUnprintable(JSON.stringify(value));
}
