"""Lets transformers write a small model whose head is its embedding, and an ETHER adapter for that head.

Argument: {"model": folder, "adapter": folder}; neither exists yet.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

BLOCKS = 4


def main():
    argument = json.loads(sys.argv[1])
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(argument["model"], max_shard_size="16KB")

    adapter = pathlib.Path(argument["adapter"])
    adapter.mkdir()
    vectors = torch.randn(BLOCKS, config.hidden_size // BLOCKS)
    save_file({"base_model.model.lm_head.ether_u_in": vectors}, adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text(
        json.dumps(
            {
                "peft_type": "ETHER",
                "variant": "ether",
                "sides": ["in"],
                "num_blocks": BLOCKS,
                "layout": "paper",
                "target_modules": ["lm_head"],
            }
        )
    )
    print("null")


main()
