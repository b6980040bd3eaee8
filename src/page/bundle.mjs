// Bundles into build/ what pages and pictures are made with, so that an installation needs neither ECharts nor pdfkit:
// report-page.js and .css, which travel with every page; charts.js, which draws SVG without a browser; pdf.js, which turns
// SVG into PDF; and the fonts. The licences of the packages inside are kept.
import { copyFileSync, mkdirSync } from "node:fs";
import { build } from "esbuild";
import { bundle } from "./licensed-bundle.mjs";

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
