import { InputError } from "../../core/input-error.ts";

/** A scenario as the page edits it: the fields of a scenario file without `steps`, which {@link View} has. */
export interface WrittenScenario {
  readonly name: string;
  readonly description?: string;
  readonly stream: WrittenKind;
  readonly routers: readonly WrittenKind[];
  readonly [field: string]: unknown;
}

/** A stream or a router as a scenario file has it: its kind and those options that are not the default. */
export interface WrittenKind {
  readonly kind: string;
  readonly [option: string]: unknown;
}

/** What the page shows: a scenario, and how many of its steps have been simulated. */
export interface View {
  readonly scenario: WrittenScenario;
  /** 1 or more. */
  readonly steps: number;
}

/** Maximum routers side by side. */
export const mostRouters = 4;

/** Maximum logits in a batch: with more, a step takes seconds, and the command line is the better place. */
export const mostLogits = 2 ** 22;

/** Steps that a synthetic stream can be played for. */
export const mostSteps = 2000;

/** More than a recording has that a tab can go through. */
const mostRecordedSteps = 1_000_000;

const version = 1;
/** Bounds what a hostile link makes the page unpack, and so how long a scenario in a link may be. */
const mostAddressBytes = 1 << 16;

/** Thrown for an address that holds no view, and a view that no address holds; the message is a sentence for people. */
export class AddressError extends InputError {}

/**
 * Returns the view as the part of an address after `#`: `v1=` and its JSON, packed by deflate, in base64url. Browsers pack
 * in different ways, and each reads what another wrote. Throws {@link AddressError} if the JSON has more than 64 KiB.
 */
export async function addressOf({ scenario, steps }: View): Promise<string> {
  const json = new TextEncoder().encode(JSON.stringify({ steps, scenario }));
  if (json.length > mostAddressBytes) {
    throw new AddressError(
      `A link would be too long: the scenario has ${Math.ceil(json.length / 1024)} KiB, and a link holds up to ${mostAddressBytes / 1024} KiB. Its file can be dropped on the page instead.`,
    );
  }
  const packed = await through(new CompressionStream("deflate-raw"), json, Number.POSITIVE_INFINITY);
  const base64 = btoa(Array.from(packed, (byte) => String.fromCharCode(byte)).join(""));
  return `v${version}=${base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

/** Returns the view of an address, with or without its `#`; null if it is empty. Throws {@link AddressError}. */
export async function viewOf(address: string): Promise<View | null> {
  const text = address.replace(/^#/, "");
  if (text === "") return null;
  const [, written, packed] = /^v(\d+)=([\w-]+)$/.exec(text) ?? [];
  if (written === undefined) {
    throw new AddressError(
      "The address holds no scenario that explore can read: it was cut off or changed on its way.",
    );
  }
  if (Number(written) !== version) {
    throw new AddressError(
      `The address was written by another version of explore (v${written}; this one reads v${version}).`,
    );
  }
  let value: unknown;
  try {
    const bytes = Uint8Array.from(atob(packed.replaceAll("-", "+").replaceAll("_", "/")), (character) =>
      character.charCodeAt(0),
    );
    const json = await through(new DecompressionStream("deflate-raw"), bytes, mostAddressBytes);
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch {
    throw new AddressError("The scenario in the address is damaged: the link was cut off or changed on its way.");
  }
  const { steps, scenario } = Object(value) as Partial<View>;
  if (!isWritten(scenario) || !Number.isSafeInteger(steps) || steps! < 1) {
    throw new AddressError("The address holds something else than a scenario.");
  }
  return { scenario, steps: Math.min(steps!, mostRecordedSteps) };
}

/** Returns whether `value` has the parts of a scenario that the page takes for granted; the core checks all others. */
export function isWritten(value: unknown): value is WrittenScenario {
  const { name, stream, routers } = Object(value) as Partial<WrittenScenario>;
  const hasKind = (one: unknown) => typeof (Object(one) as Partial<WrittenKind>).kind === "string";
  return typeof name === "string" && hasKind(stream) && Array.isArray(routers) && routers.every(hasKind);
}

/** Returns the scenario file that computes what `view` shows: its scenario, with its steps. */
export function scenarioFileOf({ scenario, steps }: View): WrittenScenario {
  const { name, description, seed, ...rest } = scenario;
  const { stream } = rest;
  // A shift after the last step is refused, since it would never happen.
  const shifts = Array.isArray(stream.steps) ? { steps: stream.steps.filter((step) => step < steps) } : {};
  return {
    name,
    ...(description !== undefined && { description }),
    seed: seed ?? 0,
    steps,
    ...rest,
    stream: { ...stream, ...shifts },
  };
}

/** Returns the view of a scenario file, and what to say about it. */
export function viewOfScenario(scenario: unknown, name: string): { view: View | null; notice: string | null } {
  const { steps, sweep, seeds, ...rest } = Object(scenario) as Record<string, unknown>;
  const complete = { ...rest, name: rest.name ?? name };
  if (!isWritten(complete)) {
    return { view: null, notice: `${name}: a scenario on this page needs a stream and a list of routers.` };
  }
  const notices: string[] = [];
  if (sweep !== undefined || seeds !== undefined) {
    notices.push(`${name}: sweep and seeds are left out; moesim sweep runs them.`);
  }
  if (complete.routers.length > mostRouters) {
    notices.push(`${name}: the first ${mostRouters} of its ${complete.routers.length} routers are shown.`);
  }
  const isRecording = complete.stream.kind === "trace";
  const { layers, ...ofOneLayer } = complete.stream;
  if (!isRecording && layers !== undefined) notices.push(`${name}: the first layer is shown.`);
  const isCount = typeof steps === "number" && Number.isSafeInteger(steps) && steps > 0;
  const view: View = {
    scenario: {
      ...complete,
      stream: isRecording ? complete.stream : (ofOneLayer as WrittenKind),
      routers: complete.routers.slice(0, mostRouters),
    },
    steps: Math.min(
      isCount ? steps : isRecording ? mostRecordedSteps : 100,
      isRecording ? mostRecordedSteps : mostSteps,
    ),
  };
  return { view, notice: notices.length === 0 ? null : notices.join(" ") };
}

/**
 * Returns the view of all steps of a recording, routed as `scenario` says; sizes are those of the recording. `batchTokens`
 * cuts one without steps.
 */
export function viewOfRecording(scenario: WrittenScenario, path: string, batchTokens?: number): View {
  // The description is of what was shown before.
  const { tokens: _, experts: __, model: ___, description: ____, ...rest } = scenario;
  const stream = { kind: "trace", path, ...(batchTokens !== undefined && { batchTokens }) };
  return { scenario: { ...rest, stream } as WrittenScenario, steps: mostRecordedSteps };
}

async function through(
  transform: { readonly readable: ReadableStream<Uint8Array>; readonly writable: WritableStream<BufferSource> },
  bytes: Uint8Array<ArrayBuffer>,
  most: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const writer = transform.writable.getWriter();
  // Errors of damaged data arrive at the reader as well.
  writer.write(bytes).catch(() => undefined);
  writer.close().catch(() => undefined);
  const reader = transform.readable.getReader();
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    length += piece.value.length;
    if (length > most) {
      await reader.cancel();
      throw new RangeError("too long");
    }
    pieces.push(piece.value);
  }
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}
