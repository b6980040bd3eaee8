import { parse } from "yaml";
import { escapeUnprintable } from "../escape-unprintable.ts";
import { parsePath } from "./overrides.ts";
import type { Scenario } from "./scenario.ts";

/** Text that YAML takes for itself when it does not look like a number or the like. */
const plainText = /^[\w./-]+$/;

/**
 * `path=value` as `--set` takes it, which `parseOverride` reads back to the same value, on one line. `path` is one that
 * `scenario` was made with; a router whose name cannot stand in front of `=` is named by its number.
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
  // JSON is YAML, and both know the escapes of what a terminal would not print.
  return escapeUnprintable(JSON.stringify(value));
}
