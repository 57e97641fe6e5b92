/**
 * The HTTP app, for any host of Hono: `createApp` over `Repositories`, whose stores the host brings.
 *
 * @module
 */
export { type AppOptions, type AppType, createApp } from "../../../routes/app.ts";
export { EtherError } from "../../../runtime/error.ts";
export * from "../../../runtime/repositories/repositories.ts";
export * from "../../../runtime/repositories/stores.ts";
