import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { colorProperties } from "./color-properties.ts";

/** What every page includes: its script and its styles, as `npm run build` wrote them to `build/`. */
export interface PageAssets {
  readonly script: string;
  readonly styles: string;
}

let assets: PageAssets | null = null;

/** Reads the assets once. Throws `Error` if they are missing. */
export function pageAssets(): PageAssets {
  assets ??= { script: readBuilt("report-page.js"), styles: `${colorProperties()}\n${readBuilt("report-page.css")}` };
  return assets;
}

/**
 * Content security policy of a page: it loads nothing from anywhere, and runs only `script`, whatever its text
 * contains. Style attributes are allowed, because ECharts' tooltips use them.
 */
export function contentSecurityPolicy(script: string): string {
  const hash = createHash("sha256").update(script).digest("base64");
  return `default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'`;
}

function readBuilt(name: string): string {
  const file = fileURLToPath(new URL(`../../build/${name}`, import.meta.url));
  try {
    return readFileSync(file, "utf8");
  } catch {
    throw new Error(`${file} is missing; npm run build makes it`);
  }
}
