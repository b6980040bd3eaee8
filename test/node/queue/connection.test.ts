import { expect, it, onTestFinished, vi } from "vitest";
import { connectQueue, readQueueAddress } from "../../../src/node/queue/connection.ts";
import { temporaryFolder } from "../../support/program.ts";
import { hasQueueServer, type QueueServer, startCuttableWay, startQueueServer } from "../../support/queue-server.ts";

async function startServer(words: readonly string[] = []): Promise<QueueServer> {
  const server = await startQueueServer(temporaryFolder(), words);
  onTestFinished(() => server.kill());
  return server;
}

it.runIf(hasQueueServer)(
  "takes a connection that falls silent for dead, and sends again what got no answer",
  async () => {
    const server = await startServer();
    const way = await startCuttableWay(server.port);
    onTestFinished(() => way.close());
    const onCut = vi.fn();
    const connection = await connectQueue(readQueueAddress(way.url), 10_000, onCut, 300);
    onTestFinished(() => connection.close());
    const { client } = connection;
    expect(await client.set("key", "1")).toBe("OK");
    way.silence();
    const unanswered = client.set("key", "2");
    await vi.waitFor(() => expect(onCut).toHaveBeenCalledTimes(1), 5000);
    way.mend();
    expect(await unanswered).toBe("OK");
    expect(await client.get("key")).toBe("2");
  },
);

it.runIf(hasQueueServer)("gives up a server that never answers", async () => {
  const server = await startServer();
  const way = await startCuttableWay(server.port);
  onTestFinished(() => way.close());
  way.silence();
  const connection = await connectQueue(readQueueAddress(way.url), 500, () => undefined, 200);
  onTestFinished(() => connection.close());
  await expect(connection.lost).rejects.toThrow(/: the queue has been unreachable for 0\.5 s: /);
});

it.runIf(hasQueueServer)("says where the password goes if the server asks for one", async () => {
  const server = await startServer(["--requirepass", "s3cret"]);
  const connection = await connectQueue(readQueueAddress(server.url), 10_000, () => undefined);
  onTestFinished(() => connection.close());
  await expect(connection.lost).rejects.toThrow(
    /the queue refuses the connection: NOAUTH.*; put redis:\/\/USER:PASSWORD@HOST:PORT .* into MOESIM_QUEUE and use --queue env/,
  );
});
