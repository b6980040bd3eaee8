import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";

/** Where Debian and others put it; CHROMIUM names another. */
const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** The browser's program, or undefined where there is none. Throws `Error` where `BROWSER_TESTS=required` and there is none. */
export function findChromium(): string | undefined {
  const found = [process.env.CHROMIUM ?? "", ...places].find((place) => place !== "" && existsSync(place));
  if (found === undefined && process.env.BROWSER_TESTS === "required") {
    throw new Error("no Chromium was found; apt-get install chromium, or name it in CHROMIUM");
  }
  return found;
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
