import { createRequire } from "node:module";
import { isIP } from "node:net";
import type { Redis, RedisOptions } from "ioredis";
import { InputError } from "../../core/input-error.ts";
import { readSmallFile } from "../files/input-file.ts";

type ServerOptions = Pick<RedisOptions, "host" | "port" | "db" | "username" | "password" | "tls">;

/** The server of a queue. */
export interface QueueAddress {
  readonly options: ServerOptions;
  /** For messages and records: without user and password. */
  readonly name: string;
}

/** The environment variable with the URL of the queue. */
export const queueVariable = "MOESIM_QUEUE";
const maxUrlBytes = 1 << 16;
const how = `give redis://HOST:PORT, rediss://HOST:PORT for TLS, file:PATH of a file with such a URL, or env for that in ${queueVariable}`;

/**
 * Reads the value of `--queue`: a URL, `file:PATH`, or `env`. A password can only be in a file or in the environment: everybody
 * on a machine can read the command lines of its processes. Throws `InputError`, whose message shows no part of a URL with a
 * password.
 */
export function readQueueAddress(given: string): QueueAddress {
  if (given === "env") {
    const url = process.env[queueVariable] ?? "";
    if (url === "") throw new InputError(`--queue env: ${queueVariable} is not set; put the URL of the queue into it`);
    return parseAddress(url.trim(), queueVariable);
  }
  if (given.startsWith("file:")) {
    const file = given.slice("file:".length);
    return parseAddress(readSmallFile(file, maxUrlBytes).toString("utf8").trim(), file);
  }
  const address = parseAddress(given, "--queue");
  if (address.options.password === undefined) return address;
  throw new InputError(
    `--queue: a password on the command line can be read by everybody on this machine; put the URL into ${queueVariable} ` +
      "and use --queue env, or into a file and use --queue file:PATH",
  );
}

function parseAddress(text: string, where: string): QueueAddress {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new InputError(`${where}: is not the URL of a queue; ${how}`);
  }
  const { protocol, hostname, port, pathname, search, hash, username, password } = url;
  const database = /^\/?(\d{0,4})$/.exec(pathname)?.[1];
  const isKnown = protocol === "redis:" || protocol === "rediss:";
  if (!isKnown || hostname === "" || database === undefined || search !== "" || hash !== "") {
    throw new InputError(`${where}: is not the URL of a queue; ${how}`);
  }
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const options: ServerOptions = {
    host,
    port: port === "" ? 6379 : Number(port),
    db: Number(database),
    ...(username !== "" && { username: decode(username, where) }),
    ...(password !== "" && { password: decode(password, where) }),
    ...(protocol === "rediss:" && { tls: isIP(host) ? {} : { servername: host } }),
  };
  return { options, name: `${protocol}//${url.host}${database === "" ? "" : `/${database}`}` };
}

function decode(text: string, where: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new InputError(`${where}: a percent sign in the user or password must be written as %25`);
  }
}

/** A connection that outlives cuts, restarts of the server and sleeping networks, up to a limit. */
export interface QueueConnection {
  readonly client: Redis;
  /** Rejects with `InputError` once the server has been unreachable for too long, or refuses the password; never resolves. */
  readonly lost: Promise<never>;
  /** Has {@link close} call `end`, which closes the connections that BullMQ made from the client. */
  whenClosed(end: () => Promise<unknown>): void;
  close(): void;
}

const packages = ["bullmq", "ioredis"] as const;
const mostRetryMs = 1000;
/** How replies begin that no retry changes. */
const refusals = /^(NOAUTH|WRONGPASS|NOPERM|ERR (AUTH|invalid password|invalid username|DB index|Client sent AUTH))/i;

const accessRefusals = /^(NOAUTH|WRONGPASS|ERR (AUTH|invalid password))/i;
const howToGivePassword =
  `put redis://USER:PASSWORD@HOST:PORT (without USER if the server has one password for all) into ${queueVariable} and use ` +
  "--queue env, or into a file and use --queue file:PATH";

/** The codes of errors about certificates whose authority this machine does not know. */
const untrusted = /SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)/;
const howToTrust = "name the certificate of its authority in NODE_EXTRA_CA_CERTS";

/** Throws `InputError`, saying what to install, if the packages of the queue are missing. */
export function checkQueueInstalled(): void {
  const { resolve } = createRequire(import.meta.url);
  for (const name of packages) {
    try {
      resolve(name);
    } catch {
      throw new InputError(
        `--queue: this needs BullMQ, which is not installed. Install it beside moesim (with -g if moesim is): npm install ` +
          packages.map((each) => `${each}@6`).join(" "),
      );
    }
  }
}

/**
 * Connects to the server; returns at once. Throws `InputError` if BullMQ is not installed.
 *
 * @param patienceMs how long the server may be unreachable, from the start or later
 * @param onCut called with the reason when the server cannot be reached, once until it can
 * @param silenceMs after so long without an answer, a connection is taken for dead: a cut cable or a lost route sends no word
 */
export async function connectQueue(
  { options, name }: QueueAddress,
  patienceMs: number,
  onCut: (reason: string) => void,
  silenceMs = 20_000,
): Promise<QueueConnection> {
  checkQueueInstalled();
  const { Redis } = await import("ioredis");
  const ends: (() => Promise<unknown>)[] = [];
  let isClosed = false;
  let reason = "no answer";
  let timer: NodeJS.Timeout | null = null;
  let fail: (error: InputError) => void = () => undefined;
  const lost = new Promise<never>((_, reject) => {
    fail = reject;
  });
  // Who races with it handles it; it may also come when nobody waits any more.
  lost.catch(() => undefined);
  const startWaiting = () => {
    timer ??= setTimeout(() => {
      fail(new InputError(`${name}: the queue has been unreachable for ${patienceMs / 1000} s: ${reason}`));
    }, patienceMs);
  };

  const client = new Redis({
    ...options,
    // Commands wait for the connection; `lost` says when to give up.
    maxRetriesPerRequest: null,
    connectTimeout: silenceMs,
    socketTimeout: silenceMs,
    keepAlive: silenceMs,
    retryStrategy: (times: number) => (isClosed ? null : Math.min(50 * 2 ** times, mostRetryMs)),
  });
  client.on("error", (error: Error) => {
    const { message } = error;
    if (refusals.test(message)) {
      const remedy = accessRefusals.test(message) ? `; ${howToGivePassword}` : "";
      fail(new InputError(`${name}: the queue refuses the connection: ${message}${remedy}`));
    }
    const { code } = error as NodeJS.ErrnoException;
    if (untrusted.test(code ?? "")) {
      fail(new InputError(`${name}: the certificate of the queue is not trusted (${message}); ${howToTrust}`));
    }
    reason = message === "" ? (code ?? reason) : message;
  });
  startWaiting();
  let isTold = false;
  client.on("ready", () => {
    isTold = false;
    if (timer !== null) clearTimeout(timer);
    timer = null;
  });
  client.on("close", () => {
    if (isClosed) return;
    startWaiting();
    if (!isTold) onCut(reason);
    isTold = true;
  });
  return {
    client,
    lost,
    whenClosed: (end) => void ends.push(end),
    close() {
      isClosed = true;
      if (timer !== null) clearTimeout(timer);
      // What waits for the server ends with an error, which nobody needs.
      for (const end of ends) end().catch(() => undefined);
      client.disconnect();
    },
  };
}
