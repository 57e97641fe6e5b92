/** What the home page's script computes, without a page. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { clientLines } from "../../../routes/pages/client/client_lines.js";
import { layerGrid, MEASURES } from "../../../routes/pages/client/layer_grid.js";
import { rootOf } from "../../../routes/pages/client/server.js";

const TARGET = {
  endpoint: "https://edge.example/it's $(here)'s/hub",
  repo: "org/tiny",
  revision: "poet@0.5+brief",
  file: "sub dir/model é.safetensors",
  needsToken: false,
};

function side(name: "in" | "out", distance: number, angle: number | null = null) {
  const angles = angle === null ? null : { mean: angle, min: angle, max: angle };
  return { side: name, distance, block_distance: { mean: distance / 2, max: distance }, angle: angles };
}

/** What a shell makes of lines: each command's words. */
async function shellWords(lines: string): Promise<string[][]> {
  const commands = ["hf", "vllm", "curl"].map((name) =>
    `${name}() { printf '%s\\0' ${name} "$HF_ENDPOINT" "$@"; echo; }`
  );
  const { stdout } = await new Deno.Command("sh", {
    args: ["-eu", "-c", `HF_ENDPOINT=none\n${commands.join("\n")}\n${lines}`],
    stdin: "null",
  }).output();
  return new TextDecoder().decode(stdout).split("\n").filter(Boolean).map((line) => line.split("\0").slice(0, -1));
}

const lineOf = (name: string, target = TARGET) => clientLines(target).find((line) => line.name === name)!.text;

Deno.test("clientLines: a shell gets each word as it is, whatever the endpoint has in it", async () => {
  const { endpoint, repo, revision } = TARGET;
  assertEquals(await shellWords(lineOf("hf")), [["hf", endpoint, "download", repo, "--revision", revision]]);
  assertEquals(await shellWords(lineOf("vLLM")), [
    ["vllm", endpoint, "serve", repo, "--revision", revision, "--tokenizer-revision", revision],
  ]);
  const url = `${endpoint}/${repo}/resolve/${revision}/sub%20dir/model%20%C3%A9.safetensors`;
  assertEquals((await shellWords(lineOf("curl"))).map((words) => words.at(-1)), [url, url]);
});

Deno.test("clientLines: JavaScript parses, and Python's strings are JSON's", () => {
  for (const needsToken of [false, true]) {
    for (const name of ["@huggingface/hub", "transformers.js"]) {
      const code = lineOf(name, { ...TARGET, needsToken }).replace(/^import .*$/m, "");
      Object.getPrototypeOf(async () => {}).constructor(code);
      assertStringIncludes(code, JSON.stringify(TARGET.endpoint).slice(0, -1));
    }
  }
  assertStringIncludes(lineOf("transformers"), `os.environ["HF_ENDPOINT"] = ${JSON.stringify(TARGET.endpoint)}\n`);
  assertStringIncludes(lineOf("huggingface_hub"), `snapshot_download("org/tiny", revision="poet@0.5+brief", `);
});

Deno.test("clientLines: a token has its place wherever the client can send one, and none without need", () => {
  for (const { name, text } of clientLines({ ...TARGET, needsToken: true })) {
    assertEquals(text.includes("hf_") || text.includes("HF_TOKEN"), name !== "transformers.js", name);
  }
  for (const { name, text } of clientLines(TARGET)) assert(!/hf_\.|HF_TOKEN/.test(text), name);
});

Deno.test("layerGrid: a row for each kind of module and side, a column for each layer, in the order of numbers", () => {
  const layers = [10, 2, 0].flatMap((layer) => [
    { module: `model.layers.${layer}.self_attn.q_proj`, sides: [side("in", layer), side("out", 1)] },
    { module: `model.layers.${layer}.mlp.up_proj`, sides: [side("in", 3)] },
  ]);
  const grid = layerGrid([...layers, { module: "lm_head", sides: [side("in", 7)] }], MEASURES[0]!);
  assertEquals(grid.columns, ["0", "2", "10", ""]);
  assertEquals(grid.rows, ["self_attn.q_proj · in", "self_attn.q_proj · out", "mlp.up_proj · in", "lm_head · in"]);
  assertEquals(grid.cells.length, 10);
  const cell = grid.cells.find(({ row, layer }) => row === "self_attn.q_proj · in" && layer === "10")!;
  assertEquals([cell.x, cell.y, cell.value, cell.module], [2, 0, 10, "model.layers.10.self_attn.q_proj"]);
  assertEquals([grid.floor, grid.max, grid.alike], [0, 10, false]);
});

Deno.test("layerGrid: experts of a layer are one cell with their mean; stacks of layers are kept apart", () => {
  const experts = [1, 2, 6].map((value, i) => {
    return { module: `model.layers.0.mlp.experts.${i}.up_proj`, sides: [side("in", value)] };
  });
  const mean = layerGrid(experts, MEASURES[0]!);
  assertEquals(mean.cells.map(({ row, value, count }) => [row, value, count]), [["mlp.experts.*.up_proj · in", 3, 3]]);
  const stacks = ["encoder", "decoder"].map((stack) => {
    return { module: `${stack}.block.0.q`, sides: [side("in", 1)] };
  });
  assertEquals(layerGrid(stacks, MEASURES[0]!).rows, ["encoder.block.*.q · in", "decoder.block.*.q · in"]);
});

Deno.test("layerGrid: shades begin at 0 unless all values are far from it; equal values are said to be", () => {
  const of = (...values: number[]) =>
    layerGrid(values.map((value, i) => ({ module: `l.${i}.q`, sides: [side("in", value)] })), MEASURES[0]!);
  assertEquals([of(1, 4).floor, of(3, 4).floor, of(4, 4).floor], [0, 3, 0]);
  assertEquals([of(3, 4).alike, of(4, 4).alike, of(0).max, of().cells.length], [false, true, 0, 0]);
});

Deno.test("layerGrid: angles are shown where there are any", () => {
  const angle = MEASURES.find(({ id }) => id === "angle")!;
  const layers = [{ module: "l.0.q", sides: [side("in", 1, 30), side("out", 1)] }];
  assertEquals(layerGrid(layers, angle).cells.map(({ row, value }) => [row, value]), [["q · in", 30]]);
});

Deno.test("rootOf: the page's own place, with one slash at its end", () => {
  const at = (url: string) => rootOf(new URL(url));
  assertEquals([at("https://h/"), at("https://h/hub"), at("http://h:1/a/b/?q#f")], [
    ...["https://h/", "https://h/hub/", "http://h:1/a/b/"],
  ]);
});
