/**
 * Something the user gave is wrong: a scenario, a file, an option. The command line prints the message alone and exits
 * with code 2. The message names the file, the field or the row, what was wrong and what is allowed.
 */
export class InputError extends Error {
  override readonly name = "InputError";
}
