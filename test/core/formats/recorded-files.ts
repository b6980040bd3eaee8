import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { openVector, type Vector } from "../../../src/core/formats/vector.ts";
import { InputError } from "../../../src/core/input-error.ts";
import { platform } from "../../../src/core/platform.ts";
import type { Source } from "../../../src/core/source.ts";
import { temporaryFolder } from "../../support/program.ts";

/** A fresh folder, and a function that writes a file into it and returns its path. */
export function recordedFolder(): { folder: string; write: (name: string, content: Uint8Array | string) => string } {
  const folder = temporaryFolder();
  return {
    folder,
    write(name, content) {
      const path = join(folder, name);
      writeFileSync(path, content);
      return path;
    },
  };
}

/** The bytes of a `.npy` file whose header is `text`, as the format's description has them. */
export function npyBytes(text: string, data: Uint8Array, version: 1 | 2 | 3 = 1): Buffer {
  const header = Buffer.from(`${text}\n`, "latin1");
  const length = Buffer.alloc(version === 1 ? 2 : 4);
  length.writeUIntLE(header.length, 0, length.length);
  return Buffer.concat([Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0]), length, header, data]);
}

/** The header text NumPy writes, less its padding. */
export function npyHeader(descr: string, shape: readonly number[]): string {
  return `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(", ")}${shape.length === 1 ? "," : ""}), }`;
}

export function float32Npy(shape: readonly number[], values: ArrayLike<number>): Buffer {
  return npyBytes(npyHeader("<f4", shape), new Uint8Array(Float32Array.from(values).buffer));
}

/** The bytes of a `.safetensors` file with the JSON `header`. */
export function safetensorsBytes(header: unknown, data: Uint8Array): Buffer {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}

/** What `use` makes of the file at `path`, which is closed then. */
export async function withFile<Result>(path: string, use: (file: Source) => Promise<Result>): Promise<Result> {
  const file = await platform().open(path);
  try {
    return await use(file);
  } finally {
    await file.close?.();
  }
}

/** Opens the one array of the file at `path`. */
export async function openArray(path: string): Promise<Vector> {
  return openVector(await platform().open(path));
}

/** Everything that the vector holds, read `atOnce` numbers at a time, and the vector closed. */
export async function readAll(vector: Vector, atOnce = 6): Promise<number[]> {
  const piece = new Float64Array(atOnce);
  const values: number[] = [];
  try {
    for (let count = await vector.read(piece); count > 0; count = await vector.read(piece)) {
      values.push(...piece.subarray(0, count));
    }
    expect(values).toHaveLength(vector.length);
  } finally {
    await vector.close();
  }
  return values;
}

/** Fails unless `attempt` throws an `InputError` whose message names `file` and matches each of `parts`. */
export async function expectInputError(
  attempt: () => Promise<unknown>,
  file: string,
  ...parts: (string | RegExp)[]
): Promise<void> {
  const error = await attempt().then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(InputError);
  const { message } = error as InputError;
  expect(message).toContain(file);
  for (const part of parts) expect(message).toMatch(part);
}

/** Fails if `attempt` throws anything but an `InputError`; says whether it threw. */
export async function throwsOnlyInputErrors(attempt: () => Promise<unknown>): Promise<boolean> {
  try {
    await attempt();
    return false;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return true;
  }
}
