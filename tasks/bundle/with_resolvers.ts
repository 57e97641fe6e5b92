/** Takes the place of `Promise.withResolvers`, which Node 20 does not have; nothing global is changed. */
export function withResolvers<T>(): PromiseWithResolvers<T> {
  let resolve: PromiseWithResolvers<T>["resolve"];
  let reject: PromiseWithResolvers<T>["reject"];
  const promise = new Promise<T>((onResolve, onReject) => [resolve, reject] = [onResolve, onReject]);
  return { promise, resolve: resolve!, reject: reject! };
}
