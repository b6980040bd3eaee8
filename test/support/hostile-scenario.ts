import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { listFiles, moesim, temporaryFolder } from "./program.ts";

/** Text that would run, load or end something where it is not escaped. A scenario's name alone may hold no slashes. */
export const hostile = {
  name: `"><img src=x onerror='window.hacked=1'>&amp;`,
  description: `</script><script>window.hacked=1</script><style>*{display:none}</style>\u2028<!-- <script>`,
  labels: [
    `<script>window.hacked=1</script>`,
    `"><img src=x onerror="window.hacked=1">`,
    `</script></td><td>`,
    "{a|b} {b}",
    "@text",
    "=HYPERLINK(1)",
    "{@text}%s",
    "\u202Ebackwards",
    "W".repeat(200),
  ],
};

const guard = "guard";

/** Runs a scenario whose every text is hostile; returns the folder of its results. */
export function runHostileScenario(): string {
  const folder = temporaryFolder();
  const file = path.join(folder, "hostile.json");
  const scenario = {
    name: hostile.name,
    description: hostile.description,
    steps: 6,
    tokens: 32,
    experts: 8,
    stream: { kind: "clusters" },
    routers: hostile.labels.map((label, i) => ({ kind: i % 2 === 0 ? "topk" : "alf-lb", label })),
  };
  // Names that begin as a formula are refused, but results of other programs may hold them.
  writeFileSync(file, JSON.stringify(scenario).replaceAll(/"(?=[=@])/g, `"${guard}`));
  const out = path.join(folder, "results");
  const { code, stderr } = moesim(["run", file, "--quiet", "--out", out]);
  if (code !== 0) throw new Error(stderr);
  for (const name of listFiles(out)) {
    const written = path.join(out, name);
    writeFileSync(written, readFileSync(written, "utf8").replaceAll(guard, ""));
  }
  return out;
}
