import { InputError } from "../core/input-error.ts";
import { suggestion } from "../core/suggestion.ts";
import { listed } from "../core/words.ts";

/** What yargs knows of the options of the command that it parsed. */
export interface KnownOptions {
  /** All names, also of words without a dash. */
  readonly key: Readonly<Record<string, unknown>>;
  /** The names of those that take several values. */
  readonly array: readonly string[];
  /** The names of those that take numbers. */
  readonly number: readonly string[];
}

/**
 * Throws `InputError` for an option of one value that is given twice, for one that takes a number and is given something
 * else, and for an empty value, such as that of a variable that a script did not set, which would count as 0. `words` is the
 * command line.
 */
export function checkOptionValues(
  values: Readonly<Record<string, unknown>>,
  options: KnownOptions,
  words: readonly string[],
): true {
  const given = Object.keys(options.key).filter((name) => values[name] !== undefined);
  const twice = given.find((name) => Array.isArray(values[name]) && !options.array.includes(name));
  if (twice !== undefined) throw new InputError(`--${twice}: given twice, but it takes one value`);
  const notNumber = given.find((name) => options.number.includes(name) && Number.isNaN(values[name]));
  if (notNumber !== undefined) throw new InputError(`--${notNumber}: the value is not a number`);
  const empty = given.find((name) => hasEmptyValue(name, words));
  if (empty !== undefined) throw new InputError(`--${empty}: the value is empty`);
  return true;
}

function hasEmptyValue(option: string, words: readonly string[]): boolean {
  return words.some((word, i) => word === `--${option}=` || (word === `--${option}` && words[i + 1] === ""));
}

/**
 * Turns yargs' English message about a command line `words` that it cannot parse into one line that names the problem.
 *
 * @param usage by command: its name and what it takes, as `run <scenario>`
 * @param required the options that the command cannot do without
 */
export function parsingProblem(
  message: string,
  words: readonly string[],
  usage: ReadonlyMap<string, string>,
  required: readonly string[],
): string {
  const command = words.find((word) => !word.startsWith("-")) ?? "";
  // Of a command it does not know yargs says no more than that.
  if (message.startsWith("Did you mean")) return `unknown command "${command}". ${message}`;
  const help = `moesim ${command} --help`;
  const withoutValue = /^Not enough arguments following: (.*)$/s.exec(message)?.[1];
  if (withoutValue !== undefined) return `--${withoutValue}: the value is missing`;
  if (message.startsWith("Not enough non-option arguments")) {
    const missing =
      usage
        .get(command)
        ?.split(" ")
        .slice(Number(/got (\d+)/.exec(message)?.[1] ?? 0) + 1) ?? [];
    return `${command}: ${missing.join(" ")} missing; usage: moesim ${usage.get(command) ?? command} (${help} explains)`;
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
    return `${command}: ${missing} missing; usage: moesim ${usage.get(command) ?? command}${options} (${help} explains)`;
  }
  const unknown = /^Unknown arguments?: (.*)$/s.exec(message)?.[1];
  if (unknown === undefined) return message;
  // Of an option that is written with dashes it names the name without them, too.
  const option = words.find((word) => word.startsWith("-") && unknown.includes(word.split("=")[0].replace(/^-+/, "")));
  return option === undefined
    ? `${command}: unexpected ${unknown}; usage: moesim ${usage.get(command) ?? command} (${help} explains)`
    : `${command}: unknown option ${option.split("=")[0]}; ${help} lists them`;
}

/** The values of a list that yargs writes as JSON, without the brackets. */
function jsonValues(text: string): string[] {
  return (JSON.parse(`[${text}]`) as unknown[]).map(String);
}

/** What to say of the first of `given`, none of which is among `allowed`. */
function choiceProblem([given]: readonly string[], allowed: readonly string[]): string {
  return `"${given}" is not allowed.${suggestion(given, allowed)} Allowed: ${allowed.join(", ")}.`;
}
