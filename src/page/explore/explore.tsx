import { type ComponentChildren, render } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { ThemeName } from "../../core/pictures/parts/theme.ts";
import { formatNumber } from "../../core/results/format.ts";
import { followLook } from "../client/look.ts";
import { Choice, NumberControl, OptionControls } from "./controls.tsx";
import type { Facts, Frame, ResolvedFacts } from "./messages.ts";
import {
  FrontierPicture,
  HeatMaps,
  LoadsPicture,
  PricesPicture,
  SeriesPicture,
  type Shown,
  saveText,
} from "./pictures.tsx";
import { createSimulator, type Events, type Parts, type Proof, type Simulator, StoppedError } from "./simulator.ts";
import { firstView, tours } from "./tours.ts";
import {
  AddressError,
  addressOf,
  mostRouters,
  mostSteps,
  type View,
  viewOf,
  viewOfRecording,
  viewOfScenario,
  type WrittenKind,
  type WrittenScenario,
} from "./view.ts";

/** The answer on the screen: parts of it arrive one after the other. */
interface Answer {
  readonly resolved: ResolvedFacts;
  readonly frame: Frame;
  readonly series: readonly (readonly number[][])[];
  /** Whether it answers the question asked last. */
  readonly isCurrent: boolean;
  /** Whether it was the whole answer to the question asked last when it came: while a slider is held, more follow at once. */
  readonly isSettled: boolean;
}

/** A view that was read, and what to say about it or why there is none. */
type FoundView = ReturnType<typeof viewOfScenario>;

/** The layers of the recording that was read last, if it has several. */
interface RecordedLayers {
  readonly path: string;
  readonly ids: readonly number[];
}

/** Step counts that the buttons of the speed stand for, per second; 0 is as fast as it goes. */
const speeds = [
  ["2", "2 steps a second"],
  ["10", "10 steps a second"],
  ["30", "30 steps a second"],
  ["0", "as fast as it goes"],
] as const;

const addressDelayMs = 250;
/** Tokens in a batch of a recording that has no steps and is too long for one. */
const batchTokens = 1024;
/** After so long without a picture the page says what it is at. */
const slowMs = 400;

function Explore({ parts, first, notice: firstNotice, files: firstFiles }: Started) {
  const [facts, setFacts] = useState<Facts | null>(null);
  const [view, setView] = useState(first);
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [notice, setNotice] = useState(firstNotice);
  const [proof, setProof] = useState<Proof | null>(null);
  const [errand, setErrand] = useState<string | null>(null);
  const [isPlaying, setPlaying] = useState(false);
  const [speed, setSpeed] = useState("10");
  const [tour, setTour] = useState<string | null>(null);
  const [fileNames, setFileNames] = useState<readonly string[]>(Array.from(firstFiles.keys()));
  const [theme, setTheme] = useState<ThemeName>("light");
  const [layers, setLayers] = useState<RecordedLayers | null>(null);
  const [isSlow, setSlow] = useState(false);
  /** Why no address holds the scenario. */
  const [noLink, setNoLink] = useState<string | null>(null);
  const simulator = useRef<Simulator | null>(null);
  const resolved = useRef<ResolvedFacts | null>(null);
  const series = useRef<number[][][]>([]);
  const slowTimer = useRef(0);
  const current = useRef(view);
  /** What the page wrote into the address, or read from it. */
  const known = useRef(location.hash.slice(1));
  const files = useRef(new Map(firstFiles));
  /** How often files have been read: those dropped last count. */
  const reading = useRef(0);

  useEffect(() => {
    const button = document.getElementById("theme-switch") as HTMLButtonElement;
    const look = followLook(button, ({ theme }) => setTheme(theme));
    setTheme(look().theme);
    const events: Events = {
      onFacts: setFacts,
      onAnswer(next) {
        resolved.current = next;
        const { scenario } = current.current;
        if (next.layers.length < 2 || scenario.stream.kind !== "trace") return;
        // One layer is simulated, which the address and the saved scenario must say.
        setLayers({ path: String(scenario.stream.path), ids: next.layers });
        const stream = { ...scenario.stream, layers: next.layers.slice(0, 1) };
        current.current = { ...current.current, scenario: { ...scenario, stream } };
        setView(current.current);
      },
      onFrame(frame, isCurrent) {
        clearTimeout(slowTimer.current);
        setSlow(false);
        if (frame.from === 0) series.current = frame.series.map((ofRouter) => ofRouter.map(() => []));
        for (const [router, ofRouter] of frame.series.entries()) {
          for (const [metric, values] of ofRouter.entries()) series.current[router][metric].push(...values);
        }
        setProblem(null);
        const isSettled = isCurrent && frame.isDone;
        setAnswer({ resolved: resolved.current!, frame, series: series.current, isCurrent, isSettled });
        if (!frame.isDone) watchSlow();
        // A recording can end before.
        else if (isCurrent && frame.steps < current.current.steps) {
          current.current = { ...current.current, steps: frame.steps };
          setView(current.current);
        }
      },
      onProblem(message) {
        clearTimeout(slowTimer.current);
        setSlow(false);
        setPlaying(false);
        setProblem(message);
      },
      onRestart(reason) {
        setPlaying(false);
        setNotice(`The simulator stopped (${reason}) and was started again.`);
      },
    };
    simulator.current = createSimulator(parts, events);
    simulator.current.addFiles(files.current);
    ask(first);
    const onHashChange = async () => {
      if (location.hash.slice(1) === known.current) return;
      known.current = location.hash.slice(1);
      const found = await viewOfAddress();
      setNotice(found.notice);
      if (found.view !== null) show(found.view);
    };
    // Anywhere on the page: beside a smaller target the browser would leave the page for the file.
    const onDragOver = (event: DragEvent) => event.preventDefault();
    const onDrop = (event: DragEvent) => {
      event.preventDefault();
      void takeFiles(Array.from(event.dataTransfer?.files ?? []));
    };
    addEventListener("hashchange", onHashChange);
    addEventListener("dragover", onDragOver);
    addEventListener("drop", onDrop);
    return () => {
      removeEventListener("hashchange", onHashChange);
      removeEventListener("dragover", onDragOver);
      removeEventListener("drop", onDrop);
    };
  }, []);

  function watchSlow(): void {
    clearTimeout(slowTimer.current);
    slowTimer.current = setTimeout(() => setSlow(true), slowMs) as unknown as number;
  }

  function ask(next: View): void {
    simulator.current?.ask(next);
    watchSlow();
  }

  /** Shows another view: from its first step on if the scenario is another. */
  function show(next: View): void {
    current.current = next;
    setView(next);
    setProof(null);
    setErrand(null);
    setAnswer((before) => before && { ...before, isCurrent: false });
    ask(next);
  }

  function showSteps(steps: number): void {
    const next = { ...current.current, steps };
    const isOnward = answer !== null && problem === null && steps >= (answer.frame.steps ?? 0);
    current.current = next;
    setView(next);
    setProof(null);
    if (isOnward) {
      simulator.current?.cancel();
      simulator.current?.continue(steps);
      watchSlow();
    } else ask(next);
  }

  const change = (scenario: WrittenScenario) => {
    setNotice(null);
    show({ ...current.current, scenario });
  };
  const set = (fields: Readonly<Record<string, unknown>>) => change(withFields(current.current.scenario, fields));

  // The address follows the view, a little later: browsers refuse hundreds of changes a second.
  useEffect(() => {
    const timer = setTimeout(async () => {
      let address = "";
      try {
        address = await addressOf(view);
        setNoLink(null);
      } catch (error) {
        if (!(error instanceof AddressError)) throw error;
        setNoLink(error.message);
      }
      // A link that was followed meanwhile is about to be read.
      if (location.hash.slice(1) !== known.current) return;
      known.current = address;
      history.replaceState(null, "", `#${address}`);
    }, addressDelayMs);
    return () => clearTimeout(timer);
  }, [view]);

  const lastStep = answer === null ? mostSteps : lastStepOf(view, answer.resolved);

  useEffect(() => {
    if (!isPlaying || answer === null) return;
    if (!answer.frame.isDone) return;
    if (answer.frame.steps >= lastStep) {
      setPlaying(false);
      return;
    }
    const perSecond = Number(speed);
    const timer = setTimeout(
      () => showSteps(Math.min(lastStep, current.current.steps + (perSecond === 0 ? 8 : 1))),
      perSecond === 0 ? 0 : 1000 / perSecond,
    );
    return () => clearTimeout(timer);
  }, [isPlaying, answer, speed, lastStep]);

  /** Shows what the files hold. If that fails, what is on the screen stays, and files of the same names as well. */
  async function takeFiles(list: Iterable<File>): Promise<void> {
    const added = new Map<string, Blob>(Array.from(list, (file) => [file.name, file]));
    if (added.size === 0) return;
    simulator.current!.addFiles(added);
    const isShown = await showIfReadable(Array.from(added.keys()).join(", "), async () => {
      // A scenario among the files reads the others.
      for (const name of added.keys()) {
        const scenario = await simulator.current!.read(name);
        if (scenario === null) continue;
        const found = viewOfScenario(scenario, name);
        if (found.view !== null) await simulator.current!.tryOut(found.view);
        return found;
      }
      const [name] = added.keys();
      return readableRecording(name);
    });
    if (!isShown) {
      simulator.current!.addFiles(files.current);
      return;
    }
    for (const [name, file] of added) files.current.set(name, file);
    setFileNames(Array.from(files.current.keys()));
  }

  function showRecording(path: string): void {
    void showIfReadable(path, () => readableRecording(path));
  }

  /** Returns the view of a recording, cut into batches if it is too long for one. Rejects if it cannot be read. */
  async function readableRecording(path: string): Promise<FoundView> {
    const { scenario } = current.current;
    const whole = viewOfRecording(scenario, path);
    try {
      await simulator.current!.tryOut(whole);
      return { view: whole, notice: null };
    } catch (error) {
      if (error instanceof StoppedError) throw error;
      const cut = viewOfRecording(scenario, path, batchTokens);
      const isCut = await simulator.current!.tryOut(cut).then(
        () => true,
        () => false,
      );
      if (!isCut) throw error;
      return {
        view: cut,
        notice: `${path}: it is cut into batches of ${batchTokens} tokens; “batchTokens” sets others.`,
      };
    }
  }

  /** Shows the view that `find` resolves with, and returns whether it did; otherwise says why not. */
  async function showIfReadable(name: string, find: () => Promise<FoundView>): Promise<boolean> {
    reading.current += 1;
    const turn = reading.current;
    setPlaying(false);
    setProof(null);
    setNotice(null);
    setErrand(`Reading ${name} …`);
    try {
      const found = await find();
      if (turn !== reading.current) return false;
      setNotice(found.notice);
      if (found.view === null) return false;
      setTour(null);
      show(found.view);
      return true;
    } catch (error) {
      if (turn === reading.current) setNotice((error as Error).message);
      return false;
    } finally {
      if (turn === reading.current) setErrand(null);
    }
  }

  async function download(name: "scenario.yaml" | "summary.csv" | "steps.csv"): Promise<void> {
    setErrand(`Simulating for ${name}…`);
    setProof(null);
    try {
      const files = await simulator.current!.write({ ...view, steps: answer?.frame.steps ?? view.steps }, (steps, of) =>
        setErrand(`Simulating for ${name}: step ${steps} of ${of}`),
      );
      saveText(name === "scenario.yaml" ? `${view.scenario.name}.yaml` : name, files[name], "text/plain");
      setErrand(null);
    } catch (error) {
      setErrand((error as Error).message);
    }
  }

  function prove(): void {
    setErrand(null);
    setProof({ frontier: [], best: [], isDone: false, note: "" });
    simulator.current!.prove({ ...view, steps: answer?.frame.steps ?? view.steps }, setProof, (message) => {
      setProof(null);
      setErrand(message);
    });
  }

  const metrics = useMemo(() => new Map(facts?.metrics.map((metric) => [metric.id, metric])), [facts]);
  const { scenario } = view;
  // A held slider changes the question on every frame of the screen: what shows the answer is drawn when that changes.
  const { resolved: answered, frame, isSettled } = answer ?? { resolved: null, frame: null, isSettled: false };
  const pictures = useMemo(() => {
    if (answered === null || frame === null || facts === null) return null;
    const shown: Shown = { resolved: answered, frame, series: series.current, proof, metrics, theme };
    return <Pictures shown={shown} isSettled={isSettled} />;
  }, [answered, frame, isSettled, facts, proof, metrics, theme]);
  const experts = answered?.experts;
  const controls = useMemo(
    () =>
      facts === null ? null : (
        <Controls
          {...{ facts, scenario, experts, layers, fileNames }}
          onChange={change}
          onSet={set}
          onFiles={takeFiles}
          onRecording={showRecording}
        />
      ),
    [facts, scenario, experts, layers, fileNames],
  );
  const stepsShown = answer?.frame.steps ?? 0;
  const openTour = tours.find(({ id }) => id === tour);
  return (
    <div class="explore">
      <section class="tours" aria-labelledby="tours-title">
        <h2 id="tours-title">What am I looking at?</h2>
        <p class="muted">
          A batch of tokens, a gate's logits for each expert, and up to four routers that choose K experts for every
          token, on the same batches. This is moesim itself, running in this tab. Five short tours:
        </p>
        <div class="tour-list">
          {tours.map(({ id, title, view: shownView }) => (
            <button
              key={id}
              type="button"
              aria-pressed={id === tour}
              onClick={() => {
                setNotice(null);
                setPlaying(false);
                setTour(id === tour ? null : id);
                if (id !== tour) show(shownView);
              }}
            >
              {title}
            </button>
          ))}
        </div>
        {openTour !== undefined && (
          <ol class="tour" aria-label={openTour.title}>
            {openTour.sentences.map((sentence) => (
              <li key={sentence}>{sentence}</li>
            ))}
          </ol>
        )}
      </section>
      {controls}
      <main id="main" tabIndex={-1}>
        <div class="transport" role="toolbar" aria-label="Steps">
          <button type="button" class="play" onClick={() => setPlaying(!isPlaying)} disabled={problem !== null}>
            {isPlaying ? "Pause" : "Play"}
          </button>
          <button
            type="button"
            onClick={() => showSteps(Math.min(lastStep, stepsShown + 1))}
            disabled={problem !== null}
          >
            Step
          </button>
          <button
            type="button"
            onClick={() => {
              setPlaying(false);
              showSteps(1);
            }}
          >
            Reset
          </button>
          <label class="scrub">
            <span>
              Step <output>{stepsShown === 0 ? "–" : stepsShown - 1}</output>
            </span>
            <input
              type="range"
              aria-label="Step"
              min={1}
              max={scrubEnd(view, lastStep)}
              value={view.steps}
              aria-valuetext={`step ${view.steps - 1}`}
              onInput={({ currentTarget }) => {
                setPlaying(false);
                showSteps(currentTarget.valueAsNumber);
              }}
            />
          </label>
          <select aria-label="Speed" value={speed} onChange={({ currentTarget }) => setSpeed(currentTarget.value)}>
            {speeds.map(([value, text]) => (
              <option key={value} value={value} selected={value === speed}>
                {text}
              </option>
            ))}
          </select>
          <button
            type="button"
            onClick={prove}
            disabled={problem !== null || answer === null || (proof !== null && !proof.isDone)}
            title="Computes the exact optimum of this batch at several capacities, and the best fixed bias of all steps"
          >
            Prove
          </button>
        </div>
        <div class="state" role="status">
          {(problem ?? notice) !== null && <p class={problem === null ? "notice" : "problem"}>{problem ?? notice}</p>}
          {isSlow && (
            <p class="muted">
              {answer?.isCurrent === true
                ? `${stepsShown} of ${view.steps} steps are done …`
                : "Working on the first step …"}{" "}
              Change anything to stop it.
            </p>
          )}
          {errand !== null && <p class="muted">{errand}</p>}
          {proof !== null && !proof.isDone && (
            <p class="muted">
              Proving: {proof.frontier.length} points of the frontier so far … Change anything to stop it.
            </p>
          )}
          {proof?.isDone === true && proof.note !== "" && <p class="muted">{proof.note}</p>}
        </div>
        {pictures !== null && <div class={problem === null ? "pictures" : "pictures stale"}>{pictures}</div>}
        <section class="downloads" aria-labelledby="downloads-title">
          <h2 id="downloads-title">Take it with you</h2>
          <p class="muted">
            {noLink === null ? "The address of this page holds the scenario: a link shows what you see." : noLink} The
            scenario file computes the same on the command line: <code>moesim run {scenario.name}.yaml</code>.
          </p>
          <div class="buttons">
            {(["scenario.yaml", "summary.csv", "steps.csv"] as const).map((name) => (
              <button
                key={name}
                type="button"
                disabled={answer === null || problem !== null}
                onClick={() => download(name)}
              >
                {name}
              </button>
            ))}
            {noLink === null && <CopyLink view={view} />}
          </div>
        </section>
      </main>
    </div>
  );
}

/** The answer: all pictures, and the table of the step. */
function Pictures({ shown, isSettled }: { readonly shown: Shown; readonly isSettled: boolean }) {
  return (
    <>
      <LoadsPicture {...shown} />
      <InView isSettled={isSettled}>
        <div class="pair">
          <SeriesPicture shown={shown} metric="max_vio" position={0} />
          <SeriesPicture shown={shown} metric="idle_fraction" position={1} />
        </div>
        {hasValues(shown, 3) && <SeriesPicture shown={shown} metric="regret" position={3} />}
        {hasValues(shown, 4) && <SeriesPicture shown={shown} metric="task_loss" position={4} />}
      </InView>
      <InView isSettled={isSettled}>
        <HeatMaps {...shown} />
      </InView>
      <InView isSettled={isSettled}>
        <div class="pair">
          <FrontierPicture {...shown} />
          <PricesPicture {...shown} />
        </div>
      </InView>
      <InView isSettled={isSettled}>
        <StepTable {...shown} />
      </InView>
    </>
  );
}

/** Draws its children again if they are in view or the answer is settled: a held slider redraws what a person sees. */
function InView({ isSettled, children }: { readonly isSettled: boolean; readonly children: ComponentChildren }) {
  const place = useRef<HTMLDivElement>(null);
  const [isSeen, setSeen] = useState(true);
  const drawn = useRef(children);
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => setSeen(entries.at(-1)!.isIntersecting));
    observer.observe(place.current!);
    return () => observer.disconnect();
  }, []);
  if (isSeen || isSettled) drawn.current = children;
  return <div ref={place}>{drawn.current}</div>;
}

/** Whether the metric at `position` in `seriesMetrics` has a value on some step. */
function hasValues({ series }: Shown, position: number): boolean {
  return series.some((ofRouter) => ofRouter[position].some((value) => !Number.isNaN(value)));
}

/** The number of steps that can be shown: all of a recording, or as many as the page simulates. */
function lastStepOf({ scenario }: View, { steps }: ResolvedFacts): number {
  return scenario.stream.kind === "trace" ? steps : mostSteps;
}

/** The right end of the step's slider: not far beyond what is shown, so that a hand can choose a single step. */
function scrubEnd({ steps }: View, lastStep: number): number {
  return Math.min(lastStep, Math.max(200, 2 ** Math.ceil(Math.log2(steps + 1))));
}

function CopyLink({ view }: { readonly view: View }) {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => setCopied(false), [view]);
  if (!("clipboard" in navigator)) return null;
  return (
    <button
      type="button"
      onClick={async () => {
        const url = new URL(location.href);
        url.hash = await addressOf(view);
        await navigator.clipboard.writeText(url.href);
        setCopied(true);
      }}
    >
      {isCopied ? "Copied" : "Copy the link"}
    </button>
  );
}

/** Numbers in a table: of the last step, and the mean of the steps so far. */
function StepTable({ resolved, frame, series, metrics }: Shown) {
  const columns = [
    "max_vio",
    "idle_fraction",
    "score",
    "dropped_fraction",
    "churn",
    "load_cv",
    "bias_spread",
    "regret",
  ];
  const present = columns.filter((id) => frame.routers.some(({ figures }) => (figures[id] ?? null) !== null));
  const meanOf = (values: readonly number[]) => {
    const known = values.filter((value) => !Number.isNaN(value));
    return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
  };
  const text = (id: string, value: number | null) =>
    formatNumber(value === null || metrics.get(id)!.unit !== "fraction" ? value : 100 * value);
  const name = (id: string) => `${metrics.get(id)!.label}${metrics.get(id)!.unit === "fraction" ? ", %" : ""}`;
  return (
    <section class="step-table" aria-labelledby="numbers-title">
      <h2 id="numbers-title">Numbers of step {frame.steps - 1}</h2>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section class="scroll" tabIndex={0} aria-label="Numbers of the step">
        <table>
          <thead>
            <tr>
              <th scope="col">router</th>
              {present.map((id) => (
                <th key={id} scope="col" class="numeric" title={metrics.get(id)!.definition}>
                  {name(id)}
                </th>
              ))}
              <th scope="col" class="numeric" title="Mean over the steps so far">
                mean MaxVio
              </th>
              <th scope="col" class="numeric" title="Mean over the steps so far">
                mean score
              </th>
            </tr>
          </thead>
          <tbody>
            {resolved.routers.map((router, index) => (
              <tr key={router.name}>
                <th scope="row">
                  <span class="router-name">
                    <span class={`mark mark${index}`} aria-hidden="true" />
                    {router.name}
                  </span>
                </th>
                {present.map((id) => (
                  <td key={id} class="numeric">
                    {text(id, frame.routers[index].figures[id] ?? null)}
                  </td>
                ))}
                <td class="numeric">{formatNumber(meanOf(series[index][0]))}</td>
                <td class="numeric">{formatNumber(meanOf(series[index][2]))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      <details>
        <summary>What the numbers mean</summary>
        <dl class="definitions">
          {present.map((id) => (
            <div key={id}>
              <dt>{metrics.get(id)!.label}</dt>
              <dd>{metrics.get(id)!.definition}</dd>
            </div>
          ))}
        </dl>
      </details>
    </section>
  );
}

/** Returns `fields` set in `scenario`; those that are undefined are left out of it. */
function withFields(scenario: WrittenScenario, fields: Readonly<Record<string, unknown>>): WrittenScenario {
  return Object.fromEntries(
    Object.entries({ ...scenario, ...fields }).filter(([, value]) => value !== undefined),
  ) as unknown as WrittenScenario;
}

/** What scenario files may leave out. */
const defaults = { tokens: 1024, topK: 2, capacityFactor: 1, capacity: "none", seed: 0 } as const;

interface ControlsProps {
  readonly facts: Facts;
  readonly scenario: WrittenScenario;
  /** Experts of the answer on the screen, which a scenario may leave to its recording. */
  readonly experts: number | undefined;
  readonly layers: RecordedLayers | null;
  readonly fileNames: readonly string[];
  readonly onChange: (scenario: WrittenScenario) => void;
  readonly onSet: (fields: Readonly<Record<string, unknown>>) => void;
  readonly onFiles: (files: Iterable<File>) => void;
  readonly onRecording: (name: string) => void;
}

/** The question: stream, sizes and routers. Open on a wide screen, folded on a phone. */
function Controls({
  facts,
  scenario,
  experts,
  layers,
  fileNames,
  onChange,
  onSet,
  onFiles,
  onRecording,
}: ControlsProps) {
  const [isOpen] = useState(() => matchMedia("(min-width: 60rem)").matches);
  return (
    <section class="controls" aria-labelledby="scenario-title">
      <details open={isOpen}>
        <summary>
          <h2 id="scenario-title">Scenario</h2>
        </summary>
        <StreamControls {...{ facts, scenario, experts, layers, fileNames, onChange, onFiles, onRecording }} />
        <SizeControls facts={facts} scenario={scenario} experts={experts} onSet={onSet} />
        {scenario.routers.map((router, index) => (
          <RouterControls
            key={index}
            facts={facts}
            scenario={scenario}
            router={router}
            index={index}
            onChange={onChange}
          />
        ))}
        {scenario.routers.length < mostRouters && (
          <button
            type="button"
            class="add"
            onClick={() =>
              onChange({ ...scenario, routers: [...scenario.routers, newRouter(scenario.routers, "topk")] })
            }
          >
            Add a router
          </button>
        )}
      </details>
    </section>
  );
}

/** Options without which a stream is refused. */
const requiredOptions: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  skewed: { target: { maxVio: 2 } },
};

function StreamControls({
  facts,
  scenario,
  experts,
  layers,
  fileNames,
  onChange,
  onFiles,
  onRecording,
}: Omit<ControlsProps, "onSet">) {
  const { stream } = scenario;
  const isRecording = stream.kind === "trace";
  const kind = facts.streams.find((one) => one.kind === stream.kind);
  const choose = (chosen: string) => {
    if (chosen.startsWith("file:")) {
      onRecording(chosen.slice("file:".length));
      return;
    }
    // What a recording says of itself, a synthetic stream must be told.
    const { experts: wanted = experts, ...rest } = scenario;
    onChange({ ...rest, experts: wanted, stream: { kind: chosen, ...requiredOptions[chosen] } });
  };
  return (
    <fieldset>
      <legend>Stream</legend>
      <Choice
        label="kind"
        help={kind?.summary ?? ""}
        value={isRecording ? `file:${String(stream.path)}` : stream.kind}
        values={[
          ...facts.streams.filter((one) => one.kind !== "trace").map((one) => one.kind),
          ...fileNames.map((name) => [`file:${name}`, `file ${name}`] as const),
          ...(isRecording && !fileNames.includes(String(stream.path))
            ? [[`file:${String(stream.path)}`, `file ${String(stream.path)}`] as const]
            : []),
        ]}
        onChange={choose}
      />
      <p class="muted summary">{kind?.summary}</p>
      {isRecording && layers !== null && layers.path === stream.path && (
        <Choice
          label="layer"
          help="Id of the layer of the recording"
          value={String(Array.isArray(stream.layers) ? stream.layers[0] : layers.ids[0])}
          values={layers.ids.map(String)}
          onChange={(layer) => onChange({ ...scenario, stream: { ...stream, layers: [Number(layer)] } })}
        />
      )}
      {kind !== undefined && (
        <OptionControls
          kind={kind}
          written={stream}
          left={["layers", "path", "unit"]}
          onChange={(changed) => onChange({ ...scenario, stream: changed })}
        />
      )}
      <label class="drop">
        <span>
          <strong>Drop a file here</strong>, or choose one: recorded logits in any of moesim's formats, or a scenario
          file. It stays on this machine.
        </span>
        <input
          type="file"
          multiple
          onChange={({ currentTarget }) => {
            onFiles(Array.from(currentTarget.files ?? []));
            currentTarget.value = "";
          }}
        />
      </label>
    </fieldset>
  );
}

function SizeControls({
  facts,
  scenario,
  experts: answered,
  onSet,
}: Pick<ControlsProps, "facts" | "scenario" | "experts" | "onSet">) {
  const isRecording = scenario.stream.kind === "trace";
  const model = facts.models.find(({ name }) => name === scenario.model);
  const experts = Number(scenario.experts ?? model?.experts ?? answered ?? 64);
  const topK = Number(scenario.topK ?? model?.topK ?? defaults.topK);
  const regret = Object(scenario.regret) as { every?: number };
  return (
    <fieldset>
      <legend>Sizes</legend>
      {!isRecording && (
        <>
          <Choice
            label="model"
            help="A published model, whose experts, K and scores are used"
            value={String(scenario.model ?? "")}
            values={[["", "none"], ...facts.models.map(({ name }) => name)]}
            onChange={(name) =>
              onSet(
                name === ""
                  ? { model: undefined, experts, topK }
                  : { model: name, experts: undefined, topK: undefined, scores: undefined },
              )
            }
          />
          <NumberControl
            label="tokens"
            help="Tokens in a batch, T"
            value={Number(scenario.tokens ?? defaults.tokens)}
            range={{ min: 32, max: 8192, isLogarithmic: true }}
            isWhole
            onChange={(tokens) => onSet({ tokens })}
          />
          <NumberControl
            label="experts"
            help="Experts, E"
            value={experts}
            range={{ min: 2, max: 512, isLogarithmic: true }}
            isWhole
            onChange={(count) => onSet({ experts: count, ...(topK > count && { topK: count }) })}
          />
        </>
      )}
      <NumberControl
        label="K"
        help="Experts per token, topK"
        value={topK}
        range={{ min: 1, max: Math.min(16, experts), step: 1 }}
        isWhole
        onChange={(count) => onSet({ topK: count })}
      />
      <NumberControl
        label="capacity factor"
        help="Capacity of an expert: ⌈factor · T·K/E⌉ pairs"
        value={Number(scenario.capacityFactor ?? defaults.capacityFactor)}
        range={{ min: 0.5, max: 4, step: 0.05 }}
        onChange={(capacityFactor) => onSet({ capacityFactor })}
      />
      <Choice
        label="over capacity"
        help="What happens to pairs beyond the capacity"
        value={String(scenario.capacity ?? defaults.capacity)}
        values={[
          ["none", "nothing"],
          ["drop", "drop the lowest gates"],
          ["drop-position", "drop the last to arrive"],
          ["reroute", "reroute"],
        ]}
        onChange={(capacity) => onSet({ capacity })}
      />
      <Choice
        label="regret"
        help="Compare each step's score with the exact optimum, which takes time"
        value={String(regret.every ?? 1)}
        values={[
          ["0", "off"],
          ["1", "on every step"],
          ...(regret.every !== undefined && regret.every > 1
            ? [[String(regret.every), `on one step of ${regret.every}`] as const]
            : []),
        ]}
        onChange={(every) => onSet({ regret: { ...regret, every: Number(every) } })}
      />
      {!isRecording && (
        <NumberControl
          label="seed"
          help="Seed of all random numbers"
          value={Number(scenario.seed ?? defaults.seed)}
          range={{ min: 0, max: 50, step: 1 }}
          isWhole
          onChange={(seed) => onSet({ seed })}
        />
      )}
    </fieldset>
  );
}

function RouterControls({
  facts,
  scenario,
  router,
  index,
  onChange,
}: {
  readonly facts: Facts;
  readonly scenario: WrittenScenario;
  readonly router: WrittenKind;
  readonly index: number;
  readonly onChange: (scenario: WrittenScenario) => void;
}) {
  const { routers } = scenario;
  const kind = facts.routers.find((one) => one.kind === router.kind);
  const others = routers.filter((_, other) => other !== index);
  const replace = (changed: WrittenKind) =>
    onChange({ ...scenario, routers: routers.map((one, at) => (at === index ? changed : one)) });
  return (
    <fieldset>
      <legend>
        <span class={`mark mark${index}`} aria-hidden="true" />
        Router {index + 1}
        {router.label !== undefined && router.label !== router.kind && `: ${String(router.label)}`}
      </legend>
      <Choice
        label="kind"
        help={kind?.summary ?? ""}
        value={router.kind}
        values={facts.routers.map((one) => one.kind)}
        onChange={(chosen) => replace(newRouter(others, chosen))}
      />
      <p class="muted summary">{kind?.summary}</p>
      {kind !== undefined && <OptionControls kind={kind} written={router} left={["gradient"]} onChange={replace} />}
      {routers.length > 1 && (
        <button type="button" class="remove" onClick={() => onChange({ ...scenario, routers: others })}>
          Remove<span class="hidden-text"> router {index + 1}</span>
        </button>
      )}
    </fieldset>
  );
}

/** Returns a router of that kind with a name that none of `others` has. */
function newRouter(others: readonly WrittenKind[], kind: string): WrittenKind {
  const taken = new Set(others.map((one) => String(one.label ?? one.kind)));
  if (!taken.has(kind)) return { kind };
  let number = 2;
  while (taken.has(`${kind} ${number}`)) number += 1;
  return { kind, label: `${kind} ${number}` };
}

async function viewOfAddress(): Promise<{ view: View | null; notice: string | null }> {
  try {
    const view = await viewOf(location.hash);
    return view === null
      ? { view, notice: null }
      : viewOfScenario({ ...view.scenario, steps: view.steps }, "The address");
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    return { view: null, notice: error.message };
  }
}

/** All that must be there before the page can show anything. */
interface Started {
  readonly parts: Parts;
  readonly first: View;
  readonly notice: string | null;
  readonly files: ReadonlyMap<string, Blob>;
}

/** Loads the simulator, and the recordings that `moesim explore` was given: all requests that the page ever makes. */
async function start(): Promise<Started> {
  const [script, kernels, files] = await Promise.all([
    fetched("explore-worker.js").then((response) => response.blob()),
    fetched("kernels.wasm").then((response) => response.arrayBuffer()),
    givenFiles(),
  ]);
  const parts = { script: URL.createObjectURL(new Blob([script], { type: "text/javascript" })), kernels };
  const { view, notice } = await viewOfAddress();
  return { parts, first: view ?? firstView, notice, files };
}

async function givenFiles(): Promise<ReadonlyMap<string, Blob>> {
  const { content } = document.querySelector<HTMLMetaElement>("meta[name='moesim-files']")!;
  const names: string[] = JSON.parse(content);
  return new Map(
    await Promise.all(
      names.map(async (name, index) => [name, await (await fetched(`files/${index}`)).blob()] as const),
    ),
  );
}

async function fetched(name: string): Promise<Response> {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name} cannot be loaded: ${response.status} ${response.statusText}`);
  return response;
}

const place = document.getElementById("explore")!;
start().then(
  (started) => {
    place.replaceChildren();
    render(<Explore {...started} />, place);
  },
  (error: Error) => {
    place.textContent = `The simulator did not load: ${error.message}. Reload the page, or run moesim explore.`;
  },
);
