"""Opens every safetensors file of a folder with the reference library.

Argument: {"folder": path}
Prints {file: {"metadata", "tensors": {name: {"dtype", "shape", "sha256"}}}}
"""

import hashlib
import json
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file


def main():
    folder = pathlib.Path(json.loads(sys.argv[1])["folder"])
    files = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        files[path.name] = {
            "metadata": metadata,
            "tensors": {
                name: {
                    "dtype": str(tensor.dtype),
                    "shape": list(tensor.shape),
                    "sha256": hashlib.sha256(tensor.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest(),
                }
                for name, tensor in load_file(path).items()
            },
        }
    print(json.dumps(files))


main()
