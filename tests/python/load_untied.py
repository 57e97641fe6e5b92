"""Loads a model whose head was untied with transformers, beside the tied one that it came from.

Argument: {"base": folder, "merged": folder}
Prints {"missing", "unexpected", "tied", "wasTied"}
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM


def main():
    argument = json.loads(sys.argv[1])
    base = AutoModelForCausalLM.from_pretrained(argument["base"])
    model, loading = AutoModelForCausalLM.from_pretrained(argument["merged"], output_loading_info=True)
    assert torch.equal(model.model.embed_tokens.weight, base.model.embed_tokens.weight), "the embedding changed"
    print(
        json.dumps(
            {
                "missing": sorted(loading["missing_keys"]),
                "unexpected": sorted(loading["unexpected_keys"]),
                "tied": torch.equal(model.lm_head.weight, model.model.embed_tokens.weight),
                "wasTied": torch.equal(base.lm_head.weight, base.model.embed_tokens.weight),
            }
        )
    )


main()
