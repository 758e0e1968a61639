"""What belongs together is chosen together, and what is not for a language model says so."""

import pytest
from support import compose

from arena.config import compose as config
from arena.config.pairing import kind_of
from arena.core.errors import UsageError


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["task=sft", "loss=focal"],
            "Focal belongs to task=pairwise; choose loss=language_model or loss=polychromic, or task=pairwise",
        ),
        (["task=sft", "metric=pairwise"], "choose metric=replies"),
        (["task=sft", "data=toy"], "data=sft data.path=FILE"),
        (["model=tiny", "data=toy_replies"], "ReplyData belongs to task=sft; choose data=pairs"),
        (["loss=polychromic", "data=toy"], "Polychromic belongs to task=sft; choose loss=cross_entropy"),
    ],
)
def test_a_part_of_another_kind_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config.resolved(compose(*overrides, "run_dir=out"))


@pytest.mark.parametrize("command", ["calibrate", "export", "predict", "explore", "baseline"])
def test_commands_about_classes_refuse_language_models(command: str) -> None:
    settings = config.resolved(compose("task=sft", "run_dir=out"))
    with pytest.raises(UsageError, match=f"arena.{command} is about models that judge"):
        kind_of(settings).require(command)
    judges = config.resolved(compose("run_dir=out"))
    kind_of(judges).require(command)
    assert not kind_of(judges).writes_replies
