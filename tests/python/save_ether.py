"""Runs the snippet of docs/adapters.md on a few modules, as a trainer would."""

import json
import sys

import torch

argument = json.loads(sys.argv[1])
scope = {}
exec(argument["snippet"], scope)
generator = torch.Generator().manual_seed(1)
modules = {
    f"model.layers.0.{module}": {
        name: torch.randn(4, length // 4, generator=generator, requires_grad=True)
        for name, length in sides.items()
    }
    for module, sides in argument["modules"].items()
}
scope["save_ether"](argument["folder"], modules, num_blocks=4, variant=argument["variant"])
print(json.dumps(sorted(modules)))
