// Opens a view of explore in Firefox by WebDriver BiDi and prints the summary.csv that the page saves:
// node --experimental-websocket firefox.mjs FIREFOX ADDRESS STEPS. A process of its own, since Node 20 has WebSocket only with
// that option.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const [program, address, steps] = process.argv.slice(2);
const profile = mkdtempSync(path.join(tmpdir(), "moesim-firefox-"));
const firefox = spawn(program, ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0"], {
  stdio: ["ignore", "ignore", "pipe"],
});
try {
  const place = await new Promise((resolve, reject) => {
    let said = "";
    firefox.stderr.setEncoding("utf8").on("data", (text) => {
      said += text;
      const found = /WebDriver BiDi listening on (ws:\/\/\S+)/.exec(said);
      if (found !== null) resolve(found[1]);
    });
    firefox.on("error", reject);
    firefox.on("exit", (code) => reject(new Error(`Firefox ended with ${code}: ${said.slice(-1000)}`)));
  });
  const socket = new WebSocket(`${place}/session`);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error(`no connection to ${place}`));
  });
  const waiting = new Map();
  socket.onmessage = ({ data }) => {
    const { id, type, result, error, message } = JSON.parse(data);
    const answer = waiting.get(id);
    if (type === "success") answer?.resolve(result);
    else if (type === "error") answer?.reject(new Error(`${error}: ${message}`));
  };
  let last = 0;
  const send = (method, params) =>
    new Promise((resolve, reject) => {
      last += 1;
      waiting.set(last, { resolve, reject });
      socket.send(JSON.stringify({ id: last, method, params }));
    });

  await send("session.new", { capabilities: {} });
  const { contexts } = await send("browsingContext.getTree", {});
  const { context } = contexts[0];
  await send("browsingContext.navigate", { context, url: address, wait: "complete" });
  const expression = `new Promise((resolve, reject) => {
    const problems = [];
    addEventListener("securitypolicyviolation", ({ violatedDirective }) => problems.push(violatedDirective));
    const create = URL.createObjectURL;
    URL.createObjectURL = (blob) => {
      // The worker's script is a blob as well.
      if (blob.type === "text/plain") blob.text().then((text) => resolve(JSON.stringify({ text, problems })));
      return create.call(URL, blob);
    };
    const look = () => {
      const problem = document.querySelector(".problem");
      if (problem !== null) reject(new Error(problem.textContent));
      else if (document.querySelector("output")?.textContent !== "${Number(steps) - 1}") setTimeout(look, 50);
      else Array.from(document.querySelectorAll("button")).find(({ textContent }) => textContent === "summary.csv").click();
    };
    look();
  })`;
  const { type, result, exceptionDetails } = await send("script.evaluate", {
    expression,
    target: { context },
    awaitPromise: true,
  });
  if (type !== "success") throw new Error(exceptionDetails.text);
  process.stdout.write(result.value);
} finally {
  firefox.removeAllListeners("exit");
  const isEnded =
    firefox.exitCode !== null ? Promise.resolve() : new Promise((resolve) => firefox.once("exit", resolve));
  firefox.kill();
  await isEnded;
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
}
process.exit(0);
