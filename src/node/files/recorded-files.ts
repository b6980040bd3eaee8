import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import { openRecording, type Recording, type RecordingOptions } from "../../core/formats/recording.ts";
import { InputError } from "../../core/input-error.ts";
import { escapeUnprintable } from "../../core/words.ts";
import { openInputFile } from "./input-file.ts";

/** Maximum files of one recording: each stays open while it is read. */
const maxFiles = 4096;

const byNumber = new Intl.Collator("en", { numeric: true });

/**
 * Returns the files that paths name: each a file, a folder, whose files are meant, or a pattern with `*`, `?` or `[…]`. Files
 * of a folder or pattern come in the order of the numbers in their names. Throws `InputError` if one names no file.
 */
export async function findRecordedFiles(paths: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const each of paths) {
    const stat = statSync(each, { throwIfNoEntry: false });
    if (stat?.isDirectory()) found.push(...filesIn(each));
    else if (stat === undefined && /[*?[]/.test(each)) found.push(...(await filesLike(each)));
    // A missing file is reported when it is opened.
    else found.push(each);
  }
  const files = [...new Set(found)];
  if (files.length > maxFiles) throw new InputError(`${files.length} files; one recording has at most ${maxFiles}`);
  return files;
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

async function filesLike(pattern: string): Promise<string[]> {
  const { glob } = await import("tinyglobby");
  const files = await glob(pattern.split(path.sep).join("/"), {
    absolute: path.isAbsolute(pattern),
    expandDirectories: false,
  });
  if (files.length === 0) throw new InputError(`${escapeUnprintable(pattern)}: no file has a name like this`);
  return files.sort(byNumber.compare);
}

/** Opens the recording in `paths`. Throws `InputError` as {@link findRecordedFiles} and {@link openRecording} do. */
export async function openRecordedFiles(files: readonly string[], options: RecordingOptions): Promise<Recording> {
  const sources: Awaited<ReturnType<typeof openInputFile>>[] = [];
  try {
    for (const file of files) sources.push(await openInputFile(file));
  } catch (error) {
    await Promise.all(sources.map((source) => source.close()));
    throw error;
  }
  return openRecording(sources, options);
}
