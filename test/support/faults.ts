import type fs from "node:fs";
import { constants } from "node:fs";
import type fsPromises from "node:fs/promises";

/** What goes wrong with the calls that change the file system. */
export interface Faults {
  /** Calls so far. */
  calls: number;
  /** The call that fails, counted from 1; infinite for none. */
  at: number;
  /** The code of the error; "KILL" for the end of the program: no later call changes anything either. */
  code: string;
  /** Whether all later calls fail, too. */
  stays: boolean;
}

export const faults: Faults = { calls: 0, at: Number.POSITIVE_INFINITY, code: "KILL", stays: false };

/** Counts calls from here on, and lets that of number `at` fail. */
export function injectFault(at: number, code: string, stays = code === "KILL"): void {
  Object.assign(faults, { calls: 0, at, code, stays });
}

/** Throws in the place of a call if it is to fail. */
function enter(syscall: string, file: unknown): void {
  faults.calls += 1;
  if (faults.calls !== faults.at && !(faults.stays && faults.calls > faults.at)) return;
  const where = typeof file === "string" ? { path: file } : {};
  throw Object.assign(new Error(`${faults.code}: injected, ${syscall}`), { code: faults.code, syscall, ...where });
}

const changing = ["mkdirSync", "mkdtempSync", "renameSync", "rmdirSync", "unlinkSync", "copyFileSync", "truncateSync"];
const accessMode = constants.O_WRONLY | constants.O_RDWR;
const isWriting = (flags: unknown) =>
  typeof flags === "number" ? (flags & accessMode) !== 0 : flags !== undefined && flags !== "r";

/** `node:fs` with the faults. */
export function faultyFs(original: typeof fs): typeof fs {
  const faulty: Record<string, unknown> = { ...original };
  const wrap = (name: string, check: (...words: unknown[]) => void) => {
    const call = original[name as keyof typeof fs] as unknown as (...words: unknown[]) => unknown;
    faulty[name] = (...words: unknown[]) => {
      check(...words);
      return call(...words);
    };
  };
  for (const name of changing) wrap(name, (file) => enter(name.replace("Sync", ""), file));
  wrap("openSync", (file, flags) => isWriting(flags) && enter("open", file));
  wrap("writeFileSync", (file, bytes) => {
    const { calls } = faults;
    try {
      enter(typeof file === "number" ? "write" : "open", file);
    } catch (error) {
      // The first call that fails writes a half.
      if (calls + 1 === faults.at) {
        const whole =
          typeof bytes === "string" ? Buffer.from(bytes) : Buffer.from((bytes as Uint8Array).slice().buffer);
        original.writeFileSync(file as fs.PathOrFileDescriptor, whole.subarray(0, whole.length >> 1));
      }
      throw error;
    }
  });
  wrap("rmSync", (file, options) => {
    const { calls } = faults;
    try {
      enter("rm", file);
    } catch (error) {
      const isFolder = (options as fs.RmOptions | undefined)?.recursive === true && original.existsSync(String(file));
      const [first] = isFolder ? original.readdirSync(String(file)) : [];
      if (calls + 1 === faults.at && first !== undefined) original.rmSync(`${file}/${first}`, { recursive: true });
      throw error;
    }
  });
  return { ...faulty, default: faulty } as unknown as typeof fs;
}

/** `node:fs/promises` with the faults. */
export function faultyPromises(original: typeof fsPromises): typeof fsPromises {
  const open: typeof fsPromises.open = async (file, flags, mode) => {
    if (!isWriting(flags)) return original.open(file, flags, mode);
    enter("open", file);
    const handle = await original.open(file, flags, mode);
    const writeFile = handle.writeFile.bind(handle);
    handle.writeFile = async (...words: Parameters<typeof writeFile>) => {
      enter("write", undefined);
      return writeFile(...words);
    };
    return handle;
  };
  return { ...original, open };
}
