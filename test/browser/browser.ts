import { existsSync } from "node:fs";

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
