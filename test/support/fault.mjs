// Loaded before a program with `node --import`: counts the calls that change the file system, over all its threads, and
// at the call number FAULT_AT does what FAULT says. Without FAULT_AT it only counts, one byte per call in FAULT_COUNT.
//   kill    SIGKILL before the call; of a call that has parts (a write, the removal of a folder), after the first part
//           or, with FAULT_TARGET, before the renaming to a file whose path ends with that
//   a code  the call fails with it, e.g. ENOSPC; and so do all later ones if FAULT_STAYS is set
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import path from "node:path";

const { FAULT: fault, FAULT_AT: at, FAULT_COUNT: counter, FAULT_STAYS: stays, FAULT_TARGET: target } = process.env;
const { openSync, fstatSync, writeSync, readdirSync, rmSync } = fs;
const accessMode = fs.constants.O_WRONLY | fs.constants.O_RDWR;
const calls = openSync(counter, "a");

/** Which call this is, the first being 1. */
function next() {
  writeSync(calls, ".");
  return fstatSync(calls).size;
}

function failure(syscall, file) {
  const error = new Error(`${fault}: injected, ${syscall}${typeof file === "string" ? ` '${file}'` : ""}`);
  return Object.assign(error, { code: fault, errno: -1, syscall, ...(typeof file === "string" && { path: file }) });
}

/** Before a call: throws or kills if it is the one. `half` does the first part of it. */
function before(syscall, file, half = () => undefined) {
  const call = next();
  if (at === undefined || call < Number(at)) return;
  if (fault === "kill") {
    try {
      half();
    } catch {
      // What is to be removed may not be there.
    }
    process.kill(process.pid, "SIGKILL");
    // The signal takes a moment.
    for (;;);
  }
  if (call === Number(at) || stays !== undefined) throw failure(syscall, file);
}

const isWriting = (flags) =>
  typeof flags === "number" ? (flags & accessMode) !== 0 : flags !== undefined && flags !== "r";

function wrap(object, name, check) {
  const call = object[name];
  object[name] = function (...args) {
    check(...args);
    return call.apply(this, args);
  };
}

for (const name of [
  "mkdirSync",
  "mkdtempSync",
  "renameSync",
  "rmdirSync",
  "unlinkSync",
  "copyFileSync",
  "truncateSync",
]) {
  wrap(fs, name, (file) => before(name.replace("Sync", ""), file));
}
wrap(fs, "openSync", (file, flags) => isWriting(flags) && before("open", file));
wrap(fs, "writeFileSync", (file, data) =>
  before(typeof file === "number" ? "write" : "open", file, () => {
    const bytes =
      typeof data === "string" ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const descriptor = typeof file === "number" ? file : openSync(file, "w");
    writeSync(descriptor, bytes.subarray(0, bytes.length >> 1));
  }),
);
wrap(fs, "rmSync", (file, options) =>
  before("rm", file, () => {
    const [first] = options?.recursive ? readdirSync(file) : [];
    if (first !== undefined) rmSync(path.join(file, first), { recursive: true });
  }),
);
// Those of promises that open a file for writing, and their writes.
const { open } = fs.promises;
fs.promises.open = async function (file, flags, ...rest) {
  if (isWriting(flags)) before("open", file);
  const handle = await open.call(this, file, flags, ...rest);
  if (isWriting(flags)) {
    const { writeFile } = handle;
    handle.writeFile = async function (...args) {
      before("write");
      return writeFile.apply(this, args);
    };
  }
  return handle;
};
if (target !== undefined) {
  wrap(fs, "renameSync", (_, to) => {
    if (!to.endsWith(target)) return;
    process.kill(process.pid, "SIGKILL");
    for (;;);
  });
}
syncBuiltinESMExports();
