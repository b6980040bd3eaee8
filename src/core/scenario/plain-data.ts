import { isScalar, LineCounter, parseDocument, visit } from "yaml";
import { InputError } from "../input-error.ts";

/** A scenario needs 5 levels. Deeper data would overflow the stack somewhere instead of giving a message. */
const mostLevels = 64;
/**
 * Maximum number of values, counting those repeated by aliases; a scenario of a thousand routers has about ten
 * thousand.
 */
const mostValues = 1_000_000;

/**
 * Parses YAML or JSON `text` into a tree of objects, arrays, strings, numbers, booleans and null. Throws `InputError`,
 * whose message begins with `where`, the source of the text, if the text is neither, if an alias leads nowhere or
 * contains itself, or if the data is nested more than 64 levels deep or holds more than a million values.
 */
export function parsePlainData(text: string, where: string): unknown {
  let data: unknown;
  try {
    data = parseYaml(text);
  } catch (error) {
    const { message } = error as Error;
    // The parser is recursive.
    if (message.startsWith("Maximum call stack size exceeded")) throw tooDeep(where);
    const [first, ...rest] = message.split("\n").filter((line) => line.trim() !== "");
    throw new InputError(`${where}: not valid YAML or JSON: ${first}`, { details: rest });
  }
  checkTree(data, where);
  return data;
}

function parseYaml(text: string): unknown {
  const lineCounter = new LineCounter();
  // The parser compares every key of a mapping with all earlier ones, which takes seconds for ten thousand keys.
  const document = parseDocument(text, { logLevel: "error", uniqueKeys: false, lineCounter });
  if (document.errors.length > 0) throw document.errors[0];
  visit(document, {
    Map(_, { items }) {
      const keys = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (keys.has(key.value)) {
          const { line } = lineCounter.linePos(key.range?.[0] ?? 0);
          throw new Error(`the key ${JSON.stringify(key.value)} is given twice in one mapping, again on line ${line}`);
        }
        keys.add(key.value);
      }
    },
  });
  return document.toJS();
}

function checkTree(data: unknown, where: string): void {
  const above = new Set<unknown>();
  let values = 0;
  const visit = (value: unknown): void => {
    values += 1;
    if (values > mostValues) throw new InputError(`${where}: more than ${mostValues} values; a scenario has far fewer`);
    if (typeof value !== "object" || value === null) return;
    if (above.has(value)) throw new InputError(`${where}: an alias (*name) contains itself; write the value out`);
    const isPlain = Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
    if (!isPlain)
      throw new InputError(`${where}: only mappings, lists, text, numbers, true, false and null are allowed`);
    if (above.size >= mostLevels) throw tooDeep(where);
    above.add(value);
    for (const inner of Object.values(value)) visit(inner);
    above.delete(value);
  };
  visit(data);
}

function tooDeep(where: string): InputError {
  return new InputError(`${where}: nested more than ${mostLevels} levels deep; a scenario needs far fewer`);
}
