/** One HTTP exchange: what the host brings, since only it can look at the address that a name stands for. */

/** A request, as it goes out. */
export interface HttpRequest {
  /** `http:` or `https:`. */
  readonly url: URL;
  readonly method: "GET" | "HEAD" | "POST";
  readonly headers: Headers;
  readonly body?: string | undefined;
  /** Ends the exchange: before the answer by a rejection, later by an error of the body. */
  readonly signal?: AbortSignal | undefined;
}

/** Sends requests. */
export interface HttpClient {
  /**
   * Sends one request and gives its answer, a redirect as it is: who follows one has to check it first. The body is read
   * as it is pulled, and ends with an error where the connection does before it is complete.
   *
   * @throws {EtherError} `host_refused` where the host's address must not be reached; anything else for a failed
   * exchange
   */
  send(request: HttpRequest): Promise<Response>;
  /** Ends the connections that are kept for later. */
  close(): void;
}
