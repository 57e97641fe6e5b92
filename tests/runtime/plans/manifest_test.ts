import { assertEquals, assertThrows } from "@std/assert";
import { EtherError } from "../../../runtime/error.ts";
import { encodeManifest, parseManifest } from "../../../runtime/plans/manifest.ts";

const DIGEST = `sha256:${"0".repeat(64)}`;
const OUTPUTS = [
  { path: "config.json", size: 2, digest: DIGEST },
  { path: "unet/model.safetensors", size: 9, digest: `sha256-tree1m:${"a".repeat(64)}`, sha256: "b".repeat(64) },
];

function manifestWith(change: Record<string, unknown>): Uint8Array<ArrayBuffer> {
  const bytes = encodeManifest({ base: { files: [] }, adapters: [], outputs: OUTPUTS, tensors: [], left_out: [] });
  return new TextEncoder().encode(JSON.stringify({ ...JSON.parse(new TextDecoder().decode(bytes)), ...change }));
}

Deno.test("parseManifest: what encodeManifest wrote, outputs in their order", () => {
  const found = parseManifest(manifestWith({}), "ether-merge.json");
  assertEquals(found, [{ ...OUTPUTS[0]!, sha256: undefined }, OUTPUTS[1]!]);
});

const refused: [string, Record<string, unknown>][] = [
  ["another version", { version: 2 }],
  ["no outputs", { outputs: undefined }],
  ["a path upwards", { outputs: [{ ...OUTPUTS[0], path: "../config.json" }] }],
  ["an absolute path", { outputs: [{ ...OUTPUTS[0], path: "/etc/passwd" }] }],
  ["an empty part", { outputs: [{ ...OUTPUTS[0], path: "a//b" }] }],
  ["an unknown digest", { outputs: [{ ...OUTPUTS[0], digest: "md5:00" }] }],
  ["a digest with more after it", { outputs: [{ ...OUTPUTS[0], digest: `${DIGEST}\n` }] }],
  ["a size that is no integer", { outputs: [{ ...OUTPUTS[0], size: 1.5 }] }],
  ["a negative size", { outputs: [{ ...OUTPUTS[0], size: -1 }] }],
];

for (const [what, change] of refused) {
  Deno.test(`parseManifest: ${what} is bad_config`, () => {
    const error = assertThrows(() => parseManifest(manifestWith(change), "ether-merge.json"), EtherError);
    assertEquals([error.code, error.file], ["bad_config", "ether-merge.json"]);
  });
}
