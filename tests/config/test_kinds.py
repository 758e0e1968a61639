"""What belongs together is chosen together, and what is not for a language model says so."""

import pytest
from support import compose

from arena.config import compose as config
from arena.config import kinds
from arena.core.errors import UsageError


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=tiny_causal", "loss=focal"], "loss=language_model or loss=polychromic"),
        (["model=tiny_causal", "metric=pairwise"], "needs metric=replies"),
        (["model=tiny_causal", "data=toy"], "data=sft data.path=FILE"),
        (["model=tiny", "data=toy_replies"], "data=sft needs a language model"),
        (["loss=polychromic", "data=toy"], "it is a language model's"),
    ],
)
def test_a_part_of_another_kind_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config.resolved(compose(*overrides, "run_dir=out"))


@pytest.mark.parametrize("command", ["calibrate", "export", "predict", "explore", "baseline"])
def test_commands_about_classes_refuse_language_models(command: str) -> None:
    settings = config.resolved(compose("model=tiny_causal", "run_dir=out"))
    with pytest.raises(UsageError, match=f"arena.{command} is about models that judge"):
        kinds.refuse_replies(settings, command)
    judges = config.resolved(compose("run_dir=out"))
    kinds.refuse_replies(judges, command)
    assert not kinds.writes_replies(judges)
