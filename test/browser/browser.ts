import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";

/** Where Debian and others put them. */
const places = {
  Chromium: ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"],
  Firefox: ["/usr/bin/firefox-esr", "/usr/bin/firefox"],
} as const;

/**
 * Returns the program of a browser, or undefined if there is none. CHROMIUM and FIREFOX name others. Throws `Error` if
 * `BROWSER_TESTS=required` and there is none.
 */
function findBrowser(name: keyof typeof places): string | undefined {
  const variable = name.toUpperCase();
  const found = [process.env[variable] ?? "", ...places[name]].find((place) => place !== "" && existsSync(place));
  if (found === undefined && process.env.BROWSER_TESTS === "required") {
    throw new Error(`no ${name} was found; install it, or name it in ${variable}`);
  }
  return found;
}

export function findChromium(): string | undefined {
  return findBrowser("Chromium");
}

export function findFirefox(): string | undefined {
  return findBrowser("Firefox");
}

let axeSource: string | undefined;

/** The faults that axe finds in `page` as it is now. */
export async function faultsOf(page: Page): Promise<unknown> {
  axeSource ??= readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  // The page's own policy lets no other script in, which is as it should be; the debugger's way is not bound by it.
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: axeSource });
  const { result } = await session.send("Runtime.evaluate", {
    expression:
      "axe.run().then(({ violations }) => JSON.stringify(violations.map(({ id, nodes }) => [id, nodes[0].html])))",
    awaitPromise: true,
  });
  return JSON.parse(result.value as string);
}
