"""Uses huggingface_hub, unmodified, on a server, step by step; a request to /step/<name> goes before each step.

The endpoint is HF_ENDPOINT. Argument: {"repo", "revision", "other": another revision, "shard": path of a weight file,
"guarded": URL of a server that wants a token, "token": that token, "local": an empty folder, "warming": URL of a server
that still reads its models}
Prints what each step gave, by its name.
"""

import hashlib
import importlib.util
import json
import os
import sys
import urllib.error
import urllib.request

import huggingface_hub
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

ARGUMENT = json.loads(sys.argv[1])
REPO, REVISION, SHARD = ARGUMENT["repo"], ARGUMENT["revision"], ARGUMENT["shard"]
API = HfApi()
STEPS = {}


def step(run):
    try:
        urllib.request.urlopen(f"{os.environ['HF_ENDPOINT']}/step/{run.__name__}")
    except urllib.error.HTTPError:
        pass
    STEPS[run.__name__] = run()
    return run


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def digests(folder):
    found = {}
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = os.path.join(parent, name)
            found[os.path.relpath(path, folder)] = digest(path)
    return found


def raised(run):
    try:
        run()
    except EntryNotFoundError:
        return "EntryNotFound"
    except RevisionNotFoundError:
        return "RevisionNotFound"
    # One is a kind of the other.
    except GatedRepoError:
        return "GatedRepo"
    except RepositoryNotFoundError:
        return "RepoNotFound"
    except HfHubHTTPError as error:
        return f"{error.response.status_code}: {error}"
    return "nothing"


@step
def versions():
    return {"hub": huggingface_hub.__version__, "xet": importlib.util.find_spec("hf_xet") is not None}


@step
def cold():
    return digest(hf_hub_download(REPO, SHARD, revision=REVISION))


@step
def warm():
    return digest(hf_hub_download(REPO, SHARD, revision=REVISION))


@step
def commit():
    return API.model_info(REPO, revision=REVISION).sha


@step
def pinned():
    return digest(hf_hub_download(REPO, SHARD, revision=STEPS["commit"]))


@step
def snapshot():
    return digests(snapshot_download(REPO, revision=REVISION))


@step
def warm_snapshot():
    return digests(snapshot_download(REPO, revision=REVISION))


@step
def second_revision():
    return digests(snapshot_download(REPO, revision=ARGUMENT["other"]))


@step
def base():
    return digests(snapshot_download(REPO))


@step
def local():
    return digests(snapshot_download(REPO, revision=REVISION, local_dir=ARGUMENT["local"]))


@step
def local_again():
    return digests(snapshot_download(REPO, revision=REVISION, local_dir=ARGUMENT["local"]))


@step
def verify():
    result = API.verify_repo_checksums(REPO, revision=API.model_info(REPO).sha)
    return {"checked": result.checked_count, "mismatches": len(result.mismatches), "missing": len(result.missing_paths)}


@step
def lists():
    entries = API.list_repo_tree(REPO, revision=REVISION, recursive=True, expand=True)
    return {
        "files": API.list_repo_files(REPO, revision=REVISION),
        "tree": {entry.path: entry.size for entry in entries},
        "paths": [info.path for info in API.get_paths_info(REPO, ["config.json", "none"], revision=REVISION, expand=True)],
        "refs": {branch.name: branch.target_commit for branch in API.list_repo_refs(REPO, include_pull_requests=True).branches},
        "commits": [one.title for one in API.list_repo_commits(REPO, revision=REVISION)],
        "siblings": {one.rfilename: one.size for one in API.model_info(REPO, revision=REVISION, files_metadata=True).siblings},
    }


@step
def questions():
    API.auth_check(REPO)
    return {
        "repo": [API.repo_exists(REPO), API.repo_exists("tiny/other")],
        "revision": [API.revision_exists(REPO, REVISION), API.revision_exists(REPO, "nobody")],
        "file": [API.file_exists(REPO, SHARD), API.file_exists(REPO, "adapter_config.json", revision=REVISION)],
    }


@step
def safetensors():
    metadata = API.get_safetensors_metadata(REPO, revision=REVISION)
    return {"sharded": metadata.sharded, "files": len(metadata.files_metadata), "parameters": metadata.parameter_count}


@step
def blocks():
    found = []
    path = f"{REPO}@{REVISION}/{SHARD}"
    with HfFileSystem().open(path, "rb", block_size=4096) as file:
        for at, length in [(0, 8), (100_000, 50_000), (3, 1), (file.size - 10, 10)]:
            file.seek(at)
            found.append([at, length, hashlib.sha256(file.read(length)).hexdigest()])
    return found


@step
def errors():
    guarded = HfApi(endpoint=ARGUMENT["guarded"], token=False)
    # What is in the usual cache would stand in for an answer.
    empty = {"cache_dir": f"{ARGUMENT['local']}/empty"}
    return {
        "repo": raised(lambda: hf_hub_download("tiny/other", SHARD)),
        "dataset": raised(lambda: hf_hub_download(REPO, SHARD, repo_type="dataset")),
        "revision": raised(lambda: hf_hub_download(REPO, SHARD, revision="nobody")),
        "recipe": raised(lambda: hf_hub_download(REPO, SHARD, revision=f"{REVISION}@1e3")),
        "unfit": raised(lambda: hf_hub_download(REPO, SHARD, revision="foreign")),
        "commit": raised(lambda: hf_hub_download(REPO, SHARD, revision="0" * 40)),
        "entry": raised(lambda: hf_hub_download(REPO, "none.bin", revision=REVISION)),
        "folder": raised(lambda: list(API.list_repo_tree(REPO, "additional_chat_templates", revision=REVISION))),
        "gated": raised(lambda: guarded.hf_hub_download(REPO, "config.json", **empty)),
        "unknown_gated": raised(lambda: guarded.hf_hub_download("tiny/other", "config.json", **empty)),
        "token": raised(lambda: guarded.hf_hub_download(REPO, "config.json", token="hf_wrong", **empty)),
    }


@step
def token():
    guarded = HfApi(endpoint=ARGUMENT["guarded"], token=ARGUMENT["token"])
    guarded.hf_hub_download(REPO, "config.json", local_dir=f"{ARGUMENT['local']}/guarded")
    return guarded.whoami()["type"]


@step
def warming():
    warming = HfApi(endpoint=ARGUMENT["warming"])
    return digest(warming.hf_hub_download(REPO, "config.json", cache_dir=f"{ARGUMENT['local']}/warming"))


print(json.dumps(STEPS))
