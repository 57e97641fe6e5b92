/** The methods by `peft_type`: a new method is one new folder and one line here. */
import type { Adapter } from "../adapters/adapter.ts";
import { EtherError } from "../error.ts";
import { quote } from "../json/quote.ts";
import { etherMethod } from "./ether/method.ts";
import type { Method } from "./method.ts";
import type { OpSpec } from "./op.ts";

const METHODS: readonly Method[] = [etherMethod];

/** The method of an adapter. @throws {EtherError} `unsupported` where there is none */
export function methodOf(adapter: Adapter): Method {
  const method = METHODS.find(({ peftTypes }) => peftTypes.includes(adapter.peftType));
  if (method !== undefined) return method;
  throw new EtherError("unsupported", `peft_type ${quote(adapter.peftType)} is not known`, {
    file: adapter.configName,
    field: "peft_type",
    hint: `known: ${METHODS.flatMap(({ peftTypes }) => peftTypes).join(", ")}`,
  });
}

/** The method that made an Op. */
export function methodOfOp(spec: OpSpec): Method {
  return METHODS.find(({ peftTypes }) => peftTypes.includes(spec.method))!;
}
