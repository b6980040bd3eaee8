import { useId } from "preact/hooks";
import type { KindFacts, OptionSchema } from "./messages.ts";
import type { WrittenKind } from "./view.ts";

/** Where a slider begins and ends: a part of what is allowed, in which something happens. */
export interface SliderRange {
  readonly min: number;
  readonly max: number;
  /** Of a linear slider; 1 for whole numbers. */
  readonly step?: number;
  /** Equal ways are equal factors. */
  readonly isLogarithmic?: boolean;
}

/** The ranges of options, by their name, which means the same in every kind. */
const ranges: Readonly<Record<string, SliderRange>> = {
  updateRate: { min: 1e-5, max: 0.3, isLogarithmic: true },
  kappa: { min: 0.1, max: 10, isLogarithmic: true },
  momentum: { min: 0, max: 0.99, step: 0.01 },
  updateEvery: { min: 1, max: 50, step: 1 },
  epsilon: { min: 0.001, max: 3, isLogarithmic: true },
  maxIterations: { min: 1, max: 1000, step: 1, isLogarithmic: true },
  iterations: { min: 0, max: 32, step: 1 },
  coefficient: { min: 1e-4, max: 1, isLogarithmic: true },
  learningRate: { min: 0.001, max: 100, isLogarithmic: true },
  ema: { min: 0, max: 0.99, step: 0.01 },
  decay: { min: 0, max: 0.99, step: 0.01 },
  noiseScale: { min: 0, max: 4, step: 0.05 },
  gamma: { min: 0.01, max: 100, isLogarithmic: true },
  groups: { min: 1, max: 16, step: 1 },
  topGroups: { min: 1, max: 16, step: 1 },
  p: { min: 0, max: 1, step: 0.01 },
  n: { min: 1, max: 50, step: 1 },
  maxVio: { min: 0, max: 4, step: 0.05 },
  noise: { min: 0, max: 4, step: 0.05 },
  exponent: { min: 0, max: 3, step: 0.05 },
  skew: { min: 0, max: 8, step: 0.1 },
  temperature: { min: 0, max: 4, step: 0.05 },
  clusters: { min: 1, max: 64, step: 1 },
  spread: { min: 0, max: 2, step: 0.05 },
  scale: { min: 0, max: 4, step: 0.05 },
  rate: { min: 0.001, max: 1, isLogarithmic: true },
  period: { min: 2, max: 200, step: 1 },
  burstLength: { min: 1, max: 100, step: 1 },
  dominance: { min: 0, max: 1, step: 0.01 },
  strength: { min: 0, max: 6, step: 0.1 },
};

/** Shown at once; the other options of a kind are folded. */
const mainOptions = new Set([
  ..."updateRule updateRate epsilon maxIterations coefficient select iterations ema decay noiseScale gamma".split(" "),
  ..."groups topGroups by moves mode rate exponent skew temperature clusters spread burstLength dominance".split(" "),
  ..."strength noise batchTokens target".split(" "),
]);

const positions = 1000;

/** A number as a slider and a field beside it. The field takes what the slider's range leaves out. */
export function NumberControl({
  label,
  help,
  value,
  range,
  isWhole = false,
  onChange,
}: {
  readonly label: string;
  readonly help: string;
  readonly value: number;
  readonly range: SliderRange;
  readonly isWhole?: boolean;
  readonly onChange: (value: number) => void;
}) {
  const id = useId();
  const { min, max, step = 1 } = range;
  const isLogarithmic = range.isLogarithmic === true;
  const logMin = Math.log(min);
  const toPosition = (of: number) => (positions * (Math.log(Math.max(of, min)) - logMin)) / (Math.log(max) - logMin);
  const fromPosition = (position: number) =>
    rounded(Math.exp(logMin + (position / positions) * (Math.log(max) - logMin)), isWhole);
  return (
    <div class="control">
      <label for={id} title={help}>
        {label}
      </label>
      <input
        type="number"
        aria-label={`${label}, as a number`}
        title={help}
        value={value}
        min={isWhole ? 0 : undefined}
        step={isWhole ? 1 : "any"}
        onChange={({ currentTarget }) => {
          const typed = currentTarget.valueAsNumber;
          if (Number.isFinite(typed)) onChange(typed);
          else currentTarget.value = String(value);
        }}
      />
      <input
        id={id}
        type="range"
        title={help}
        min={isLogarithmic ? 0 : min}
        max={isLogarithmic ? positions : max}
        step={isLogarithmic ? 1 : step}
        value={isLogarithmic ? toPosition(value) : value}
        aria-valuetext={String(value)}
        onInput={({ currentTarget }) => {
          const moved = currentTarget.valueAsNumber;
          onChange(isLogarithmic ? fromPosition(moved) : Number(moved.toPrecision(6)));
        }}
      />
    </div>
  );
}

/** Two digits are as fine as a hand is. */
function rounded(value: number, isWhole: boolean): number {
  return isWhole ? Math.round(value) : Number(value.toPrecision(2));
}

export function Choice({
  label,
  help = "",
  value,
  values,
  onChange,
}: {
  readonly label: string;
  readonly help?: string;
  readonly value: string;
  readonly values: readonly (string | readonly [value: string, text: string])[];
  readonly onChange: (value: string) => void;
}) {
  const id = useId();
  return (
    <div class="control">
      <label for={id} title={help}>
        {label}
      </label>
      <select id={id} title={help} value={value} onChange={({ currentTarget }) => onChange(currentTarget.value)}>
        {values.map((one) => {
          const [name, text] = typeof one === "string" ? [one, one] : one;
          return (
            <option key={name} value={name} selected={name === value}>
              {text}
            </option>
          );
        })}
      </select>
    </div>
  );
}

/** The controls of a kind's options: those that matter most, and the others folded. */
export function OptionControls({
  kind,
  written,
  left = [],
  onChange,
}: {
  readonly kind: KindFacts;
  readonly written: WrittenKind;
  /** Options that have controls elsewhere. */
  readonly left?: readonly string[];
  readonly onChange: (written: WrittenKind) => void;
}) {
  const options = Object.entries(kind.options.properties ?? {}).filter(([name]) => !left.includes(name));
  const set = (name: string, value: unknown, initial: unknown) => {
    const { [name]: _, ...rest } = written;
    // What is the default need not be written, which keeps addresses short.
    onChange(value === initial ? (rest as WrittenKind) : { ...(rest as WrittenKind), [name]: value });
  };
  const controlOf = ([name, schema]: (typeof options)[number]) => (
    <OptionControl
      key={name}
      name={name}
      schema={schema}
      value={written[name] ?? schema.default}
      onChange={(value) => set(name, value, schema.default)}
    />
  );
  const main = options.filter(([name]) => mainOptions.has(name));
  const others = options.filter(([name, schema]) => !mainOptions.has(name) && isControllable(schema));
  return (
    <>
      {main.map(controlOf)}
      {others.length > 0 && (
        <details class="more-options">
          <summary>More options of {kind.kind}</summary>
          {others.map(controlOf)}
        </details>
      )}
    </>
  );
}

/** Whether there is a control for the option; lists and texts are for scenario files. */
function isControllable({ type, oneOf, enum: values }: OptionSchema): boolean {
  return ["number", "integer", "boolean"].includes(type ?? "") || values !== undefined || oneOf !== undefined;
}

function OptionControl({
  name,
  schema,
  value,
  onChange,
}: {
  readonly name: string;
  readonly schema: OptionSchema;
  readonly value: unknown;
  readonly onChange: (value: unknown) => void;
}) {
  const help = schema.description ?? "";
  if (schema.enum !== undefined) {
    return <Choice label={name} help={help} value={String(value)} values={schema.enum} onChange={onChange} />;
  }
  if (schema.oneOf !== undefined) {
    return <VariantControl name={name} schema={schema} value={Object(value)} onChange={onChange} />;
  }
  if (schema.type === "object") {
    // One of several ways to say it: those that are written.
    return (
      <>
        {Object.entries(schema.properties ?? {})
          .filter(([field]) => Object.hasOwn(Object(value), field))
          .map(([field, fieldSchema]) => (
            <OptionControl
              key={field}
              name={field}
              schema={fieldSchema}
              value={Object(value)[field]}
              onChange={(changed) => onChange({ ...Object(value), [field]: changed })}
            />
          ))}
      </>
    );
  }
  if (schema.type === "boolean") {
    return (
      <label class="control check" title={help}>
        <input
          type="checkbox"
          checked={value === true}
          onChange={({ currentTarget }) => onChange(currentTarget.checked)}
        />
        {name}
      </label>
    );
  }
  if (schema.type !== "number" && schema.type !== "integer") return null;
  const isWhole = schema.type === "integer";
  const range = ranges[name];
  // Without a value the option is off until somebody writes a number.
  if (range !== undefined && typeof value === "number") {
    return <NumberControl label={name} help={help} value={value} range={range} isWhole={isWhole} onChange={onChange} />;
  }
  return <NumberField name={name} help={help} value={value} isWhole={isWhole} onChange={onChange} />;
}

function NumberField({
  name,
  help,
  value,
  isWhole,
  onChange,
}: {
  readonly name: string;
  readonly help: string;
  readonly value: unknown;
  readonly isWhole: boolean;
  readonly onChange: (value: unknown) => void;
}) {
  const id = useId();
  return (
    <div class="control">
      <label for={id} title={help}>
        {name}
      </label>
      <input
        id={id}
        type="number"
        step={isWhole ? 1 : "any"}
        title={help}
        value={typeof value === "number" ? value : ""}
        onChange={({ currentTarget }) => {
          const typed = currentTarget.valueAsNumber;
          onChange(Number.isFinite(typed) ? typed : undefined);
        }}
      />
    </div>
  );
}

/** An option whose fields depend on its `mode`. */
function VariantControl({
  name,
  schema,
  value,
  onChange,
}: {
  readonly name: string;
  readonly schema: OptionSchema;
  readonly value: Readonly<Record<string, unknown>>;
  readonly onChange: (value: unknown) => void;
}) {
  const variants = schema.oneOf!.map(({ properties = {} }) => properties);
  const modeOf = (properties: (typeof variants)[number]) => String(properties.mode?.const);
  const chosen = variants.find((properties) => modeOf(properties) === value.mode);
  return (
    <>
      <Choice
        label={name}
        help={schema.description ?? ""}
        value={String(value.mode)}
        values={variants.map(modeOf)}
        onChange={(mode) => onChange({ mode })}
      />
      {Object.entries(chosen ?? {})
        .filter(([field]) => field !== "mode")
        .map(([field, fieldSchema]) => (
          <OptionControl
            key={field}
            name={field}
            schema={fieldSchema}
            value={value[field] ?? fieldSchema.default}
            onChange={(changed) => onChange({ ...value, [field]: changed })}
          />
        ))}
    </>
  );
}
