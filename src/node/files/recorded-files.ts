import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import { openRecording, type Recording, type RecordingOptions } from "../../core/formats/recording.ts";
import { InputError } from "../../core/input-error.ts";
import { escapeUnprintable } from "../../core/words.ts";
import { copiesOf, type FileSource, findInputFile, openInputFile } from "./input-file.ts";

/** Maximum files of one recording: each stays open while it is read. */
const maxFiles = 4096;

const byNumber = new Intl.Collator("en", { numeric: true });

/**
 * Returns the files that paths name: each a file, a folder, whose files are meant, or a pattern with `*`, `?` or `[…]`. Files
 * of a folder or pattern come in the order of the numbers in their names. Throws `InputError` if one names no file.
 *
 * @param folder where relative paths start, or else at the working directory; without it, only there
 */
export async function findRecordedFiles(paths: readonly string[], folder?: string): Promise<string[]> {
  const found: string[] = [];
  for (const each of paths) {
    const copied = copiesOf(each);
    if (copied !== undefined) {
      found.push(...copied);
      continue;
    }
    const places = [...new Set([...(folder === undefined ? [] : [path.resolve(folder, each)]), each])];
    const exists = places.some((place) => statSync(place, { throwIfNoEntry: false }) !== undefined);
    if (!exists && isPattern(each)) {
      found.push(...(await filesLike(each, folder)));
      continue;
    }
    const place = folder === undefined ? each : await findInputFile(each, folder);
    // A missing file is reported when it is opened.
    if (statSync(place, { throwIfNoEntry: false })?.isDirectory()) found.push(...filesIn(place));
    else found.push(place);
  }
  const files = [...new Set(found)];
  if (files.length > maxFiles) throw new InputError(`${files.length} files; one recording has at most ${maxFiles}`);
  return files;
}

/** Whether a path can be a pattern for the names of several files. */
export function isPattern(path: string): boolean {
  return /[*?[]/.test(path);
}

function filesIn(folder: string): string[] {
  const files = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => !entry.isDirectory() && !entry.name.startsWith("."))
    .map(({ name }) => path.join(folder, name))
    .sort(byNumber.compare);
  if (files.length > 0) return files;
  throw new InputError(
    `${escapeUnprintable(folder)}: there are no files in this folder; name files, or a folder with some`,
  );
}

async function filesLike(pattern: string, folder = "."): Promise<string[]> {
  const { glob } = await import("tinyglobby");
  for (const cwd of new Set([path.resolve(folder), path.resolve(".")])) {
    const options = { cwd, absolute: path.isAbsolute(pattern), expandDirectories: false };
    const files = await glob(pattern.split(path.sep).join("/"), options);
    if (files.length === 0) continue;
    return files.map((file) => (cwd === path.resolve(".") ? file : path.resolve(cwd, file))).sort(byNumber.compare);
  }
  throw new InputError(`${escapeUnprintable(pattern)}: no file has a name like this`);
}

/** Opens the files that {@link findRecordedFiles} finds. Throws `InputError` as that does, and if one cannot be read. */
export async function openFilesOf(paths: readonly string[], folder?: string): Promise<FileSource[]> {
  const sources: FileSource[] = [];
  try {
    for (const file of await findRecordedFiles(paths, folder)) sources.push(await openInputFile(file));
    return sources;
  } catch (error) {
    await Promise.all(sources.map((source) => source.close()));
    throw error;
  }
}

/** Opens the recording in `paths`. Throws `InputError` as {@link openFilesOf} and {@link openRecording} do. */
export async function openRecordedFiles(paths: readonly string[], options: RecordingOptions): Promise<Recording> {
  return openRecording(await openFilesOf(paths), options);
}
