import { spawn } from "node:child_process";
import { statSync } from "node:fs";
import path from "node:path";
import type { CommandModule } from "yargs";
import { InputError } from "../../core/input-error.ts";
import { isRunRecord } from "../../core/results/results.ts";
import { findRouterKind } from "../../core/routers/index.ts";
import { resolveScenario } from "../../core/scenario/load.ts";
import { withModel } from "../../core/scenario/models.ts";
import { escapeUnprintable } from "../../core/words.ts";
import { type ServedFile, serveSite } from "../../node/explore-server.ts";
import { findInputFile, openInputFile } from "../../node/files/input-file.ts";
import { readScenarioFile } from "../../node/files/scenario-file.ts";
import { firstView } from "../../page/explore/tours.ts";
import { addressOf, mostLogits, type View, viewOfRecording, viewOfScenario } from "../../page/explore/view.ts";
import { type CommonArguments, optionGroups } from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { printJson, warn } from "../terminal.ts";

interface ExploreArguments extends CommonArguments {
  path?: string | undefined;
  port: number;
  open: boolean;
}

export const exploreCommand: CommandModule<CommonArguments, ExploreArguments> = {
  builder: (yargs) =>
    yargs
      .positional("path", {
        type: "string",
        describe: "Recorded logits, a scenario file, or a folder of results; default: a scenario to begin with",
      })
      .option("port", {
        type: "number",
        group: optionGroups.output,
        requiresArg: true,
        default: 0,
        defaultDescription: "a free one",
        describe: "Port of the page on 127.0.0.1",
      })
      .option("open", {
        type: "boolean",
        group: optionGroups.output,
        default: false,
        describe: "Open the page in the browser",
      })
      .example(
        examples({
          "Show the page; Ctrl-C ends it": "$0 explore --open",
          "Route a recording, and move the sliders": "$0 explore router_logits.npy",
          "Play with a scenario": "$0 explore scenarios/collapse.yaml",
        }),
      )
      .epilogue(epilogue()),
  handler: explore,
};

/** What the page begins with, and the files that it may read. */
interface Beginning {
  readonly view: View;
  readonly files: readonly ServedFile[];
}

async function explore(options: ExploreArguments): Promise<void> {
  const { port } = options;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new InputError(`--port: ${port} is not allowed; give an integer from 1 to 65535, or 0 for a free one`);
  }
  const { view, files } = options.path === undefined ? { view: firstView, files: [] } : await begin(options.path);
  const hash = options.path === undefined ? "" : `#${await addressOf(view)}`;
  const server = await serveSite(files, port);
  const url = `${server.url}${hash}`;
  if (options.json) printJson({ url });
  else process.stdout.write(options.quiet ? `${url}\n` : `The simulator is at\n\n${url}\n\nCtrl-C ends it.\n`);
  if (options.open) openInBrowser(url);
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
  await server.close();
}

/** Returns what to show of `given`: a folder of results, a scenario or a recording. Throws `InputError`. */
async function begin(given: string): Promise<Beginning> {
  const file = isFolder(given) ? path.join(given, "run.json") : given;
  if (file !== given && !isFile(file)) {
    throw new InputError(
      `${escapeUnprintable(given)}: the folder has no run.json; name a folder of results, a scenario or a recorded file`,
    );
  }
  await (await openInputFile(file)).close();
  if (/\.(ya?ml|json)$/i.test(file)) {
    const { written, origin } = await readScenarioFile(file);
    const isScenario =
      isRunRecord(written) || ["stream", "routers", "model"].some((field) => Object.hasOwn(Object(written), field));
    // Captures of some systems are JSON as well.
    if (isScenario || !/\.json$/i.test(file)) return beginScenario(written, file, path.dirname(origin));
  }
  const name = path.basename(file);
  const view = viewOfRecording(firstView.scenario, name);
  const scenario = { ...view.scenario, stream: { ...view.scenario.stream, path: path.resolve(file) } };
  await check(scenario, file, ".");
  return { view, files: [{ name, path: file }] };
}

async function beginScenario(written: unknown, file: string, folder: string): Promise<Beginning> {
  await check(written, file, folder);
  const { view, notice } = viewOfScenario(withModel(written), path.basename(file));
  if (view === null) throw new InputError(notice!);
  if (notice !== null) warn(notice);
  return { view, files: await filesOf(view, folder) };
}

/** Throws `InputError` if the page could not simulate the scenario. */
async function check(written: unknown, file: string, folder: string): Promise<void> {
  const { tokens, experts } = await resolveScenario(written, file, folder);
  if (tokens * experts > mostLogits) {
    throw new InputError(
      `${escapeUnprintable(file)}: ${tokens} tokens × ${experts} experts are too many for a page; set tokens, or use moesim run`,
    );
  }
}

/** Returns the files that the scenario names, by those names. */
async function filesOf({ scenario: { stream, routers } }: View, folder: string): Promise<ServedFile[]> {
  const named = [
    stream.path,
    stream.paddingMask,
    ...routers.flatMap((router) => (findRouterKind(router.kind)?.vectors ?? []).map((option) => router[option])),
  ];
  const names = new Set(named.filter((name) => typeof name === "string"));
  return Promise.all(Array.from(names, async (name) => ({ name, path: await findInputFile(name, folder) })));
}

function isFolder(given: string): boolean {
  return statSync(given, { throwIfNoEntry: false })?.isDirectory() === true;
}

function isFile(given: string): boolean {
  return statSync(given, { throwIfNoEntry: false })?.isFile() === true;
}

/** Opens `url` as the system opens addresses; that it cannot is no reason to stop. */
function openInBrowser(url: string): void {
  const [program, ...words] =
    process.platform === "darwin"
      ? ["open", url]
      : process.platform === "win32"
        ? ["rundll32", "url.dll,FileProtocolHandler", url]
        : ["xdg-open", url];
  const opened = spawn(program, words, { stdio: "ignore", detached: true });
  opened.on("error", () => warn(`--open: ${program} does not start; open the address yourself`));
  opened.unref();
}
