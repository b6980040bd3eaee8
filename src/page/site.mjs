// Bundles into build/site what `moesim explore` shows, as static files that work from any folder of any server: the page, its
// script, the worker in which the simulator runs, and its kernels. Needs build/kernels.wasm.
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { bundle } from "./licensed-bundle.mjs";

const site = "build/site";
const shared = {
  bundle: true,
  minify: true,
  target: "es2022",
  format: "iife",
  logLevel: "warning",
  define: { "process.env.NODE_ENV": '"production"' },
};

rmSync(site, { recursive: true, force: true });
mkdirSync(site, { recursive: true });
const { outputFiles } = await build({
  stdin: {
    contents: `export { colorProperties } from "./color-properties.ts"; export { sitePolicy } from "./explore/policy.ts"; export { version } from "../core/version.ts";`,
    resolveDir: "src/page",
    loader: "ts",
  },
  bundle: true,
  format: "esm",
  write: false,
  logLevel: "warning",
});
const { colorProperties, sitePolicy, version } = await import(
  `data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`
);

await bundle({
  ...shared,
  entryPoints: ["src/page/explore/explore.tsx"],
  jsx: "automatic",
  jsxImportSource: "preact",
  outfile: `${site}/explore.js`,
});
await bundle({
  ...shared,
  entryPoints: ["src/page/explore/worker.ts"],
  outfile: `${site}/explore-worker.js`,
  plugins: [
    {
      // zod exports its messages in fifty languages, of which moesim speaks one; that one it imports by itself.
      name: "one-language",
      setup({ onLoad }) {
        onLoad({ filter: /zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({ contents: "export {};" }));
      },
    },
  ],
});
const { outputFiles: styles } = await build({
  ...shared,
  format: undefined,
  entryPoints: ["src/page/explore/explore.css"],
  write: false,
});
writeFileSync(`${site}/explore.css`, `${colorProperties()}\n${styles[0].text}`);
copyFileSync("build/kernels.wasm", `${site}/kernels.wasm`);
writeFileSync(
  `${site}/index.html`,
  readFileSync("src/page/explore/index.html", "utf8").replace("{policy}", sitePolicy).replaceAll("{version}", version),
);
