/** The parameter counts of arXiv 2405.20271, from shapes alone, and those of the models that its code makes. */
import { assertEquals } from "@std/assert";
import {
  type CountedSide,
  etherCount,
  etherPlusCount,
  loraCount,
  oftCount,
  type TargetShape,
  veraCount,
} from "../../../runtime/analysis/counts.ts";

/** Targets, each as often as it is there; the one side on which the reference code's one-sided ETHER acts. */
type Targets = readonly (readonly [count: number, shape: TargetShape, side: CountedSide])[];

const shape = (out: number, inner: number): TargetShape => ({ out, in: inner });

/** A decoder's q and v; q, k, v, o; these and its feed-forward matrices; and its head. */
function decoder(layers: number, width: number, kv: number, up: number, ups: number, vocabulary: number) {
  const qv: Targets = [[layers, shape(width, width), "out"], [layers, shape(kv, width), "out"]];
  const qkvp: Targets = [...qv, [layers, shape(kv, width), "out"], [layers, shape(width, width), "in"]];
  const qkvpm: Targets = [...qkvp, [layers * ups, shape(up, width), "in"], [layers, shape(width, up), "in"]];
  return { qv, qkvp, qkvpm, qkvpmh: [...qkvpm, [1, shape(vocabulary, width), "in"]] as Targets };
}

const llama7 = decoder(32, 4096, 4096, 11008, 2, 32000);
const llama13 = decoder(40, 5120, 5120, 13824, 2, 32000);
const phi = decoder(24, 2048, 2048, 8192, 1, 51200);
const pythia = decoder(16, 2048, 2048, 8192, 1, 50304);
const mistral = decoder(32, 4096, 1024, 14336, 2, 32000);

/** DeBERTaV3-base: twelve encoder layers, all their linear ones. */
const deberta: Targets = [
  [12 * 4, shape(768, 768), "in"],
  [12, shape(3072, 768), "in"],
  [12, shape(768, 3072), "in"],
];

/** Stable Diffusion 1.5: attention blocks by width; the second attention of each reads text of width 768. */
const BLOCKS: readonly (readonly [count: number, width: number])[] = [[5, 320], [5, 640], [6, 1280]];
const diffusion: Targets = BLOCKS.flatMap(([count, width]): Targets => [
  [6 * count, shape(width, width), "in"],
  [2 * count, shape(width, 768), "in"],
]);
/** With one more layer of each block's width: semantic maps to images. */
const controlled: Targets = [
  ...diffusion,
  ...BLOCKS.map(([count, width]) => [count, shape(width, width), "in"] as const),
];

const total = (targets: Targets, count: (shape: TargetShape, side: CountedSide) => number) =>
  targets.reduce((sum, [times, shape, side]) => sum + times * count(shape, side), 0);
const ether = (targets: Targets) => total(targets, (shape, side) => etherCount(shape, [side]));
const oneSided = (targets: Targets) => total(targets, (shape, side) => etherPlusCount(shape, [side]));
const plus = (targets: Targets) => total(targets, (shape) => etherPlusCount(shape));
const lora = (targets: Targets, rank: number) => total(targets, (shape) => loraCount(shape, rank));
const oft = (targets: Targets, numBlocks: number) => total(targets, (shape) => oftCount(shape.in, numBlocks, "half"));

const COUNTS: readonly (readonly [name: string, counted: number, expected: number])[] = [
  ["Llama-2-7B q, v: ETHER", ether(llama7.qv), 262_144],
  ["Llama-2-7B q, v: ETHER+", plus(llama7.qv), 1_048_576],
  ["Llama-2-7B q, v: LoRA r=1", lora(llama7.qv, 1), 524_288],
  ["Llama-2-7B q, v: LoRA r=8", lora(llama7.qv, 8), 4_194_304],
  ["Llama-2-7B q, v: VeRA r=64", total(llama7.qv, (shape) => veraCount(shape, 64)), 266_240],
  ["Llama-2-7B q, v: OFT n=256", oft(llama7.qv, 256), 2_097_152],
  ["Llama-2-7B q, k, v, o: ETHER", ether(llama7.qkvp), 524_288],
  ["Llama-2-7B q, k, v, o: ETHER+ one-sided", oneSided(llama7.qkvp), 1_048_576],
  ["Llama-2-7B q, k, v, o: ETHER+", plus(llama7.qkvp), 2_097_152],
  ["Llama-2-7B all but the head: ETHER", ether(llama7.qkvpm), 1_138_688],
  ["Llama-2-7B all but the head: ETHER+ one-sided", oneSided(llama7.qkvpm), 2_277_376],
  ["Llama-2-7B all but the head: ETHER+", plus(llama7.qkvpm), 4_997_120],
  ["Llama-2-7B all: ETHER", ether(llama7.qkvpmh), 1_142_784],
  ["Llama-2-7B all: ETHER+ one-sided", oneSided(llama7.qkvpmh), 2_285_568],
  ["Llama-2-7B all: ETHER+", plus(llama7.qkvpmh), 5_069_312],
  ["Llama-2-13B q, v: ETHER", ether(llama13.qv), 409_600],
  ["Llama-2-13B q, v: ETHER+ one-sided", oneSided(llama13.qv), 819_200],
  ["Llama-2-13B q, v: ETHER+", plus(llama13.qv), 1_638_400],
  ["Phi-1.5 q, v: ETHER", ether(phi.qv), 98_304],
  ["Phi-1.5 q, v: ETHER+ one-sided", oneSided(phi.qv), 196_608],
  ["Phi-1.5 q, v: ETHER+", plus(phi.qv), 393_216],
  ["Phi-1.5 all but the head: ETHER", ether(phi.qkvpm), 442_368],
  ["Phi-1.5 all but the head: ETHER+ one-sided", oneSided(phi.qkvpm), 884_736],
  ["Phi-1.5 all but the head: ETHER+", plus(phi.qkvpm), 1_769_472],
  ["Pythia-1B all but the head: ETHER", ether(pythia.qkvpm), 294_912],
  ["Pythia-1B all but the head: ETHER+ one-sided", oneSided(pythia.qkvpm), 589_824],
  ["Pythia-1B all but the head: ETHER+", plus(pythia.qkvpm), 1_179_648],
  ["Mistral-7B q, v: ETHER", ether(mistral.qv), 163_840],
  ["DeBERTaV3-base: ETHER", ether(deberta), 82_944],
  ["DeBERTaV3-base: ETHER+", plus(deberta), 331_776],
  ["DeBERTaV3-base: LoRA r=8", lora(deberta, 8), 1_327_104],
  ["SD 1.5 attention: ETHER", ether(diffusion), 99_456],
  ["SD 1.5 attention: ETHER+ one-sided", oneSided(diffusion), 198_912],
  ["SD 1.5 attention: ETHER+", plus(diffusion), 398_592],
  ["SD 1.5 attention: LoRA r=4", lora(diffusion, 4), 797_184],
  ["SD 1.5 attention: OFT n=4", oft(diffusion, 4), 11_652_096],
  ["SD 1.5 semantic maps: ETHER", ether(controlled), 111_936],
  ["SD 1.5 semantic maps: ETHER+", plus(controlled), 448_512],
  ["SD 1.5 semantic maps: OFT n=4", oft(controlled, 4), 13_200_896],
];

for (const [name, counted, expected] of COUNTS) {
  Deno.test(`parameter counts: ${name} is ${expected}`, () => assertEquals(counted, expected));
}

Deno.test("parameter counts: the free entries of a skew block are n/2 fewer than the paper's count", () => {
  assertEquals(oftCount(4096, 256, "half") - oftCount(4096, 256, "skew"), 256 * 16 / 2);
  assertEquals(oftCount(6, 2, "skew"), 2 * 3);
});
