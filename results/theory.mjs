// Makes results/theory/: what the theory of auxiliary-loss-free balancing claims, measured on the scenarios theory-*.yaml.
// Uses the built program, so `npm run build` comes first. Takes half a minute.
import { readFileSync, writeFileSync } from "node:fs";
import { balance } from "./theory/balance.mjs";
import { descent } from "./theory/descent.mjs";
import { preference } from "./theory/preference.mjs";
import { regret } from "./theory/regret.mjs";

const sections = {
  descent: await descent(),
  preference: await preference(),
  balance: await balance(),
  ...(await regret()),
};
const readme = new URL("theory/README.md", import.meta.url);
let text = readFileSync(readme, "utf8");
for (const [name, content] of Object.entries(sections)) {
  const between = new RegExp(`(<!-- ${name}:begin -->\\n)[^]*(<!-- ${name}:end -->)`);
  text = text.replace(between, (_, begin, end) => `${begin}${content}\n${end}`);
}
writeFileSync(readme, text);
