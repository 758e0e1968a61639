"""Models that judge text: train, evaluate, compare, and ask a trained judge.

    import arena

    run = arena.fit(["model=minilm", "data=pairs", "data.path=votes.csv"])
    judge = arena.load(run.folder)
    judge("Why is the sky blue?", "Rayleigh scattering.", "Because.")  # {'model_a': 0.7, 'model_b': 0.2, 'tie': 0.1}

Each name is imported when it is first used: `import arena` itself costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arena.compare import compare_runs
    from arena.evaluate import evaluate_run
    from arena.inference.trained_judge import load
    from arena.train import fit

__all__ = ["compare_runs", "evaluate_run", "fit", "load"]
_PLACES = {"compare_runs": "compare", "evaluate_run": "evaluate", "fit": "train", "load": "inference.trained_judge"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'arena' has no attribute {name!r}; there are {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(f"arena.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
