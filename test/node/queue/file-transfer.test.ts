import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Redis } from "ioredis";
import { expect, it } from "vitest";
import { receiveFiles, sendFiles } from "../../../src/node/queue/file-transfer.ts";
import { temporaryFolder } from "../../support/program.ts";

/** The lists of a server. */
function fakeServer() {
  const lists = new Map<string, Buffer[]>();
  let expires = 0;
  const client = {
    async rpush(key: string, bytes: Buffer) {
      lists.set(key, [...(lists.get(key) ?? []), bytes]);
    },
    async expire() {
      expires += 1;
    },
    async lindexBuffer(key: string, index: number) {
      return lists.get(key)?.[index] ?? null;
    },
  } as unknown as Redis;
  return { client, lists, expires: () => expires };
}

function bytesOf(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, place) => (place * place * 31) >> 3));
}

// Below, at and above what is sent at once, with an empty file first, between and last.
it.each([
  [[0], 1],
  [[0, 5, 0, 70_000, 0], 1],
  [[1 << 20], 1],
  [[(1 << 20) + 1], 1],
  [[0, 700_000, 0, 700_000, 0], 1],
])("brings files of %j bytes as they are", async (sizes, leastChunks) => {
  const { client, expires } = fakeServer();
  const folder = temporaryFolder();
  const places = sizes.map((size, index) => {
    const file = path.join(folder, `${index}`);
    writeFileSync(file, bytesOf(size));
    return { name: `file-${index}`, file };
  });
  const sent = await sendFiles(client, "key", places);
  expect(sent.chunks).toBeGreaterThanOrEqual(leastChunks);
  expect(sent.files.map(({ bytes }) => bytes)).toEqual(sizes);
  expect(expires()).toBe(1);
  await receiveFiles(client, "key", sent, path.join(folder, "in/side"));
  for (const [index, size] of sizes.entries()) {
    expect(readFileSync(path.join(folder, "in/side", `file-${index}`)).equals(bytesOf(size))).toBe(true);
  }
});

it.each([1000, 2_000_000])("refuses what did not arrive as it was sent, of %d bytes", async (size) => {
  const { client, lists } = fakeServer();
  const folder = temporaryFolder();
  const file = path.join(folder, "file");
  writeFileSync(file, bytesOf(size));
  const sent = await sendFiles(client, "key", [{ name: "file", file }]);
  const whole = lists.get("key")!;
  const [listed] = sent.files;
  let turn = 0;
  const receive = (files: typeof sent.files) => {
    const into = path.join(folder, `${turn++}`);
    mkdirSync(into);
    return receiveFiles(client, "key", { ...sent, files }, into);
  };
  const wrong = /did not arrive from the queue as they were sent/;
  await expect(receive([{ ...listed, bytes: size - 1 }])).rejects.toThrow(wrong);
  await expect(receive([{ ...listed, bytes: size + 1 }])).rejects.toThrow(wrong);
  await expect(receive([{ ...listed, sha256: "0".repeat(64) }])).rejects.toThrow(wrong);
  lists.set("key", [Buffer.from("not gzip"), ...whole.slice(1)]);
  await expect(receive([listed])).rejects.toThrow(wrong);
  lists.set("key", [whole[0].subarray(0, 300)]);
  await expect(receive([listed])).rejects.toThrow(wrong);
  lists.delete("key");
  await expect(receive([listed])).rejects.toThrow(/the queue no longer has the files/);
});
