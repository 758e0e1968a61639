"""Completion of the keys and choices of `arena train` in a shell, by Hydra's own completer."""

from arena.config import compose as config
from arena.config.resolvers import register_resolvers
from arena.core.data_keys import SHORT


def completions(line: str) -> list[str]:
    """List completions of the last word of a command line of arena.train, such as `model=q`."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin

    register_resolvers()
    word = line.rpartition(" ")[2]
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        found = DefaultCompletionPlugin(GlobalHydra.instance().config_loader())._query("train", line)
    found += [f"data.{name}=" for name in SHORT if f"data.{name}".startswith(word) and "." in word]
    return [each for each in found if not each.startswith("hydra") and "=_" not in each]
