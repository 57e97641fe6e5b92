/** Numbers for Prometheus: counters, gauges and one histogram, as text 0.0.4. */

/** Labels of one sample; their names are ours, their values may be anything. */
export type Labels = Readonly<Record<string, string>>;

/** The content type of {@link Metrics.render}. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Routes × methods × statuses are a few hundred; more would mean that a label comes from requests. */
const MAX_SAMPLES = 2000;

/** Upper bounds in seconds, up to a client's patience for its first byte. */
const SECONDS = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10];

/** A number that only grows, one for each set of labels. */
export class Counter {
  readonly #samples = new Map<string, number>();

  add(labels: Labels, amount = 1): void {
    const key = labelText(labels);
    const before = this.#samples.get(key);
    if (before === undefined && this.#samples.size >= MAX_SAMPLES) return;
    this.#samples.set(key, (before ?? 0) + amount);
  }

  /** The samples, as `{labels} value`. */
  *lines(name: string): Generator<string> {
    for (const [labels, value] of this.#samples) yield `${name}${labels} ${value}`;
  }
}

/** How often a value was at most each bound. */
export class Histogram {
  readonly #counts = new Array<number>(SECONDS.length + 1).fill(0);
  #sum = 0;

  observe(value: number): void {
    const bucket = SECONDS.findIndex((bound) => value <= bound);
    this.#counts[bucket === -1 ? SECONDS.length : bucket]! += 1;
    this.#sum += value;
  }

  *lines(name: string): Generator<string> {
    let count = 0;
    for (const [i, own] of this.#counts.entries()) {
      count += own;
      yield `${name}_bucket{le="${SECONDS[i] ?? "+Inf"}"} ${count}`;
    }
    yield `${name}_sum ${this.#sum}`;
    yield `${name}_count ${count}`;
  }
}

/** A number that is read when it is asked for. */
export interface Reading {
  readonly name: string;
  readonly help: string;
  readonly type: "gauge" | "counter";
  /** Undefined: the host cannot tell. */
  readonly read: () => number | undefined | Promise<number | undefined>;
}

/** What one app counts. */
export class Metrics {
  /** By method, route and status. */
  readonly requests: Counter = new Counter();
  /** Bytes of bodies that were streamed, by route. */
  readonly bytes: Counter = new Counter();
  /** Streams by how they ended. */
  readonly streams: Counter = new Counter();
  /** Seconds until a request was answered, without its stream. */
  readonly seconds: Histogram = new Histogram();
  readonly #readings: Reading[] = [];

  /** Adds a number that is read whenever {@link render} is called. */
  read(...readings: readonly Reading[]): void {
    this.#readings.push(...readings);
  }

  /** The text of all numbers. */
  async render(): Promise<string> {
    const lines = [
      ...family("ether_requests_total", "Requests answered.", "counter"),
      ...this.requests.lines("ether_requests_total"),
      ...family("ether_streamed_bytes_total", "Bytes of streamed bodies.", "counter"),
      ...this.bytes.lines("ether_streamed_bytes_total"),
      ...family("ether_streams_total", "Streamed bodies by how they ended.", "counter"),
      ...this.streams.lines("ether_streams_total"),
      ...family("ether_answer_seconds", "Seconds until a request was answered, without its stream.", "histogram"),
      ...this.seconds.lines("ether_answer_seconds"),
    ];
    for (const { name, help, type, read } of this.#readings) {
      const value = await read();
      if (value !== undefined) lines.push(...family(name, help, type), `${name} ${value}`);
    }
    return `${lines.join("\n")}\n`;
  }
}

function family(name: string, help: string, type: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function labelText(labels: Labels): string {
  const escaped = (value: string) => value.replace(/[\\"\n]/g, (one) => one === "\n" ? "\\n" : `\\${one}`);
  return `{${Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`).join(",")}}`;
}
