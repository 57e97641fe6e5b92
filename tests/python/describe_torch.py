"""Opens .pth files with torch, after it has written some of its own.

Argument: {"files": [path], "folder": path of an existing folder}
Prints {path: {name: {"dtype", "shape", "sha256"}}}, for the files and those written into the folder.
"""

import collections
import hashlib
import json
import pathlib
import random
import sys

import torch

DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def random_views(seed):
    """Many views of a few storages, of every dtype, in and out of order."""
    generator = random.Random(seed)
    torch.manual_seed(seed)
    tensors = {}
    for storage in range(6):
        whole = torch.randn(generator.randint(1, 5), generator.randint(1, 6), generator.randint(1, 7))
        whole = whole.to(generator.choice(DTYPES))
        for view in range(5):
            tensor = whole.permute(generator.sample(range(3), 3))
            for axis in range(3):
                start = generator.randrange(tensor.shape[axis])
                tensor = tensor[(slice(None),) * axis + (slice(start, None, generator.randint(1, 3)),)]
            tensors[f"{storage}.{view}"] = torch.nn.Parameter(tensor) if view == 4 else tensor
    return tensors


def bytes_of(tensor):
    whole = tensor.detach().clone(memory_format=torch.contiguous_format)
    return whole.reshape(-1).view(torch.uint8).numpy().tobytes()


def write(folder):
    for seed in range(8):
        value = random_views(seed)
        if seed % 3 == 1:
            value = {"model": value, "step": seed, "rate": 0.5}
        if seed % 3 == 2:
            value = collections.OrderedDict(value)
            value._metadata = collections.OrderedDict({"": {"version": 1}})
        path = folder / f"written-{seed}.pth"
        torch.save(value, path, pickle_protocol=[2, 3, 4, 5][seed % 4])
        yield str(path)


def main():
    argument = json.loads(sys.argv[1])
    described = {}
    for path in [*argument["files"], *write(pathlib.Path(argument["folder"]))]:
        # torch's own closed reader knows protocol 2 alone; what this torch wrote itself needs none.
        state = torch.load(path, map_location="cpu", weights_only="written" not in path and "protocol-4" not in path)
        state = state["model"] if isinstance(state.get("model"), dict) else state
        described[path] = {
            name: {
                "dtype": str(tensor.dtype),
                "shape": list(tensor.shape),
                "sha256": hashlib.sha256(bytes_of(tensor)).hexdigest(),
            }
            for name, tensor in state.items()
        }
    print(json.dumps(described))


main()
