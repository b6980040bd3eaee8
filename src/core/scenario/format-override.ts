import { parse } from "yaml";
import { escapeUnprintable } from "../escape-unprintable.ts";
import { parsePath } from "./overrides.ts";
import type { Scenario } from "./scenario.ts";

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
