/**
 * The token streams: which kinds exist, and their batches for any use.
 *
 * @module
 */
import { InputError } from "../input-error.ts";
import type { KernelBackend } from "../kernels/index.ts";
import { resolveScenario } from "../scenario/load.ts";
import { scenarioOfLayer } from "../scenario/scenario.ts";
import { batchesOnly, hasOwnStreams } from "../simulation/sharing.ts";
import { createSimulation } from "../simulation/simulation.ts";
import { findStreamKind, streamKinds } from "../streams/index.ts";
import type { StreamKind } from "../streams/stream.ts";
import type { TokenBatch } from "../token-batch.ts";
import { kernelsOf } from "./checked.ts";
import { describeKind, type KindDescription } from "./kinds.ts";
import type { StreamInput } from "./scenario-input.ts";

/** A kind of token stream. */
export type StreamDescription = KindDescription<StreamInput["kind"]>;

/** Sizes of a stream, as in a scenario. A recorded file has its own, so they are optional. */
export interface StreamSizes {
  /** Default: 100, or all of a recording. */
  readonly steps?: number | undefined;
  /** Tokens per batch; default: 1024, or as recorded. */
  readonly tokens?: number | undefined;
  /** Required unless the stream is recorded. */
  readonly experts?: number | undefined;
  /** Experts per token, which only `skewed` streams depend on; default 1. */
  readonly topK?: number | undefined;
  /** Seed of all random numbers, default 0. A scenario with this seed and these sizes has the same batches. */
  readonly seed?: number | undefined;
  /** Id of the layer to read; required if the stream has several. */
  readonly layer?: number | undefined;
  /** `wasm` (default), `reference`, `tfjs` or `tfjs-gpu`, as for `simulate`. */
  readonly backend?: KernelBackend | undefined;
}

/** A stream's batches, for `for await`; each loop starts at the first batch and gets the same ones. */
export interface TokenStream extends AsyncIterable<TokenBatch> {
  readonly steps: number;
  /** Maximum tokens in a batch; the last batch of a recording may hold fewer. */
  readonly tokens: number;
  readonly experts: number;
}

/** Every kind, in the order of `moesim list streams`. */
export function list(): StreamDescription[] {
  return streamKinds.map(describe);
}

/** Returns the kind of that name; undefined if there is none. */
export function find(kind: string): StreamDescription | undefined {
  const found = findStreamKind(kind);
  return found && describe(found);
}

/**
 * Opens a stream without routers: `for await (const { logits } of await streams.open({ kind: "clusters" }, { experts:
 * 64 }))`. The logits of each batch are a copy, exactly `[tokens × experts]`. Relative paths are resolved against the
 * working directory. Throws `InputError` for an unknown kind or option, for an invalid recorded file, for a stream of
 * several layers if `layer` is none of them, and for a stream that reacts to a router's load, which only `simulate` can run; iteration throws if recorded data turns out to be bad.
 */
export async function open(stream: StreamInput, { backend, layer, ...sizes }: StreamSizes = {}): Promise<TokenStream> {
  const where = "streams.open";
  const routers = [{ kind: "topk" }];
  const resolved = await resolveScenario(
    { ...sizes, topK: sizes.topK ?? 1, name: where, regret: { every: 0 }, stream, routers },
    where,
  );
  const scenario = scenarioOfLayer(resolved, layer);
  if (hasOwnStreams(scenario)) {
    throw new InputError(`${where}: a stream of kind "${stream.kind}" reacts to a router's load; use simulate`);
  }
  const { steps, tokens, experts } = scenario;
  return {
    steps,
    tokens,
    experts,
    async *[Symbol.asyncIterator]() {
      const simulation = await createSimulation(scenario, { kernels: await kernelsOf(backend), part: batchesOnly });
      try {
        while (await simulation.step()) {
          const batch = simulation.batch!;
          yield { ...batch, logits: batch.logits.slice(0, batch.tokens * experts) };
        }
      } finally {
        await simulation.close();
      }
    },
  };
}

function describe(kind: StreamKind): StreamDescription {
  // The registry holds only these kinds.
  return describeKind(kind) as StreamDescription;
}
