"""Classes of a user's own: from a module on PYTHONPATH, from YAML files of a folder, trusted by name."""

import os
from pathlib import Path

import pytest
from support import ROOT, first_fast

MODULE = '''
from lightning.pytorch import Callback
from arena.loss.classification import CrossEntropy


class Hinge(CrossEntropy):
    """A loss of one's own."""


class Mark(Callback):
    def __init__(self, path: str) -> None:
        self.path = path

    def on_fit_end(self, trainer, pl_module):
        with open(self.path, "w") as file:
            file.write(type(pl_module.loss).__name__)


def function(labels):
    return None
'''


@pytest.fixture
def plugged(tmp_path: Path) -> dict[str, str]:
    """The environment with the module `mine` on PYTHONPATH, and `my conf/loss/mine.yaml` in the folder."""
    (tmp_path / "plug").mkdir()
    (tmp_path / "plug" / "mine.py").write_text(MODULE)
    (tmp_path / "my conf" / "loss").mkdir(parents=True)
    (tmp_path / "my conf" / "loss" / "mine.yaml").write_text("_target_: mine.Hinge\nlabels: ${data.labels}\n")
    return {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(tmp_path / "plug")])}


TRUST = "trusted_packages=[mine]"
REFUSED = {
    "no trust": (["loss._target_=mine.Hinge"], "loss._target_: 'mine.Hinge' is not allowed", TRUST),
    "no trust for a callback": (["+callback.mark._target_=mine.Mark"], "callback.mark._target_", TRUST),
    "no trust for a folder": (["--config-dir", "my conf", "loss=mine"], "'mine.Hinge' is not allowed", TRUST),
    "a function": (["loss._target_=mine.function", TRUST], "it is a function, and a loss is needed"),
    "another kind": (["+callback.x._target_=mine.Hinge", TRUST], "a callback is a subclass of"),
    "checked": (["--config-dir", "my conf", "loss=mine", "+loss.gama=2", TRUST], "loss.gama: Hinge has no such"),
    "misspelt": (["loss._target_=mine.Hing", TRUST], "did you mean 'Hinge'?"),
    "no advice": (["loss._target_=subprocess.Popen"], "a loss of arena.loss is needed"),
}


@pytest.mark.parametrize(
    ("arguments", "words"), first_fast([(each[0], each[1:]) for each in REFUSED.values()], 3), ids=REFUSED
)
def test_own_classes_are_refused(shell, tmp_path, plugged, arguments, words):
    shell("train", *arguments, env=plugged).refused(2, *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my conf", "plug"]


@pytest.mark.slow
def test_own_classes_train_and_are_named_again_by_each_command(shell, tmp_path, plugged):
    own = ["--config-dir", "my conf", "loss=mine", "+callback.mark._target_=mine.Mark", "+callback.mark.path=mark"]
    shell("train", *own, TRUST, "trainer=debug", "baselines=[]", "hydra.run.dir=run", env=plugged).ok()
    assert (tmp_path / "mark").read_text() == "Hinge"
    shell("evaluate", "run=run", env=plugged).refused(2, "config.yaml: loss._target_: 'mine.Hinge'", TRUST)
    shell("evaluate", "run=run", TRUST, env=plugged).ok()
    shell("train", "resume=run", env=plugged).refused(2, TRUST)
