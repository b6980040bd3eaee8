/**
 * The token streams: what kinds there are, and their batches, to be used anywhere.
 *
 * @module
 */
import { InputError } from "../input-error.ts";
import type { KernelBackend } from "../kernels/index.ts";
import { resolveScenario } from "../scenario/load.ts";
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

/** The sizes of a stream, as a scenario has them. A recorded file has its own, which need not be given. */
export interface StreamSizes {
  /** Default 100, or all of a recorded file. */
  readonly steps?: number | undefined;
  /** Tokens in a batch; default 1024, or as recorded. */
  readonly tokens?: number | undefined;
  /** Needed unless the stream is recorded. */
  readonly experts?: number | undefined;
  /** Everything random follows from it; default 0. A scenario of this seed and these sizes has the same batches. */
  readonly seed?: number | undefined;
  /** `wasm` (default), `reference`, `tfjs` or `tfjs-gpu`, as for `simulate`. */
  readonly backend?: KernelBackend | undefined;
}

/** A stream's batches, to be walked with `for await`; each walk begins anew with the first and finds the same ones. */
export interface TokenStream extends AsyncIterable<TokenBatch> {
  readonly steps: number;
  /** The most tokens a batch holds; the last one of a recorded file may hold fewer. */
  readonly tokens: number;
  readonly experts: number;
}

/** Every kind, in the order of `moesim list streams`. */
export function list(): StreamDescription[] {
  return streamKinds.map(describe);
}

/** The kind of that name; undefined when there is none. */
export function find(kind: string): StreamDescription | undefined {
  const found = findStreamKind(kind);
  return found && describe(found);
}

/**
 * A stream by itself: `for await (const { logits } of await streams.open({ kind: "clusters" }, { experts: 64 }))`. The
 * logits of each batch are a copy, exactly `[tokens × experts]`. Relative paths start at the working directory. Throws
 * `InputError` for an unknown kind or option, for a recorded file that is wrong, and for a stream that answers a router's
 * load, which `simulate` alone can run; walking it throws where recorded data turns out to be bad.
 */
export async function open(stream: StreamInput, { backend, ...sizes }: StreamSizes = {}): Promise<TokenStream> {
  const where = "streams.open";
  const routers = [{ kind: "topk" }];
  const scenario = await resolveScenario(
    { ...sizes, name: where, topK: 1, regret: { every: 0 }, stream, routers },
    where,
  );
  if (hasOwnStreams(scenario)) {
    throw new InputError(`${where}: a stream of kind "${stream.kind}" answers a router's load; use simulate`);
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
  // The registry holds these kinds and no others.
  return describeKind(kind) as StreamDescription;
}
