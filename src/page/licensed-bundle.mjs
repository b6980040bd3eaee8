import { existsSync, readFileSync } from "node:fs";
import { build } from "esbuild";

/** Builds with `options` and puts the licences of the packages inside above the code, and then `start`. */
export async function bundle(options, start = "") {
  const { metafile } = await build({ ...options, metafile: true, write: false });
  const packages = new Set(
    Object.keys(metafile.inputs).flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? []),
  );
  const licences = new Map();
  for (const folder of packages) {
    const name = folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length);
    const files = ["NOTICE", "LICENSE", "LICENSE.txt", "LICENSE.md"].filter((file) => existsSync(`${folder}/${file}`));
    for (const file of files) licences.set(`${name}: ${file}`, readFileSync(`${folder}/${file}`, "utf8"));
    if (files.length > 0) continue;
    const { license, author, homepage } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
    const lines = [license, author?.name ?? author, homepage].filter((line) => line !== undefined);
    licences.set(`${name}: package.json`, lines.join("\n"));
  }
  // A page's script is hashed as browsers read it, whose lines end in line feeds. No licence may end the comment.
  const comments = Array.from(
    licences,
    ([title, text]) => `/*! ${title}\n\n${text.trim().replaceAll("*/", "* /")}\n*/`,
  );
  const banner = [...comments, ...(start === "" ? [] : [start])].join("\n").replaceAll("\r\n", "\n");
  await build({ ...options, banner: { js: banner } });
}
