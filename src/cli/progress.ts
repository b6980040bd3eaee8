import progressBars from "cli-progress";
import stringWidth from "string-width";
import { columnsOf } from "./terminal.ts";

const quietMs = 2000;
const barCharacters = 24;

/** A line on the terminal's standard error that shows the progress of a command. */
export interface LiveLine {
  /** Takes `done` and `total` in a unit of work that takes about the same time each. */
  update(done: number, total: number): void;
  /** Removes the line. */
  stop(): void;
}

/** Figures at the end of a live line, under one name. */
export interface LiveFigures {
  readonly name: string;
  readonly items: readonly string[];
}

/**
 * Shows nothing for the first two seconds, and nothing at all if output is piped or `quiet`. `label` says what is done, and
 * `figures` are shown after it; figures that do not fit are left out, and a longer label is cut.
 */
export function createLiveLine(
  label: () => string,
  quiet: boolean,
  figures: () => LiveFigures = () => ({ name: "", items: [] }),
): LiveLine {
  if (quiet || !process.stdout.isTTY || !process.stderr.isTTY)
    return { update: () => undefined, stop: () => undefined };
  const start = performance.now();
  let fraction = 0;
  const bar = new progressBars.SingleBar(
    {
      // The bar redraws itself ten times a second, so the remaining time also counts down between updates.
      format(options) {
        const seconds = (performance.now() - start) / 1000;
        const parts = [
          `${progressBars.Format.BarFormat(fraction, options)} ${Math.floor(100 * fraction)} %`,
          fraction === 0 ? "" : `${progressBars.Format.TimeFormat(secondsLeft(seconds, fraction), options, 1)} left`,
          label(),
        ];
        const line = parts.filter((part) => part !== "").join(" · ");
        return lineWithFigures(line, figures(), columnsOf(process.stderr) - 1);
      },
      barsize: barCharacters,
      stream: process.stderr,
      clearOnComplete: true,
      // The line is cut to fit; a terminal that was told not to wrap would stay so after a signal.
      linewrap: true,
      gracefulExit: false,
    },
    progressBars.Presets.shades_classic,
  );
  const timer = setTimeout(() => bar.start(1, 0), quietMs);
  function stop(): void {
    clearTimeout(timer);
    bar.stop();
    process.off("exit", stop);
  }
  // A signal ends the program at once.
  process.on("exit", stop);
  return {
    update(done, total) {
      fraction = done / total;
    },
    stop,
  };
}

/** The live line of a command with `total` equal steps of work, each called a `unit`. */
export interface Progress {
  update(done: number): void;
  stop(): void;
}

export function createProgress(total: number, unit: string, quiet: boolean): Progress {
  let done = 0;
  const line = createLiveLine(() => `${done}/${total} ${unit}`, quiet);
  return {
    update(latest) {
      done = latest;
      line.update(done, total);
    },
    stop: line.stop,
  };
}

/** Returns `text` and as many of the `items` as fit whole, or as much of `text` as fits. */
export function lineWithFigures(text: string, { name, items }: LiveFigures, columns: number): string {
  let line = text;
  for (const [index, item] of items.entries()) {
    const longer = index === 0 ? `${line} · ${name} ${item}` : `${line}, ${item}`;
    if (stringWidth(longer) > columns) break;
    line = longer;
  }
  return firstColumns(line, columns);
}

/** Returns the beginning of `text`, at most `columns` wide on a terminal, where some characters take two columns. */
function firstColumns(text: string, columns: number): string {
  let kept = "";
  let width = 0;
  for (const character of text) {
    width += stringWidth(character);
    if (width > columns) break;
    kept += character;
  }
  return kept;
}

/** Estimates the remaining seconds if `fraction` of the work, above 0, took `seconds`. */
function secondsLeft(seconds: number, fraction: number): number {
  return Math.round((seconds * (1 - fraction)) / fraction);
}
