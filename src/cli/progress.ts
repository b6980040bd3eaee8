import { Presets, SingleBar } from "cli-progress";

const quietMs = 2000;

/** A progress bar on the terminal's standard error. */
export interface Progress {
  update(done: number): void;
  stop(): void;
}

/** Shows nothing for the first two seconds, and never where output is piped or `quiet` is asked for. */
export function createProgress(total: number, unit: string, quiet: boolean): Progress {
  if (quiet || !process.stdout.isTTY || !process.stderr.isTTY)
    return { update: () => undefined, stop: () => undefined };
  const bar = new SingleBar(
    {
      format: `{bar} {percentage}% · {value}/{total} ${unit} · {eta_formatted} left`,
      stream: process.stderr,
      clearOnComplete: true,
    },
    Presets.shades_classic,
  );
  const start = performance.now();
  let shown = false;
  return {
    update(done) {
      if (!shown && performance.now() - start > quietMs) {
        bar.start(total, done);
        shown = true;
      }
      if (shown) bar.update(done);
    },
    stop: () => bar.stop(),
  };
}
