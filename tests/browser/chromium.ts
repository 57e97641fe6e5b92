/** Chromium without a window, driven over its DevTools protocol. */

/** Where Chromium may be; `CHROMIUM` names another. */
const CANDIDATES = ["chromium", "chromium-browser", "google-chrome", "chrome"];
const START_MILLISECONDS = 30_000;
const WAIT_MILLISECONDS = 15_000;

type Json = Record<string, unknown>;

/** The name or path of a Chromium that runs here; null where there is none. */
export async function findChromium(): Promise<string | null> {
  const named = Deno.env.get("CHROMIUM");
  for (const name of named === undefined ? CANDIDATES : [named]) {
    const found = await new Deno.Command(name, { args: ["--version"], stdin: "null" }).output()
      .then(({ success }) => success, () => false);
    if (found) return name;
  }
  return null;
}

/** One browser; each page is in a profile of its own. */
export class Chromium {
  readonly #process: Deno.ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, PromiseWithResolvers<Json>>();
  readonly #pages = new Map<string, Page>();
  #lastId = 0;

  private constructor(process: Deno.ChildProcess, profile: string, socket: WebSocket) {
    this.#process = process;
    this.#profile = profile;
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
  }

  /** @param executable  see {@link findChromium} */
  static async start(executable: string): Promise<Chromium> {
    const profile = await Deno.makeTempDir({ prefix: "ether-edge-chromium-" });
    const process = new Deno.Command(executable, {
      args: [
        ...["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"],
        ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
        ...["--remote-debugging-port=0", "--remote-allow-origins=*", `--user-data-dir=${profile}`, "about:blank"],
      ],
      ...{ stdin: "null", stdout: "null", stderr: "null" },
    }).spawn();
    try {
      const [port, path] = (await written(`${profile}/DevToolsActivePort`)).split("\n");
      const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
      await new Promise((resolve, reject) => [socket.onopen, socket.onerror] = [resolve, reject]);
      return new Chromium(process, profile, socket);
    } catch (error) {
      process.kill("SIGKILL");
      throw error;
    }
  }

  /** Opens a page in a fresh profile. */
  async open(url: string): Promise<Page> {
    const { browserContextId } = await this.send("Target.createBrowserContext");
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId as string, browserContextId as string);
    this.#pages.set(sessionId as string, page);
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await page.send(`${domain}.enable`);
    await page.go(url);
    return page;
  }

  /** @internal One command of the protocol. */
  async send(method: string, params: Json = {}, sessionId?: string): Promise<Json> {
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<Json>();
    this.#answers.set(id, answer);
    this.#socket.send(JSON.stringify({ id, method, params, ...sessionId === undefined ? {} : { sessionId } }));
    return await answer.promise;
  }

  #hear(message: Json): void {
    const { id, error, result, method, params, sessionId } = message;
    if (typeof id !== "number") return this.#pages.get(sessionId as string)?.hear(method as string, params as Json);
    const answer = this.#answers.get(id);
    this.#answers.delete(id);
    if (error === undefined) answer?.resolve(result as Json);
    else answer?.reject(new Error((error as { message: string }).message));
  }

  /** Ends it, and removes its profiles. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.onclose = resolve);
    await this.send("Browser.close");
    await closed;
    await this.#process.status;
    await Deno.remove(this.#profile, { recursive: true }).catch(() => {});
  }
}

/** One page. */
export class Page {
  readonly #browser: Chromium;
  readonly #session: string;
  readonly #profile: string;
  /** What the console had to complain about, the browser's own complaints included. */
  readonly complaints: string[] = [];
  /** What was asked for, `METHOD URL`. */
  readonly requests: string[] = [];

  constructor(browser: Chromium, session: string, profile: string) {
    this.#browser = browser;
    this.#session = session;
    this.#profile = profile;
  }

  /** @internal One command of the protocol. */
  send(method: string, params: Json = {}): Promise<Json> {
    return this.#browser.send(method, params, this.#session);
  }

  /** @internal An event of the protocol. */
  hear(method: string, params: Json): void {
    if (method === "Runtime.exceptionThrown") this.complaints.push(JSON.stringify(params.exceptionDetails));
    if (method === "Log.entryAdded") {
      const { level, text, url } = params.entry as { level: string; text: string; url?: string };
      if (level !== "verbose") this.complaints.push(`${level}: ${text} ${url ?? ""}`);
    }
    if (method === "Runtime.consoleAPICalled") this.complaints.push(`console: ${JSON.stringify(params.args)}`);
    if (method === "Network.requestWillBeSent") {
      const { method, url } = params.request as { method: string; url: string };
      this.requests.push(`${method} ${url}`);
    }
  }

  /** Loads a URL. */
  async go(url: string): Promise<void> {
    await this.send("Page.navigate", { url });
    await this.until(`location.href !== "about:blank" && document.readyState === "complete"`);
  }

  /** What an expression of JavaScript is in the page. */
  async evaluate<T = unknown>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      ...{ expression, awaitPromise: true, returnByValue: true, userGesture: true },
    });
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return (result as { value: T }).value;
  }

  /** Waits until an expression is true. */
  async until(expression: string): Promise<void> {
    const end = Date.now() + WAIT_MILLISECONDS;
    for (;;) {
      // A navigation under way ends the context in which an expression runs.
      if (await this.evaluate<boolean>(`Boolean(${expression})`).catch(() => false)) return;
      if (Date.now() > end) {
        const text = await this.evaluate(`document.body.innerText`);
        throw new Error(`never true: ${expression}\n${this.complaints.join("\n")}\n${text}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Presses the element that a selector finds. */
  async press(selector: string): Promise<void> {
    await this.evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`);
  }

  /** Types text into the element that a selector finds, in place of what is there. */
  async type(selector: string, text: string): Promise<void> {
    await this.evaluate(`{ const e = document.querySelector(${JSON.stringify(selector)}); e.focus(); e.select(); }`);
    await this.send("Input.insertText", { text });
  }

  /** Chooses a value of a list. */
  async choose(selector: string, value: string): Promise<void> {
    await this.evaluate(`{
      const e = document.querySelector(${JSON.stringify(selector)});
      e.value = ${JSON.stringify(value)};
      e.dispatchEvent(new Event("change", { bubbles: true }));
    }`);
  }

  /** Makes the page as wide as this, in CSS pixels. */
  async resize(width: number, height = 900): Promise<void> {
    const mobile = width < 600;
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile });
  }

  /** As the system of a user who likes it so. */
  async prefer(scheme: "light" | "dark"): Promise<void> {
    await this.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  }

  /** The whole page as PNG. */
  async picture(): Promise<Uint8Array> {
    const { data } = await this.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: true });
    return Uint8Array.from(atob(data as string), (character) => character.charCodeAt(0));
  }

  /** Closes it with its profile. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.send("Target.disposeBrowserContext", { browserContextId: this.#profile });
  }
}

/** A file's text, as soon as it is whole. */
async function written(path: string): Promise<string> {
  const end = Date.now() + START_MILLISECONDS;
  while (Date.now() < end) {
    const text = await Deno.readTextFile(path).catch(() => "");
    if (text.includes("\n")) return text;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("Chromium did not start");
}
