import { assertEquals, assertThrows } from "@std/assert";
import { EtherError } from "../../../../runtime/error.ts";
import type { FusedQkv } from "../../../../runtime/methods/ether/config.ts";
import { partRegion, wholeRegion } from "../../../../runtime/methods/ether/regions.ts";
import { partRows } from "../../execute/problem.ts";

const PLACE = { file: "adapter_config.json", tensor: "w" };

Deno.test("partRegion: the rows that lit-gpt's formula says, for every small arrangement of heads", () => {
  for (const order of ["grouped", "concat"] as const) {
    for (let numQueryGroups = 1; numQueryGroups <= 4; numQueryGroups++) {
      for (let perGroup = 1; perGroup <= 3; perGroup++) {
        for (let headSize = 1; headSize <= 5; headSize++) {
          const fused: FusedQkv = { numHeads: perGroup * numQueryGroups, numQueryGroups, headSize, order };
          const rowCount = (fused.numHeads + 2 * numQueryGroups) * headSize;
          const all: number[] = [];
          for (const part of ["q", "k", "v"] as const) {
            const region = partRegion(fused, part, rowCount, 7, PLACE);
            const rows = region.runs.flatMap(({ start, count }) => Array.from({ length: count }, (_, i) => start + i));
            assertEquals(rows, partRows(fused, part), JSON.stringify({ ...fused, part }));
            assertEquals([region.rowCount, region.columnCount], [rows.length, 7]);
            all.push(...rows);
          }
          assertEquals(all.sort((a, b) => a - b), Array.from({ length: rowCount }, (_, row) => row));
        }
      }
    }
  }
});

Deno.test("partRegion: heads that do not make up the rows are bad_config", () => {
  const fused: FusedQkv = { numHeads: 4, numQueryGroups: 2, headSize: 3, order: "grouped" };
  for (const rowCount of [23, 25, 48]) {
    const error = assertThrows(() => partRegion(fused, "q", rowCount, 7, PLACE), EtherError);
    assertEquals([error.code, error.field], ["bad_config", "fused_qkv"]);
  }
});

Deno.test("wholeRegion: one run of all rows", () => {
  assertEquals(wholeRegion(3, 4), { runs: [{ start: 0, count: 3 }], rowCount: 3, columnCount: 4 });
});
