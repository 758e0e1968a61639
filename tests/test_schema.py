"""The configuration check: what it accepts, and what it says when it does not."""

import subprocess
import sys

import pytest

from arena.core import schema, signatures
from arena.core.errors import InputOutputError, UsageError

FOCAL = "arena.loss.classification.Focal"


def node(**values):
    return {"loss": {"_target_": FOCAL, "labels": ["a", "b"], **values}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gama": 2.0}, "loss.gama: Focal has no such argument; did you mean 'gamma'?"),
        ({"gamma": "abc"}, "loss.gamma=abc: a number from 0 to 10 is needed"),
        ({"gamma": -1}, "loss.gamma=-1: a number from 0 to 10 is needed"),
        ({"gamma": True}, "loss.gamma=True: a number from 0 to 10 is needed"),
        ({"label_smoothing": 1.5}, "loss.label_smoothing=1.5: a number from 0 to 1 is needed"),
        ({"labels": "a"}, "loss.labels=a: a list is needed, as in loss.labels=[a]"),
        ({"labels": [1]}, "loss.labels=[1]: a list where each is text is needed"),
    ],
)
def test_one_line_names_the_key_and_the_way_out(values, message):
    with pytest.raises(UsageError) as caught:
        schema.check(node(**values))
    assert str(caught.value) == message


def test_a_fitting_node_passes():
    schema.check(node(gamma=2, alpha={"a": 1.0}))
    schema.check(node(gamma=0.0, alpha=None))


def test_a_metric_takes_no_keyword_that_torchmetrics_would_refuse():
    metric = {"_target_": "torchmetrics.classification.MulticlassAUROC", "num_classes": 3}
    schema.check_arguments(metric | {"sync_on_compute": False}, "metric")
    with pytest.raises(UsageError, match=r"metric.n_bins: MulticlassAUROC has no such argument"):
        schema.check_arguments(metric | {"n_bins": 3}, "metric")


def test_a_class_without_a_constructor_takes_nothing():
    schema.check_arguments({"_target_": "arena.evaluation.classes.ClassEvaluator"}, "evaluator")
    with pytest.raises(UsageError, match=r"evaluator.extra: ClassEvaluator has no such argument"):
        schema.check_arguments({"_target_": "arena.evaluation.classes.ClassEvaluator", "extra": 1}, "evaluator")


def test_missing_argument_is_named():
    with pytest.raises(UsageError, match="loss.labels: Focal needs a value"):
        schema.check({"loss": {"_target_": FOCAL}})
    schema.check_arguments({"_target_": FOCAL, "_partial_": True}, "loss")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.load",
        "torch.hub.load",
        "builtins.eval",
        "pickle.loads",
        "arena",
        "transformers.AutoModel",
        "",
        3,
    ]
    + [
        "arena.core.run.subprocess.run",
        "arena.core.run.json.loads",
        "torch.optim.os.system",
        "lightning.pytorch.callbacks.os.system",
    ],
)
def test_only_classes_of_known_packages_may_be_built(target):
    with pytest.raises(UsageError, match="_target_"):
        schema.check({"loss": {"_target_": target}})


def test_a_misspelt_class_is_named_with_its_neighbour():
    with pytest.raises(UsageError, match="did you mean 'Focal'"):
        schema.check({"loss": {"_target_": "arena.loss.classification.Focul"}})


def test_signatures_of_other_packages_are_read_through_reexports_and_bases():
    early = signatures.signature_of("lightning.pytorch.callbacks.EarlyStopping")
    assert early is not None
    assert {"monitor", "patience", "mode"} <= set(early.parameters)
    assert early.parameters["monitor"].required
    accuracy = signatures.signature_of("torchmetrics.classification.MulticlassAccuracy")
    assert accuracy is not None
    assert accuracy.open
    assert "num_classes" in accuracy.parameters
    with pytest.raises(UsageError, match=r"callback\.x\.patience=soon: a whole number is needed"):
        schema.check(
            {
                "callback": {
                    "x": {
                        "_target_": "lightning.pytorch.callbacks.EarlyStopping",
                        "monitor": "val/loss",
                        "patience": "soon",
                    }
                }
            }
        )


def test_a_missing_path_is_an_input_error(tmp_path):
    target = "arena.data.module.pairwise.PairData"
    given = {"_target_": target, "reader": {}, "tokenizer": {}, "labels": ["a"], "path": str(tmp_path / "no.csv")}
    with pytest.raises(InputOutputError, match=r"data\.path=.*no\.csv: no such file"):
        schema.check({"data": given})


def test_checking_imports_nothing_heavy():
    code = (
        "import sys; from arena.core import schema, signatures;"
        f"schema.check({{'loss': {{'_target_': '{FOCAL}', 'labels': ['a'], 'gamma': 2.0}}}});"
        "signatures.signature_of('lightning.pytorch.trainer.trainer.Trainer');"
        "heavy = {'torch', 'lightning', 'transformers', 'numpy', 'pyarrow'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
