import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import { readSealed, writeSealed } from "../../../src/node/files/sealed-file.ts";
import { listFiles, temporaryFolder } from "../../support/program.ts";

describe("a sealed file", () => {
  it("gives back its bytes, the last that were written", () => {
    const folder = temporaryFolder();
    const file = path.join(folder, "kept");
    for (const bytes of [Buffer.from("first, and longer"), Buffer.from("second"), Buffer.alloc(0)]) {
      writeSealed(file, bytes);
      expect(readSealed(file)).toEqual(bytes);
    }
    expect(listFiles(folder)).toEqual(["kept"]);
  });

  it("is null where there is none", () => {
    expect(readSealed(path.join(temporaryFolder(), "kept"))).toBeNull();
  });

  it("is refused where a byte is missing, more or another", () => {
    const file = path.join(temporaryFolder(), "kept");
    writeSealed(file, Buffer.from("what is kept"));
    const whole = readFileSync(file);
    const flipped = Buffer.from(whole);
    flipped[40] ^= 1;
    for (const bytes of [whole.subarray(0, -1), Buffer.concat([whole, Buffer.from("!")]), flipped, Buffer.alloc(0)]) {
      writeFileSync(file, bytes);
      expect(() => readSealed(file)).toThrow(InputError);
      expect(() => readSealed(file)).toThrow(`${file}: is damaged`);
    }
  });

  it("is refused where it cannot be read", () => {
    const folder = temporaryFolder();
    expect(() => readSealed(folder)).toThrow(InputError);
  });
});
