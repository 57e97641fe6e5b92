import { assertEquals, assertRejects } from "@std/assert";
import { GuardedClient } from "../../../runtime/deno/guarded_client.ts";
import { isPublicAddress } from "../../../runtime/deno/public_address.ts";
import { EtherError } from "../../../runtime/error.ts";
import { someBytes, startHost } from "../remote/loopback_host.ts";

const PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "192.169.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"];
const OTHERS = [
  ...[
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.1.1",
  ],
  ...[
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
  ],
  ...[
    "::",
    "::1",
    "::7f00:1",
    "::ffff:8.8.8.8",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "fe80::1",
    "fec0::1",
  ],
  ...["fc00::1", "fd00:ec2::254", "ff02::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "100::1", "4000::1", "", "x"],
];

Deno.test("public address: only what anybody could reach is public", () => {
  assertEquals(PUBLIC.filter((address) => !isPublicAddress(address)), []);
  assertEquals(OTHERS.filter(isPublicAddress), []);
});

/** A request for a URL. */
const get = (client: GuardedClient, url: string, signal?: AbortSignal) => {
  return client.send({ url: new URL(url), method: "GET", headers: new Headers({ "x-test": "1" }), signal });
};

Deno.test("guarded client: a name is resolved once, and the connection goes to the address that was checked", async () => {
  await using host = startHost((request) => new Response(`to ${request.headers.get("host")}`));
  const port = new URL(host.origin).port;
  const asked: string[] = [];
  const client = new GuardedClient({
    allowsPrivate: () => true,
    // The second answer would lead elsewhere.
    resolve: (name) => Promise.resolve(asked.push(name) === 1 ? [{ address: "127.0.0.1", family: 4 }] : []),
  });
  const response = await get(client, `http://model.example:${port}/`);
  assertEquals([await response.text(), asked], [`to model.example:${port}`, ["model.example"]]);
  client.close();
});

Deno.test("guarded client: one private address among public ones is refused before anything is sent", async () => {
  await using host = startHost(() => new Response("x"));
  const addresses = [{ address: "8.8.8.8", family: 4 }, { address: "127.0.0.1", family: 4 }];
  const client = new GuardedClient({ allowsPrivate: () => false, resolve: () => Promise.resolve(addresses) });
  const url = `http://model.example:${new URL(host.origin).port}/`;
  const error = await assertRejects(
    () => get(client, url),
    EtherError,
    "has the address 127.0.0.1, which is not public",
  );
  assertEquals([error.code, host.asked.length], ["host_refused", 0]);
  assertEquals((await assertRejects(() => get(client, host.origin), EtherError)).code, "host_refused");
  client.close();
});

Deno.test("guarded client: redirects are not followed", async () => {
  await using host = startHost(() => new Response(null, { status: 302, headers: { location: "/elsewhere" } }));
  const client = new GuardedClient({ allowsPrivate: () => true });
  const response = await get(client, host.origin);
  await response.body?.cancel();
  assertEquals([response.status, response.headers.get("location"), host.asked.length], [302, "/elsewhere", 1]);
  client.close();
});

Deno.test("guarded client: a body that nobody reads is not fetched, and a cancelled one ends the connection", async () => {
  let sent = 0;
  const cancelled = Promise.withResolvers<void>();
  const piece = someBytes(1 << 20);
  await using host = startHost(() => {
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue((sent++, piece)),
      cancel: () => cancelled.resolve(),
    }, { highWaterMark: 0 });
    return new Response(body);
  });
  const client = new GuardedClient({ allowsPrivate: () => true });
  const reader = (await get(client, host.origin)).body!.getReader();
  await reader.read();
  await new Promise((resolve) => setTimeout(resolve, 300));
  // Sockets take some megabytes by themselves; without back-pressure it would be hundreds.
  assertEquals(sent < 32, true, `${sent} MiB were sent`);
  await reader.cancel();
  await cancelled.promise;
  client.close();
});

Deno.test("guarded client: an abort ends a request that has no answer, and a body that has begun", async () => {
  const arrived = Promise.withResolvers<void>();
  await using host = startHost((request) => {
    arrived.resolve();
    if (request.url.endsWith("/never")) return new Promise<Response>(() => {});
    return new Response(new ReadableStream({ start: (controller) => controller.enqueue(someBytes(10)) }));
  });
  const client = new GuardedClient({ allowsPrivate: () => true });
  const early = new AbortController();
  const waiting = assertRejects(() => get(client, `${host.origin}/never`, early.signal));
  await arrived.promise;
  early.abort(new Error("enough"));
  await waiting;
  const late = new AbortController();
  const reader = (await get(client, host.origin, late.signal)).body!.getReader();
  await reader.read();
  late.abort(new Error("enough"));
  await assertRejects(() => reader.read());
  client.close();
});
