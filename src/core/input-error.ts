/**
 * Something the user gave is wrong: a scenario, a file, an option. The command line prints the message alone and exits
 * with code 2. The message names the file, the field or the row, what was wrong and what is allowed.
 */
export class InputError extends Error {
  override readonly name = "InputError";
  private readonly headline: string;
  private readonly details: readonly string[];

  /**
   * `details` are further lines below the message, each indented by two spaces. A line feed anywhere else comes from a
   * path or another text of the user's and is no new line: whoever prints {@link lines} escapes it.
   */
  constructor(
    headline: string,
    { details = [], ...options }: ErrorOptions & { readonly details?: readonly string[] } = {},
  ) {
    super(linesOf(headline, details).join("\n"), options);
    this.headline = headline;
    this.details = details;
  }

  /** The message line by line. */
  get lines(): readonly string[] {
    return linesOf(this.headline, this.details);
  }

  /** The same error with `prefix` in front of its first line, as the file or the field in which it was found. */
  within(prefix: string): InputError {
    return new InputError(prefix + this.headline, { details: this.details });
  }

  /** The same error with every line changed by `change`. */
  mapLines(change: (line: string) => string): InputError {
    return new InputError(change(this.headline), { details: this.details.map(change) });
  }
}

function linesOf(headline: string, details: readonly string[]): string[] {
  return [headline, ...details.map((line) => `  ${line}`)];
}
