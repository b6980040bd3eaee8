// Bundles the script and the styles of pages into build/report-page.js and .css. The licences of the packages inside are
// kept, since a page is passed on without them.
import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { build } from "esbuild";

const options = { bundle: true, minify: true, target: "es2022", logLevel: "warning" };
const page = {
  ...options,
  entryPoints: ["src/report/html/client/main.ts"],
  format: "iife",
  define: { "process.env.NODE_ENV": '"production"' },
  outfile: "build/report-page.js",
};

const { metafile } = await build({ ...page, metafile: true, write: false });
const packages = new Set(Object.keys(metafile.inputs).flatMap((file) => /^.*node_modules\/[^/]+/.exec(file) ?? []));
const licences = new Map();
for (const folder of packages) {
  for (const file of ["NOTICE", "LICENSE", "LICENSE.txt"]) {
    if (existsSync(`${folder}/${file}`))
      licences.set(`${basename(folder)}: ${file}`, readFileSync(`${folder}/${file}`, "utf8"));
  }
}
// A page's script is hashed as browsers read it, whose lines end in line feeds.
const banner = Array.from(licences, ([title, text]) => `/*! ${title}\n\n${text.trim()}\n*/`)
  .join("\n")
  .replaceAll("\r\n", "\n");

await build({ ...page, banner: { js: banner } });
await build({ ...options, entryPoints: ["src/report/html/page.css"], outfile: "build/report-page.css" });
