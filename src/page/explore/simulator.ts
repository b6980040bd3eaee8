import type {
  BestBias,
  Facts,
  Frame,
  FromWorker,
  FrontierPoint,
  ResolvedFacts,
  RunFiles,
  ToWorker,
} from "./messages.ts";
import { mostSteps, scenarioFileOf, type View } from "./view.ts";

/** What the page loads once, so that it asks for nothing afterwards. */
export interface Parts {
  /** The address of the worker's script, a blob. */
  readonly script: string;
  readonly kernels: ArrayBuffer;
}

/** What the simulator tells the page. */
export interface Events {
  onFacts(facts: Facts): void;
  onAnswer(resolved: ResolvedFacts): void;
  /** @param isCurrent whether it is of the question asked last; while a slider moves, each question gets one picture */
  onFrame(frame: Frame, isCurrent: boolean): void;
  /** Of the question asked last. */
  onProblem(message: string): void;
  /** The worker crashed, and another one answers the question asked last. */
  onRestart(reason: string): void;
}

/** What the proof of a step comes to, as it is found. */
export interface Proof {
  readonly frontier: readonly FrontierPoint[];
  readonly best: readonly BestBias[];
  readonly isDone: boolean;
  /** What is missing, and why; may be empty. */
  readonly note: string;
}

/** Thrown for an errand that ended because something else was asked. */
export class StoppedError extends Error {
  override message = "It was stopped, since the question has changed.";
}

/** The simulator behind the page: a worker that follows the page's questions, and one for long errands. */
export interface Simulator {
  /** Asks for a view. Of several questions at once the worker takes only the last one. */
  ask(view: View): void;
  /** Continues the scenario asked last up to `steps`. */
  continue(steps: number): void;
  /** Makes files known under their names, to the questions asked from now on. */
  addFiles(files: ReadonlyMap<string, Blob>): void;
  /** Proves what can be proven of a view; calls `onProof` with all that is known so far. Ends the errand before. */
  prove(view: View, onProof: (proof: Proof) => void, onProblem: (message: string) => void): void;
  /** Ends the errand under way. */
  cancel(): void;
  /** Returns the files of a view's run. Rejects with `Error` if it fails or is cancelled. */
  write(view: View, onProgress: (steps: number, of: number) => void): Promise<RunFiles>;
  /** Returns the scenario in the file of that name, or null if it holds none. */
  read(name: string): Promise<unknown>;
  /** Rejects with `Error` if the view cannot be shown, such as that of a damaged file. */
  tryOut(view: View): Promise<void>;
}

/** Milliseconds that a new question waits for a step of one before, until the worker is started again. */
const patienceMs = 300;

export function createSimulator({ script, kernels }: Parts, events: Events): Simulator {
  const files = new Map<string, Blob>();
  /** Of the question asked last, and of the last one that the worker has begun. */
  let [id, begun] = [0, 0];
  let asked: View | null = null;
  let worker = start(receive, crashed);
  /** Whether the worker has nothing left to do. */
  let isIdle = true;
  /** Whether the worker has started: on a slow machine that takes longer than the patience. */
  let isInstalled = false;
  let heardAt = 0;
  let timer = 0;
  /** The question at which the worker crashed last. */
  let crashedAt = -1;
  let clerk: Worker | null = null;
  let endErrand: ((failure: string | null) => void) | null = null;

  function start(onMessage: (message: FromWorker) => void, onCrash: (reason: string) => void): Worker {
    const started = new Worker(script);
    started.onmessage = ({ data }: MessageEvent<FromWorker>) => onMessage(data);
    started.onerror = ({ message }) => onCrash(message ?? "it cannot be loaded");
    send(started, { kind: "install", kernels, files });
    return started;
  }

  function send(to: Worker, message: ToWorker): void {
    to.postMessage(message);
  }

  function ask(view: View): void {
    asked = view;
    id += 1;
    const { steps: _, ...scenario } = view.scenario;
    send(worker, { kind: "ask", id, scenario: withRoom(scenario as View["scenario"]), steps: view.steps });
    if (!isIdle) watch(id);
    isIdle = false;
  }

  /** Starts the worker again if it keeps silent about question `of`, since a step of an earlier one takes long. */
  function watch(of: number): void {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (isIdle || begun >= of || asked === null) return;
      if (!isInstalled || performance.now() - heardAt < patienceMs) {
        watch(of);
        return;
      }
      restart();
      ask(asked);
    }, patienceMs) as unknown as number;
  }

  function restart(): void {
    worker.terminate();
    isInstalled = false;
    worker = start(receive, crashed);
    isIdle = true;
  }

  /** Asks another worker, unless the question makes one worker after the other crash. */
  function crashed(reason: string): void {
    const isLasting = !isInstalled || crashedAt === id;
    if (isInstalled) restart();
    if (isLasting || asked === null) {
      isIdle = true;
      events.onProblem(`The simulator stopped: ${reason}`);
      return;
    }
    ask(asked);
    crashedAt = id;
    events.onRestart(reason);
  }

  function receive(message: FromWorker): void {
    heardAt = performance.now();
    if (message.kind === "installed") {
      isInstalled = true;
      events.onFacts(message.facts);
    }
    if (message.kind === "answer") {
      begun = message.id;
      events.onAnswer(message.resolved);
    } else if (message.kind === "frame" && message.id === begun) {
      isIdle = message.isDone && message.id === id;
      events.onFrame(message, message.id === id);
    } else if (message.kind === "problem" && message.id === id) {
      begun = id;
      isIdle = true;
      events.onProblem(message.message);
    }
  }

  /** Sends `message` to the clerk, whose earlier errand ends. Calls `onEnd` if another ends it, or with what made it fail. */
  function errand(
    message: ToWorker,
    onMessage: (message: FromWorker) => void,
    onEnd: (failure: string | null) => void,
  ): void {
    cancel();
    endErrand = onEnd;
    clerk ??= start(
      () => undefined,
      (reason) => cancel(`The simulator stopped: ${reason}`),
    );
    clerk.onmessage = ({ data }: MessageEvent<FromWorker>) => onMessage(data);
    send(clerk, message);
  }

  /** Resolves with the clerk's answer of that kind. Rejects with `Error` if there is a problem, or the errand is ended. */
  function outcome<Kind extends FromWorker["kind"]>(
    message: ToWorker,
    kind: Kind,
    onMessage: (message: FromWorker) => void = () => undefined,
  ): Promise<Extract<FromWorker, { readonly kind: Kind }>> {
    return new Promise((resolve, reject) => {
      const answered = (answer: FromWorker) => {
        onMessage(answer);
        if (answer.kind !== kind && answer.kind !== "problem") return;
        done();
        if (answer.kind === kind) resolve(answer as Extract<FromWorker, { readonly kind: Kind }>);
        else if (answer.kind === "problem") reject(new Error(answer.message));
      };
      errand(message, answered, (failure) => reject(failure === null ? new StoppedError() : new Error(failure)));
    });
  }

  function done(): void {
    endErrand = null;
  }

  function cancel(failure: string | null = null): void {
    if (endErrand === null) return;
    clerk?.terminate();
    clerk = null;
    const end = endErrand;
    endErrand = null;
    end(failure);
  }

  return {
    ask(view) {
      cancel();
      ask(view);
    },
    continue(steps) {
      isIdle = false;
      send(worker, { kind: "continue", id, steps });
    },
    addFiles(added) {
      for (const [name, file] of added) files.set(name, file);
      send(worker, { kind: "files", files: added });
      if (clerk !== null) send(clerk, { kind: "files", files: added });
    },
    prove(view, onProof, onProblem) {
      let proof: Proof = { frontier: [], best: [], isDone: false, note: "" };
      const take = (part: Partial<Proof>) => {
        proof = { ...proof, ...part };
        onProof(proof);
      };
      errand(
        { kind: "prove", id, scenario: scenarioFileOf(view), steps: view.steps },
        (message) => {
          if (message.kind === "frontier") take({ frontier: message.points });
          if (message.kind === "best") take({ best: [...proof.best, message.best] });
          if (message.kind === "proved") {
            done();
            take({ isDone: true, note: message.note });
          }
          if (message.kind === "problem") {
            done();
            onProblem(message.message);
          }
        },
        (failure) => {
          if (failure !== null) onProblem(failure);
        },
      );
    },
    cancel,
    async write(view, onProgress) {
      const { files } = await outcome({ kind: "write", id, scenario: scenarioFileOf(view) }, "written", (message) => {
        if (message.kind === "progress") onProgress(message.steps, message.of);
      });
      return files;
    },
    async read(name) {
      return (await outcome({ kind: "read", id, name }, "scenario")).scenario;
    },
    async tryOut({ scenario: { steps: _, ...scenario } }) {
      await outcome({ kind: "try", id, scenario: scenario as View["scenario"] }, "tried");
    },
  };
}

/** Returns the scenario with room to play on: a recording has steps of its own. */
function withRoom(scenario: View["scenario"]): View["scenario"] {
  return scenario.stream.kind === "trace" ? scenario : { ...scenario, steps: mostSteps };
}
