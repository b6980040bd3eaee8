import { expect, it } from "vitest";
import { cutRecording } from "../../../src/core/formats/cut-recording.ts";
import { openRecording } from "../../../src/core/formats/recording.ts";
import { bytesSource } from "../../../src/core/source.ts";
import { float32Npy } from "./recorded-files.ts";

/** Two steps of five tokens with two logits each, which count up from a half. */
async function open() {
  const values = Array.from({ length: 20 }, (_, i) => i + 0.5);
  return openRecording(bytesSource(new Uint8Array(float32Npy([2, 5, 2], values)), "logits.npy"));
}

it("cuts each step into blocks of tokens, in order, and none over two steps", async () => {
  const recording = cutRecording(await open(), 2);
  const reader = recording.layer(0);
  expect(reader).toMatchObject({ steps: 6, tokens: 2, columns: 2 });
  const found: number[][] = [];
  for (let piece = await reader.next(); piece !== null; piece = await reader.next()) {
    expect([piece.step, piece.endsStep]).toEqual([found.length, true]);
    found.push(Array.from(piece.values.subarray(0, 2 * piece.rows), Math.floor));
  }
  expect(found).toEqual([
    [0, 1, 2, 3],
    [4, 5, 6, 7],
    [8, 9],
    [10, 11, 12, 13],
    [14, 15, 16, 17],
    [18, 19],
  ]);
  await recording.close();
});

it("reads into an array as the uncut recording does, up to the end of a block", async () => {
  const recording = cutRecording(await open(), 3);
  const reader = recording.layer(0);
  const into = new Float32Array(16);
  const rows: number[] = [];
  for (let read = await reader.read(into, 2); read > 0; read = await reader.read(into, 2)) rows.push(read);
  expect(rows).toEqual([2, 1, 2, 2, 1, 2]);
  await recording.close();
});
