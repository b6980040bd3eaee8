import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import module, { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { InputError } from "../core/input-error.ts";
import { addPlugin, type PluginContents } from "../core/scenario/plugins.ts";
import { escapeUnprintable } from "../core/words.ts";
import { readSmallFile } from "./files/input-file.ts";

/** A plugin's file. Plain data. */
export interface PluginFile {
  /** As the command line has it. */
  readonly path: string;
  /** Of the file, without those that it imports: SHA-256 as hexadecimal digits. */
  readonly sha256: string;
}

/** A plugin as run.json records it. */
export interface PluginRecord extends PluginContents {
  /** Name of the file, without its folder. */
  readonly file: string;
  readonly sha256: string;
}

interface LoadedPlugin extends PluginFile {
  readonly contents: PluginContents;
}

/** Code that somebody wrote is far shorter. */
const maxPluginBytes = 1 << 23;

/** The plugins of this thread, by the real paths of their files. */
const loaded = new Map<string, LoadedPlugin>();

/** The plugins of this thread, for other threads to load. */
export function pluginFiles(): PluginFile[] {
  return Array.from(loaded.values(), ({ path: file, sha256 }) => ({ path: file, sha256 }));
}

/** The plugins of this thread, for run.json. */
export function pluginRecords(): PluginRecord[] {
  return Array.from(loaded.values(), ({ path: file, sha256, contents }) => ({
    file: path.basename(file),
    sha256,
    ...contents,
  }));
}

/**
 * Loads a plugin's module into this thread, where it stays; a second time, it does nothing. Only what the command line names
 * is ever loaded, since this runs the file. Throws `InputError` if the file is missing, if it throws, if it is
 * no plugin, or if it is not the one with the digest `sha256`.
 *
 * @param sha256 of the file as another thread loaded it; absent if this is the first
 */
export async function loadPlugin(file: string, sha256?: string): Promise<void> {
  const name = escapeUnprintable(file);
  const digest = digestOf(file);
  const realPath = realpathSync(file);
  const known = loaded.get(realPath);
  if ((sha256 ?? known?.sha256 ?? digest) !== digest) {
    throw new InputError(`${name}: it was changed while it was used; leave it alone and run again`);
  }
  if (known !== undefined) return;
  provideEntry();
  let plugin: { readonly default?: unknown };
  try {
    plugin = await import(pathToFileURL(realPath).href);
  } catch (cause) {
    throw new InputError(`${name}: cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  loaded.set(realPath, { path: file, sha256: digest, contents: addPlugin(plugin.default, name) });
}

function digestOf(file: string): string {
  try {
    return createHash("sha256").update(readSmallFile(file, maxPluginBytes)).digest("hex");
  } catch (error) {
    if (error instanceof InputError) throw error.within("--plugin ");
    throw error;
  }
}

/** Hooks of Node 22.15 and later, which its types for Node 20 lack. */
interface SynchronousHooks {
  registerHooks?(hooks: {
    resolve(specifier: string, context: unknown, next: (specifier: string, context: unknown) => unknown): unknown;
  }): void;
}

const entryName = "moesim/plugin";
let isProvided = false;

/** Makes `moesim/plugin` this program's own wherever a plugin lies, be it in a folder without node_modules. */
function provideEntry(): void {
  if (isProvided) return;
  isProvided = true;
  const url = pathToFileURL(createRequire(import.meta.url).resolve(entryName)).href;
  const { registerHooks } = module as SynchronousHooks;
  if (registerHooks !== undefined) {
    registerHooks({
      resolve: (specifier, context, next) =>
        specifier === entryName ? { url, shortCircuit: true } : next(specifier, context),
    });
    return;
  }
  const hook = `export async function resolve(specifier, context, next) {
    return specifier === ${JSON.stringify(entryName)}
      ? { url: ${JSON.stringify(url)}, shortCircuit: true }
      : next(specifier, context);
  }`;
  module.register(`data:text/javascript,${encodeURIComponent(hook)}`);
}
