"""Merges ETHER and ETHER+ adapters anew, in float64 with dense blocks, and compares a merged folder with that.

Argument: {"base": folder, "adapter": folder, "merged": folder}
Prints {"targets": {name: {"elements", "correctly_rounded", "worst_ratio"}}, "untouched": count, "changed": [name]}:
worst_ratio is the largest error in units of its bound, 0.505 ulp of the merged dtype + 8 * 2**-24 * A; `changed` names
the tensors that are no targets and yet are not the base's, cast to the merged dtype.
"""

import json
import pathlib
import re
import sys

import torch
from safetensors.torch import load_file

PRECISION = {torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}
SUBNORMAL_EXPONENT = {torch.float32: -149, torch.float16: -24, torch.bfloat16: -133}


def load_folder(folder):
    tensors = {}
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        tensors.update(load_file(path))
    return tensors


def dense_blocks(vectors, side, variant):
    """H of each block, [num_blocks, n, n]."""
    u = torch.nn.functional.normalize(vectors[f"u_{side}"].double(), dim=1)
    identity = torch.eye(u.shape[1], dtype=torch.float64)
    if variant == "ether":
        return identity - 2 * u[:, :, None] * u[:, None, :]
    v = torch.nn.functional.normalize(vectors[f"v_{side}"].double(), dim=1)
    return identity - u[:, :, None] * u[:, None, :] + v[:, :, None] * v[:, None, :]


def transform(weight, vectors, config):
    """The exact result for W [out, in], and A."""
    rows, columns = weight.shape
    amplitude = weight.abs()
    if "u_in" in vectors:
        blocks = dense_blocks(vectors, "in", config["variant"])
        count = blocks.shape[0]
        if config.get("layout", "paper") == "paper":
            chunks = weight.reshape(rows, count, columns // count).transpose(0, 1)
            weight = (chunks @ blocks).transpose(0, 1).reshape(rows, columns)
        else:  # the reference implementation cuts the flat buffer, not the columns
            weight = (weight.reshape(count, rows, columns // count) @ blocks).reshape(rows, columns)
        amplitude = amplitude.reshape(rows, count, -1).norm(dim=2, keepdim=True)
        amplitude = amplitude.expand(rows, count, columns // count).reshape(rows, columns)
    if "u_out" in vectors:
        blocks = dense_blocks(vectors, "out", config["variant"])
        count = blocks.shape[0]
        weight = (blocks @ weight.reshape(count, rows // count, columns)).reshape(rows, columns)
        amplitude = amplitude.reshape(count, rows // count, columns).norm(dim=1, keepdim=True)
        amplitude = amplitude.expand(count, rows // count, columns).reshape(rows, columns)
    return weight, amplitude


def compare(got, exact, amplitude):
    exponent = torch.frexp(exact).exponent - PRECISION[got.dtype]
    ulp = torch.ldexp(torch.ones_like(exact), exponent.clamp(min=SUBNORMAL_EXPONENT[got.dtype]))
    bound = 0.505 * ulp + 8 * 2.0**-24 * amplitude
    rounded = torch.round(exact / ulp) * ulp
    return {
        "elements": got.numel(),
        "correctly_rounded": int((got.double() == rounded).sum()),
        "worst_ratio": float(((got.double() - exact).abs() / bound).max()),
    }


def main():
    argument = json.loads(sys.argv[1])
    base = load_folder(argument["base"])
    merged = load_folder(argument["merged"])
    config = json.loads(pathlib.Path(argument["adapter"], "adapter_config.json").read_text())
    if "lm_head.weight" in merged and "lm_head.weight" not in base:
        base["lm_head.weight"] = base["model.embed_tokens.weight"]

    modules = {}
    for name, tensor in load_folder(argument["adapter"]).items():
        module, parameter = re.fullmatch(r"base_model\.model\.(.+)\.ether_([uv]_(?:in|out))", name).groups()
        modules.setdefault(f"{module}.weight", {})[parameter] = tensor

    assert merged.keys() == base.keys(), merged.keys() ^ base.keys()
    targets = {}
    for name, vectors in modules.items():
        exact, amplitude = transform(base[name].double(), vectors, config)
        targets[name] = compare(merged[name], exact, amplitude)
    untouched = [name for name in base if name not in modules]
    changed = [name for name in untouched if not torch.equal(merged[name], base[name].to(merged[name].dtype))]
    print(json.dumps({"targets": targets, "untouched": len(untouched), "changed": changed}))


main()
