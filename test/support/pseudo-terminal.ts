import { spawnSync } from "node:child_process";
import { projectPath } from "./program.ts";

/** The program as a shell calls it. */
export const program = `'${process.execPath}' '${projectPath("dist/cli/main.js")}'`;

/** Whether this machine has util-linux's `script`, which gives a program a terminal to write to. */
export const hasPseudoTerminal = /util-linux/.test(
  spawnSync("script", ["--version"], { encoding: "utf8" }).stdout ?? "",
);

/**
 * What a terminal gets to see of the shell's `command`, in the folder `cwd`; one that tells no width where `columns` is
 * null. Colours are up to `environment`, whatever that of the tests says.
 */
export function seenOnTerminal(
  command: string,
  cwd: string,
  columns: number | null,
  environment: NodeJS.ProcessEnv = {},
): string {
  const { NO_COLOR: _, FORCE_COLOR: __, ...inherited } = process.env;
  const sized = columns === null ? command : `stty cols ${columns}; ${command}`;
  const { stdout } = spawnSync("script", ["-qec", sized, "/dev/null"], {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...inherited, TERM: "xterm", ...environment },
  });
  return stdout.replaceAll("\r\n", "\n");
}

/** What is left on the screen, by line, of the text and of what moesim's live line makes of it; colours leave nothing. */
export function screenOf(seen: string): string[] {
  const lines = [""];
  let column = 0;
  let saved = { line: 0, column: 0 };
  let line = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what moves a terminal's cursor
  for (const [token, code, count, letter] of seen.matchAll(/\u001b(?:([78])|\[([\d;]*)([A-Za-z]))|[^\u001b]/gu)) {
    if (token === "\n") {
      line += 1;
      column = 0;
      lines[line] ??= "";
    } else if (token === "\r") column = 0;
    else if (code === "7") saved = { line, column };
    else if (code === "8") ({ line, column } = saved);
    else if (letter === "G") column = Number(count || "1") - 1;
    else if (letter === "K") lines[line] = count === "2" ? "" : Array.from(lines[line]).slice(0, column).join("");
    else if (letter === "m") continue;
    else if (letter !== undefined) throw new Error(`the screen does not know ${JSON.stringify(token)}`);
    else {
      const characters = Array.from(lines[line].padEnd(column));
      characters[column] = token;
      lines[line] = characters.join("");
      column += 1;
    }
  }
  return lines;
}
