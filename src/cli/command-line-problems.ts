import { InputError } from "../core/input-error.ts";
import { suggestion } from "../core/suggestion.ts";
import { listed } from "../core/words.ts";

/** Options of the parsed command, as yargs describes them. */
export interface KnownOptions {
  /** All names, including positional arguments. */
  readonly key: Readonly<Record<string, unknown>>;
  /** Names of options that take several values. */
  readonly array: readonly string[];
  /** Names of options that take numbers. */
  readonly number: readonly string[];
}

/**
 * Throws `InputError` if an option of one value is given twice, if a number is expected and the value is not one, or if a value
 * is empty: a script may not have set a variable, and yargs would read 0. `words` is the command line.
 */
export function checkOptionValues(
  values: Readonly<Record<string, unknown>>,
  options: KnownOptions,
  words: readonly string[],
): true {
  const given = Object.keys(options.key).filter((name) => values[name] !== undefined);
  const twice = given.find((name) => Array.isArray(values[name]) && !options.array.includes(name));
  if (twice !== undefined) throw new InputError(`--${twice}: given twice; give it once`);
  const notNumber = given.find((name) => options.number.includes(name) && Number.isNaN(values[name]));
  if (notNumber !== undefined) throw new InputError(`--${notNumber}: the value is not a number; give one`);
  const empty = given.find((name) => hasEmptyValue(name, words));
  if (empty !== undefined) throw new InputError(`--${empty}: the value is empty; give one or leave the option out`);
  return true;
}

function hasEmptyValue(option: string, words: readonly string[]): boolean {
  return words.some((word, i) => word === `--${option}=` || (word === `--${option}` && words[i + 1] === ""));
}

/**
 * Turns yargs' English message about a command line `words` that it cannot parse into one line: the problem and how to fix it.
 *
 * @param usage by command: its name and arguments, such as `run <scenario>`
 * @param required the command's required options
 */
export function parsingProblem(
  message: string,
  words: readonly string[],
  usage: ReadonlyMap<string, string>,
  required: readonly string[],
): string {
  const command = words.find((word) => !word.startsWith("-")) ?? "";
  // This is all that yargs says about an unknown command.
  if (message.startsWith("Did you mean")) return `unknown command "${command}". ${message}`;
  const help = `moesim ${command} --help`;
  const withoutValue = /^Not enough arguments following: (.*)$/s.exec(message)?.[1];
  if (withoutValue !== undefined) return `--${withoutValue}: the value is missing; give one after the option`;
  if (message.startsWith("Not enough non-option arguments")) {
    const missing =
      usage
        .get(command)
        ?.split(" ")
        .slice(Number(/got (\d+)/.exec(message)?.[1] ?? 0) + 1) ?? [];
    return `${command}: missing ${missing.join(" ")}; usage: moesim ${usage.get(command) ?? command} (see ${help})`;
  }
  const choice = /^Invalid values:\n {2}Argument: ([\w-]+), Given: ([^\n]*), Choices: ([^\n]*)/.exec(message);
  if (choice !== null) {
    const [, name, given, allowed] = choice;
    const isPositional = usage.get(command)?.includes(`<${name}>`) === true;
    return `${isPositional ? `${command} <${name}>` : `--${name}`}: ${choiceProblem(jsonValues(given), jsonValues(allowed))}`;
  }
  const absent = /^Missing required arguments?: (.*)$/s.exec(message)?.[1];
  if (absent !== undefined) {
    const options = required.map((name) => ` --${name} …`).join("");
    const missing = listed(
      absent.split(", ").map((name) => `--${name}`),
      required.length,
    );
    return `${command}: missing ${missing}; usage: moesim ${usage.get(command) ?? command}${options} (see ${help})`;
  }
  const unknown = /^Unknown arguments?: (.*)$/s.exec(message)?.[1];
  if (unknown === undefined) return message;
  // yargs names an option without its dashes.
  const option = words.find((word) => word.startsWith("-") && unknown.includes(word.split("=")[0].replace(/^-+/, "")));
  return option === undefined
    ? `${command}: unexpected ${unknown}; usage: moesim ${usage.get(command) ?? command} (see ${help})`
    : `${command}: unknown option ${option.split("=")[0]}; ${help} lists them`;
}

/** Parses a list of values that yargs writes as JSON without the brackets. */
function jsonValues(text: string): string[] {
  return (JSON.parse(`[${text}]`) as unknown[]).map(String);
}

/** Explains that the first of `given` is not among `allowed`. */
function choiceProblem([given]: readonly string[], allowed: readonly string[]): string {
  return `"${given}" is not allowed.${suggestion(given, allowed)} Allowed: ${allowed.join(", ")}.`;
}
