import { truncateSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { expect, test } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import { zipfTextKind } from "../../../src/core/streams/zipf-text.ts";
import { temporaryFolder } from "../../support/program.ts";
import { collectLogits, countRows, generate, openStream, standardErrors, testContext } from "./stream-context.ts";

const folder = temporaryFolder();

const experts = 8;

/** The sequence of rows, each named by a letter in the order of first appearance. */
function letters(batches: Float32Array[]): string {
  const names = [...countRows(batches, experts).keys()];
  let sequence = "";
  for (const logits of batches) {
    for (let row = 0; row < logits.length; row += experts) {
      sequence += String.fromCharCode(97 + names.indexOf(logits.subarray(row, row + experts).join()));
    }
  }
  return sequence;
}

/** Batches of a stream over a file with `content`. */
async function generateText(
  content: string | Uint8Array,
  options: Record<string, unknown>,
  shape: { steps: number; tokens: number },
): Promise<Float32Array[]> {
  writeFileSync(join(folder, "text.txt"), content);
  const context = testContext({ ...shape, experts }, 1, folder);
  return collectLogits(await openStream(zipfTextKind, { path: "text.txt", ...options }, context));
}

test("without a path ids follow the Zipf law, each with one row", async () => {
  const options = { vocabulary: 20, exponent: 1.2, noise: 0 };
  const counts = [
    ...countRows(await generate(zipfTextKind, options, { steps: 10, tokens: 4000, experts }), 8).values(),
  ];
  counts.sort((a, b) => b - a);
  expect(counts).toHaveLength(20);
  const powers = Array.from({ length: 20 }, (_, rank) => (rank + 1) ** -1.2);
  const total = powers.reduce((sum, power) => sum + power);
  for (const [rank, power] of powers.entries()) {
    const p = power / total;
    expect(Math.abs(counts[rank] - 40_000 * p)).toBeLessThan(standardErrors * Math.sqrt(40_000 * p * (1 - p)));
  }
});

test("rows have the scale and noise the deviation that the options name", async () => {
  const shape = { steps: 1, tokens: 4000, experts: 16 };
  const options = { vocabulary: 5000, exponent: 0, scale: 2 };
  const [fixed] = await generate(zipfTextKind, { ...options, noise: 0 }, shape);
  const [noisy] = await generate(zipfTextKind, { ...options, noise: 0.3 }, shape);
  const meanSquare = (values: Float32Array) => values.reduce((sum, value) => sum + value ** 2, 0) / values.length;
  // 4000 draws of 5000 ids meet about 2750 rows; ids met more than once raise the variance of the
  // mean square by Σ count² / Σ count = 1.8.
  expect(Math.abs(meanSquare(fixed) / 4 - 1)).toBeLessThan(standardErrors * Math.sqrt((2 * 1.8) / (4000 * 16)));
  const noise = noisy.map((logit, entry) => logit - fixed[entry]);
  expect(Math.abs(meanSquare(noise) / 0.09 - 1)).toBeLessThan(standardErrors * Math.sqrt(2 / (4000 * 16)));
});

test("a larger vocabulary leaves the rows of the first ids as they were", async () => {
  const options = { noise: 0, exponent: 0 };
  const few = countRows(await generate(zipfTextKind, { ...options, vocabulary: 3 }, { tokens: 100 }), experts);
  const many = countRows(await generate(zipfTextKind, { ...options, vocabulary: 6 }, { tokens: 100 }), experts);
  expect([few.size, many.size]).toEqual([3, 6]);
  for (const row of few.keys()) expect(many.has(row)).toBe(true);
});

test("a text is gone through word by word, and again from its start", async () => {
  const batches = await generateText("to be, or\nnot to be", { noise: 0 }, { steps: 3, tokens: 5 });
  // to be , or not to be | to be , or not to be | to
  expect(letters(batches)).toBe("abcdeababcdeaba");
});

test("rows of a text are as frequent as its words", async () => {
  const batches = await generateText("x y x z x y ", { noise: 0 }, { steps: 6, tokens: 10 });
  expect([...countRows(batches, experts).values()]).toEqual([30, 20, 10]);
});

test("case counts, and letters outside ASCII belong to words", async () => {
  const batches = await generateText("Käse käse e\u0301t\u00e9 Käse", { noise: 0 }, { steps: 1, tokens: 4 });
  expect(letters(batches)).toBe("abca");
});

test("bytes are tokens of their own, of any file", async () => {
  const batches = await generateText(
    Uint8Array.of(255, 0, 255, 10),
    { unit: "bytes", noise: 0 },
    { steps: 1, tokens: 6 },
  );
  expect(letters(batches)).toBe("abacab");
});

test("the rarest words of a text share the last row of a small vocabulary", async () => {
  const batches = await generateText("r a a a b b s q", { vocabulary: 3, noise: 0 }, { steps: 1, tokens: 8 });
  expect(letters(batches)).toBe("abbbccaa");
});

test("the most frequent word has the row of id 0, wherever it stands", async () => {
  const first = await generateText("a a b", { noise: 0 }, { steps: 1, tokens: 1 });
  const last = await generateText("b a a", { noise: 0 }, { steps: 1, tokens: 3 });
  expect(last[0].subarray(experts, 2 * experts)).toEqual(first[0]);
});

test("a relative path is looked up in the folder of the scenario, then in the working directory", async () => {
  writeFileSync(join(folder, "here.txt"), "a b");
  const shape = { steps: 1, tokens: 4, experts };
  const absolute = await openStream(zipfTextKind, { path: join(folder, "here.txt") }, testContext(shape));
  const expected = await collectLogits(absolute);
  const inFolder = await openStream(zipfTextKind, { path: "here.txt" }, testContext(shape, 1, folder));
  expect(await collectLogits(inFolder)).toEqual(expected);
  const fromHere = { path: relative(process.cwd(), join(folder, "here.txt")) };
  const inWorkingDirectory = await openStream(zipfTextKind, fromHere, testContext(shape, 1, "/no/such/folder"));
  expect(await collectLogits(inWorkingDirectory)).toEqual(expected);
});

test.each([
  ["is missing", null, "words", /no such file/],
  ["is empty", "", "words", /contains no words/],
  ["is empty", "", "bytes", /contains no bytes/],
  ["has blanks only", " \n\t ", "words", /contains no words/],
  ["is not UTF-8", Uint8Array.of(97, 255, 97), "words", /not UTF-8/],
] as const)("a file that %s is refused by name, for unit %#", async (_, content, unit, message) => {
  if (content !== null) writeFileSync(join(folder, "bad.txt"), content);
  const path = content === null ? "missing.txt" : "bad.txt";
  const opening = openStream(zipfTextKind, { path, unit }, testContext({}, 1, folder));
  await expect(opening).rejects.toThrow(InputError);
  await expect(opening).rejects.toThrow(path);
  await expect(opening).rejects.toThrow(message);
});

test("a folder in place of the file is refused by name", async () => {
  const opening = openStream(zipfTextKind, { path: folder }, testContext());
  await expect(opening).rejects.toThrow(InputError);
  await expect(opening).rejects.toThrow(folder);
});

test("a text that memory could not hold is refused before it is read", async () => {
  const path = join(folder, "large.txt");
  writeFileSync(path, "");
  truncateSync(path, 2 ** 28 + 1);
  const opening = openStream(zipfTextKind, { path }, testContext());
  await expect(opening).rejects.toThrow(/large\.txt: the file has 268435457 bytes; the maximum is 268435456/);
});
