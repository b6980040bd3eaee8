import { createReadStream, readFileSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream";
import { fileURLToPath } from "node:url";
import { InputError } from "../core/input-error.ts";

/** The site, as `npm run site` builds it. */
const site = new URL("../../build/site/", import.meta.url);

const types: Readonly<Record<string, string>> = {
  "index.html": "text/html; charset=utf-8",
  "explore.js": "text/javascript; charset=utf-8",
  "explore-worker.js": "text/javascript; charset=utf-8",
  "explore.css": "text/css; charset=utf-8",
  "kernels.wasm": "application/wasm",
};

/** A file that the page may read, under the name that scenarios give it. */
export interface ServedFile {
  readonly name: string;
  readonly path: string;
}

/** A server of the site on this machine alone. */
export interface ExploreServer {
  /** `http://127.0.0.1:PORT/`. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves the site, and `files` as `files/0`, `files/1`, …, on the loopback address. It answers only requests that name that
 * address: a page of another site, whose name somebody made lead here, gets nothing. Throws `InputError` if the port is taken,
 * and `Error` if the site was not built.
 *
 * @param port 0 for any that is free
 */
export async function serveSite(files: readonly ServedFile[], port: number): Promise<ExploreServer> {
  const pages = new Map(Object.keys(types).map((name) => [name, readSite(name)]));
  const names = JSON.stringify(files.map(({ name }) => name));
  const html = pages.get("index.html")!.toString("utf8");
  // In an attribute, quotes and ampersands are all that would end or change it.
  const escaped = names.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
  pages.set("index.html", Buffer.from(html.replace('content="[]"', () => `content="${escaped}"`)));

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const { port: own } = server.address() as AddressInfo;
    response.setHeader("Cache-Control", "no-store");
    response.setHeader("X-Content-Type-Options", "nosniff");
    response.setHeader("Cross-Origin-Resource-Policy", "same-origin");
    response.setHeader("X-Frame-Options", "DENY");
    const hosts = [`127.0.0.1:${own}`, `localhost:${own}`];
    if (!hosts.includes(request.headers.host ?? "")) {
      refuse(response, 421, "This server answers requests to 127.0.0.1 and localhost only.");
      return;
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("Allow", "GET, HEAD");
      refuse(response, 405, "Only GET and HEAD are allowed.");
      return;
    }
    const [path] = (request.url ?? "").split(/[?#]/);
    const name = path === "/" ? "index.html" : path.slice(1);
    const page = pages.get(name);
    if (page !== undefined) {
      response.writeHead(200, { "Content-Type": types[name], "Content-Length": page.length });
      response.end(request.method === "HEAD" ? undefined : page);
      return;
    }
    const [, position] = /^files\/(\d{1,4})$/.exec(name) ?? [];
    const file = position === undefined ? undefined : files[Number(position)];
    if (file === undefined) refuse(response, 404, "There is no such file.");
    else sendFile(response, file, request.method === "HEAD");
  }

  const server = createServer(answer);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const isTaken = error.code === "EADDRINUSE" || error.code === "EACCES";
      const reason = error.code === "EACCES" ? "needs more rights" : "is taken";
      reject(isTaken ? new InputError(`--port ${port}: the port ${reason}; leave it out for a free one`) : error);
    });
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function sendFile(response: ServerResponse, { path }: ServedFile, isHead: boolean): void {
  let size: number;
  try {
    size = statSync(path).size;
  } catch {
    refuse(response, 404, "The file is gone.");
    return;
  }
  response.writeHead(200, { "Content-Type": "application/octet-stream", "Content-Length": size });
  if (isHead || size === 0) response.end();
  // Reads no further than the length that was promised, though the file may grow; a reader that goes away ends it.
  else pipeline(createReadStream(path, { end: size - 1 }), response, () => undefined);
}

function refuse(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" });
  response.end(`${message}\n`);
}

function readSite(name: string): Buffer {
  const file = fileURLToPath(new URL(name, site));
  try {
    return readFileSync(file);
  } catch {
    throw new Error(`${file} is missing; npm run site makes it`);
  }
}
