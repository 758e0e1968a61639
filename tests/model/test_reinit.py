"""Top layers that start anew, on every architecture that the tests know."""

import pytest
import torch
from support import KINDS, compose, small_folder

from arena.config import build
from arena.config import compose as config
from arena.core.errors import UsageError


def classifier(folder, *overrides: str):
    settings = config.resolved(compose("model=minilm", f"model.path={folder}", *overrides, "run_dir=out"))
    return build.instantiate(settings["model"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_only_the_top_layers_start_anew(kind, tmp_path, caplog):
    """Of two layers the upper: each of its matrices changes, and is drawn with the architecture's own spread
    (`initializer_range`, .02); all else keeps its bits."""
    folder = small_folder(kind, tmp_path / kind)
    before = dict(classifier(folder).named_parameters())
    with caplog.at_level("INFO", "arena"):
        model = classifier(folder, "model.reinit_layers=1")
    assert "new: the top 1 of 2 layers" in caplog.text
    matrices = 0
    for name, parameter in model.named_parameters():
        upper = "layers.1." in name or "layer.1." in name
        assert not upper or parameter.ndim < 2 or not torch.equal(parameter, before[name]), name
        assert upper or torch.equal(parameter, before[name]), name
        if upper and parameter.ndim == 2:
            matrices += 1
            # ModernBERT divides the spread by the root of twice the number of layers where a branch ends.
            assert 0.005 < float(parameter.detach().std()) < 0.03, name
    assert matrices >= 4


def test_two_seeds_start_differently_and_one_the_same(tmp_path):
    folder = small_folder("bert", tmp_path / "bert")
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(
            classifier(folder, "model.reinit_layers=2").state_dict()["backbone.encoder.layer.1.output.dense.weight"]
        )
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_more_layers_than_there_are_and_frozen_ones_are_refused(tmp_path):
    folder = small_folder("bert", tmp_path / "bert")
    with pytest.raises(UsageError, match="reinit_layers=3: bert has 2 layers here"):
        classifier(folder, "model.reinit_layers=3")
    with pytest.raises(UsageError, match="adapters freeze the layers"):
        classifier(folder, "model.reinit_layers=1", "adapter=lora")
