"""What tests of several rooms use, apart from fixtures."""

import os
from pathlib import Path

from omegaconf import DictConfig

from arena import config

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ARENA_SHARED", ROOT.parent / "shared"))


def compose(*overrides: str) -> DictConfig:
    """The configuration of a command line; fp32 unless it says otherwise, so that any machine computes the same."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    config.register_resolvers()
    precision = [] if any("precision" in o for o in overrides) else ["trainer.precision=32-true"]
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        return hydra_compose("train", [*precision, *overrides])
