"""Loads checkpoint folders with transformers and says how that went and how well each predicts held-out text.

Argument: {"folders": [path, or name of a repository], "revision" (of repositories), "heldout": path, "text": name of the
token tensor, "windows": count, "sample": text}
Prints, for each folder: {"missing", "unexpected", "mismatched", "parameters", "digest" of all parameters' bytes, "sample",
"tied", "loss"}
"""

import hashlib
import json
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

WINDOW_LENGTH = 96


def mean_loss(model, tokens, windows):
    losses = []
    with torch.no_grad():
        for window in range(windows):
            ids = tokens[window * WINDOW_LENGTH : (window + 1) * WINDOW_LENGTH].long()
            logits = model(ids[None]).logits[0, :-1]
            losses.append(torch.nn.functional.cross_entropy(logits, ids[1:]).item())
    return sum(losses) / len(losses)


def digest(model):
    sha256 = hashlib.sha256()
    for _, tensor in sorted(model.state_dict().items()):
        sha256.update(tensor.contiguous().numpy().tobytes())
    return sha256.hexdigest()


def main():
    argument = json.loads(sys.argv[1])
    tokens = load_file(argument["heldout"])[argument["text"]]
    revision = argument.get("revision", "main")
    results = []
    for folder in argument["folders"]:
        model, loading = AutoModelForCausalLM.from_pretrained(
            folder, revision=revision, dtype=torch.float32, output_loading_info=True
        )
        model.eval()
        results.append(
            {
                "missing": sorted(loading["missing_keys"]),
                "unexpected": sorted(loading["unexpected_keys"]),
                "mismatched": sorted(map(str, loading["mismatched_keys"])),
                "parameters": {name: list(tensor.shape) for name, tensor in model.state_dict().items()},
                "digest": digest(model),
                "sample": AutoTokenizer.from_pretrained(folder, revision=revision)(argument["sample"])["input_ids"],
                "tied": model.lm_head.weight is model.model.embed_tokens.weight,
                "loss": mean_loss(model, tokens, argument["windows"]),
            }
        )
    print(json.dumps(results))


main()
