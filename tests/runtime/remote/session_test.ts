import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import { serveBytes, someBytes, startHost, storageFor } from "./loopback_host.ts";

const BYTES = someBytes(100);

/** Asks for a URL and gives the status. */
const ask = (made: ReturnType<typeof storageFor>, url: string) => {
  return made.storage.ask(new URL(url), "name", async ({ response }) => {
    await response.body?.cancel();
    return response.status;
  });
};

Deno.test("session: a redirect to another host is followed where it is allowed, and the token does not go along", async () => {
  await using store = startHost((request) => serveBytes(request, BYTES));
  await using hub = startHost((request) => {
    // Within the endpoint, then away from it.
    if (request.url.endsWith("/a")) return new Response(null, { status: 307, headers: { location: "/b" } });
    return Response.redirect(`${store.origin}/c?signed=1`, 302);
  });
  using made = storageFor(hub.origin, { token: "hf_secret", hosts: [store.origin] });
  assertEquals(await ask(made, `${hub.origin}/a`), 200);
  assertEquals(hub.asked.map(({ headers }) => headers.get("authorization")), ["Bearer hf_secret", "Bearer hf_secret"]);
  assertEquals(store.asked.map(({ path, headers }) => [path, headers.get("authorization")]), [["/c?signed=1", null]]);
});

Deno.test("session: a host that sends back to the endpoint does not get the token used", async () => {
  await using hub = startHost();
  await using store = startHost(() => Response.redirect(`${hub.origin}/private`, 302));
  hub.answer = ({ url }) => url.endsWith("/private") ? new Response("ok") : Response.redirect(`${store.origin}/`, 302);
  using made = storageFor(hub.origin, { token: "hf_secret", hosts: [store.origin] });
  assertEquals(await ask(made, `${hub.origin}/start`), 200);
  assertEquals(hub.asked.map(({ headers }) => headers.has("authorization")), [true, false]);
});

/** Where a host must not lead, and why. The metadata service of clouds is link-local. */
const REFUSED: readonly (readonly [location: string, message: RegExp])[] = [
  ["http://169.254.169.254/latest/meta-data/", /169\.254\.169\.254 is not asked: it is not https/],
  ["https://169.254.169.254/latest/", /169\.254\.169\.254, which is not public/],
  ["https://10.0.0.1/", /10\.0\.0\.1, which is not public/],
  ["https://127.0.0.1/", /127\.0\.0\.1, which is not public/],
  ["https://0x7f.1/", /127\.0\.0\.1, which is not public/],
  ["https://2130706433/", /127\.0\.0\.1, which is not public/],
  ["https://017700000001/", /127\.0\.0\.1, which is not public/],
  ["https://[::1]/", /::1, which is not public/],
  ["https://[::ffff:127.0.0.1]/", /::ffff:7f00:1, which is not public/],
  ["https://[64:ff9b::7f00:1]/", /64:ff9b::7f00:1, which is not public/],
  ["https://localhost/", /localhost has the address .*, which is not public/],
  ["https://u:p@example.org/", /carries a name or a password/],
  ["file:///etc/passwd", /is not https/],
];

for (const [location, message] of REFUSED) {
  Deno.test(`session: a redirect to ${location} is refused, although public redirects are allowed`, async () => {
    await using hub = startHost(() => new Response(null, { status: 302, headers: { location } }));
    using made = storageFor(hub.origin, { publicRedirects: true });
    const error = await assertRejects(() => ask(made, `${hub.origin}/`), EtherError);
    assertEquals([error.code, error.file, made.waits], ["host_refused", "name", []]);
    assertMatch(error.message, message);
  });
}

Deno.test("session: without public redirects only named hosts are followed", async () => {
  await using hub = startHost(() => Response.redirect("https://cdn.example.org/x?signature=secret", 302));
  using made = storageFor(hub.origin, { hosts: ["other.example.org"] });
  const error = await assertRejects(() => ask(made, `${hub.origin}/`), EtherError);
  assertEquals(error.code, "host_refused");
  assertEquals(error.message, "https://cdn.example.org is not asked: cdn.example.org is not among the allowed hosts");
});

Deno.test("session: a circle of redirects ends, a redirect to nowhere is an error", async () => {
  await using hub = startHost((request) => Response.redirect(request.url, 302));
  using made = storageFor(hub.origin);
  const circle = await assertRejects(() => ask(made, `${hub.origin}/`), EtherError, "more than 5 redirects");
  assertEquals([circle.code, hub.asked.length], ["io_error", 6]);
  hub.answer = () => new Response(null, { status: 302 });
  await assertRejects(() => ask(made, `${hub.origin}/`), EtherError, "redirects to nowhere");
});

Deno.test("session: more headers than any honest host sends are refused", async () => {
  await using hub = startHost(() => {
    return new Response("x", { headers: Array.from({ length: 300 }, (_, i): [string, string] => [`x-${i}`, "1"]) });
  });
  using made = storageFor(hub.origin);
  const error = await assertRejects(() => ask(made, `${hub.origin}/`), EtherError);
  assertEquals(error.code, "io_error");
});

Deno.test("session: a host that is not there is an error after some attempts", async () => {
  const gone = startHost();
  await gone[Symbol.asyncDispose]();
  using made = storageFor(gone.origin);
  const error = await assertRejects(() => ask(made, `${gone.origin}/`), EtherError, "does not answer");
  assertEquals([error.code, made.waits.length], ["io_error", 5]);
});
