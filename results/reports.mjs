// Makes the reports on record, and the README's picture of the Pareto front: runs each scenario into a temporary folder,
// and keeps its page.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const program = path.join(here, "../dist/cli/main.js");
const moesim = (...words) => execFileSync(process.execPath, [program, ...words], { stdio: "inherit" });

const folder = mkdtempSync(path.join(tmpdir(), "moesim-results-"));
try {
  mkdirSync(path.join(here, "reports"), { recursive: true });
  for (const scenario of ["collapse", "deepseek-v3", "trace"]) {
    const results = path.join(folder, scenario);
    moesim("run", path.join(here, `../scenarios/${scenario}.yaml`), "--out", results, "--quiet");
    moesim("report", results, "--out", path.join(here, `reports/${scenario}.html`), "--quiet");
  }
  moesim("report", path.join(folder, "trace"), "--svg", path.join(folder, "svg"), "--quiet");
  copyFileSync(path.join(folder, "svg/pareto.svg"), path.join(here, "pareto.svg"));
} finally {
  rmSync(folder, { recursive: true });
}
