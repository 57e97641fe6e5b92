import { assertEquals, assertMatch } from "@std/assert";
import { Metrics } from "../../../routes/observe/metrics.ts";

/** Prometheus's text, as its grammar has it: comments, and samples with labels and a number. */
const LINE =
  /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="(\\[\\"n]|[^\\"\n])*"(,[a-z_]+="(\\[\\"n]|[^\\"\n])*")*\})? -?[0-9.e+-]+)$/;

Deno.test("metrics: every line is of the format, also with labels that are not", async () => {
  const metrics = new Metrics();
  metrics.requests.add({ method: "GET", route: '/a"b\\c\nd', status: "200" });
  metrics.bytes.add({ route: "/x" }, 2 ** 40);
  metrics.seconds.observe(0.3);
  metrics.read({ name: "ether_now", help: "Now.", type: "gauge", read: () => 1.5 });
  for (const line of (await metrics.render()).trimEnd().split("\n")) assertMatch(line, LINE);
});

Deno.test("metrics: counters add up by their labels", async () => {
  const metrics = new Metrics();
  for (const status of ["200", "404", "200"]) metrics.requests.add({ method: "GET", status });
  const lines = (await metrics.render()).split("\n").filter((line) => line.startsWith("ether_requests_total{"));
  assertEquals(lines, [
    'ether_requests_total{method="GET",status="200"} 2',
    'ether_requests_total{method="GET",status="404"} 1',
  ]);
});

Deno.test("metrics: buckets count everything up to their bound", async () => {
  const metrics = new Metrics();
  for (const seconds of [0.001, 0.002, 3, 100]) metrics.seconds.observe(seconds);
  const lines = (await metrics.render()).split("\n").filter((line) => line.startsWith("ether_answer_seconds"));
  assertEquals(lines, [
    'ether_answer_seconds_bucket{le="0.001"} 1',
    'ether_answer_seconds_bucket{le="0.005"} 2',
    'ether_answer_seconds_bucket{le="0.025"} 2',
    'ether_answer_seconds_bucket{le="0.1"} 2',
    'ether_answer_seconds_bucket{le="0.5"} 2',
    'ether_answer_seconds_bucket{le="1"} 2',
    'ether_answer_seconds_bucket{le="2.5"} 2',
    'ether_answer_seconds_bucket{le="5"} 3',
    'ether_answer_seconds_bucket{le="10"} 3',
    'ether_answer_seconds_bucket{le="+Inf"} 4',
    "ether_answer_seconds_sum 103.003",
    "ether_answer_seconds_count 4",
  ]);
});

Deno.test("metrics: what a host cannot tell is left out, and labels have no end", async () => {
  const metrics = new Metrics();
  metrics.read({ name: "ether_unknown", help: "?", type: "gauge", read: () => undefined });
  for (let i = 0; i < 5000; i++) metrics.streams.add({ outcome: String(i) });
  assertEquals((await metrics.render()).includes("ether_unknown"), false);
  assertEquals([...metrics.streams.lines("x")].length, 2000);
});
