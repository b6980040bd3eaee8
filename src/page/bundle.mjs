// Bundles into build/ what pages and pictures are made with, so that an installation needs neither ECharts nor pdfkit:
// report-page.js and .css, which travel with every page; charts.js, which draws SVG without a browser; pdf.js, which turns
// SVG into PDF; and the fonts. The licences of the packages inside are kept.
import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { build } from "esbuild";

const shared = { bundle: true, minify: true, target: "es2022", logLevel: "warning" };
const defined = { define: { "process.env.NODE_ENV": '"production"' } };
const forNode = { ...shared, ...defined, platform: "node", format: "esm" };

await bundle({
  ...shared,
  ...defined,
  entryPoints: ["src/page/client/main.ts"],
  format: "iife",
  outfile: "build/report-page.js",
});
await build({ ...shared, entryPoints: ["src/page/page.css"], outfile: "build/report-page.css" });
await bundle({
  ...forNode,
  entryPoints: ["src/page/client/echarts-parts.ts"],
  outfile: "build/charts.js",
});
await bundle(
  {
    ...forNode,
    stdin: {
      contents: `export { default as PDFDocument } from "pdfkit"; export { default as drawSvg } from "svg-to-pdfkit";`,
      resolveDir: ".",
    },
    outfile: "build/pdf.js",
  },
  // Some of the packages inside are CommonJS, and ask for Node's own modules by a function that a module lacks.
  `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);`,
);

const fonts = "node_modules/dejavu-fonts-ttf";
mkdirSync("build/fonts", { recursive: true });
for (const file of ["ttf/DejaVuSans.ttf", "ttf/DejaVuSans-Bold.ttf", "LICENSE"]) {
  copyFileSync(`${fonts}/${file}`, `build/fonts/${file.replace("ttf/", "")}`);
}

/** Builds with `options` and puts the licences of the packages inside above the code, and then `start`. */
async function bundle(options, start = "") {
  const { metafile } = await build({ ...options, metafile: true, write: false });
  const packages = new Set(
    Object.keys(metafile.inputs).flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? []),
  );
  const licences = new Map();
  for (const folder of packages) {
    const name = folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length);
    const files = ["NOTICE", "LICENSE", "LICENSE.txt", "LICENSE.md"].filter((file) => existsSync(`${folder}/${file}`));
    for (const file of files) licences.set(`${name}: ${file}`, readFileSync(`${folder}/${file}`, "utf8"));
    if (files.length > 0) continue;
    const { license, author, homepage } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
    const lines = [license, author?.name ?? author, homepage].filter((line) => line !== undefined);
    licences.set(`${name}: package.json`, lines.join("\n"));
  }
  // A page's script is hashed as browsers read it, whose lines end in line feeds. No licence may end the comment.
  const comments = Array.from(
    licences,
    ([title, text]) => `/*! ${title}\n\n${text.trim().replaceAll("*/", "* /")}\n*/`,
  );
  const banner = [...comments, ...(start === "" ? [] : [start])].join("\n").replaceAll("\r\n", "\n");
  await build({ ...options, banner: { js: banner } });
}
