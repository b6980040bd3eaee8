/**
 * Reports something wrong with the user's input: a scenario, a file, an option. The command line prints only the
 * message and exits with code 2. The message says where (file, field or row), what is wrong and what is allowed.
 */
export class InputError extends Error {
  override readonly name = "InputError";
  private readonly headline: string;
  private readonly details: readonly string[];

  /**
   * `details` are further lines below the message, each indented by two spaces. A line feed anywhere else comes from a
   * path or other user text and does not start a new line: escape it when printing {@link lines}.
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

  /** Returns the same error with `prefix` before its first line, such as the file or the field in which it occurred. */
  within(prefix: string): InputError {
    return new InputError(prefix + this.headline, { details: this.details, cause: this.cause });
  }

  /** Returns the same error with every line changed by `change`. */
  mapLines(change: (line: string) => string): InputError {
    return new InputError(change(this.headline), { details: this.details.map(change), cause: this.cause });
  }
}

function linesOf(headline: string, details: readonly string[]): string[] {
  return [headline, ...details.map((line) => `  ${line}`)];
}
