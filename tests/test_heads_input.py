"""Wrong input for several heads: the contract's exit code, one line with the culprit and the way out."""

import json

import pytest
from support import head_settings, write_head_rows

CASES = [
    (
        ["task=multihead", "data.path=rows.csv", "data.text=text"],
        2,
        "data.heads: a value is needed; give the columns with labels",
    ),
    (
        ["task=multihead", "data.path=rows.csv", "data.heads=[stance]"],
        2,
        "data.text: a value is needed; give data.text=",
    ),
    (["data.heads=[stanse]"], 65, "rows.csv: no column stanse (data.heads); did you mean 'stance'?"),
    (["data.path=nothing.csv"], 74, "nothing.csv: no such file; give data.path="),
    (["data.test_path=nothing.csv"], 74, "data.test_path=nothing.csv: no such file or folder"),
    (["loss.head.label_smothing=2"], 2, "loss.head.label_smothing: no such key; did you mean 'label_smoothing'?"),
    (["loss@loss.head=focl"], 2, "loss=focl: no such choice; did you mean 'focal'?"),
    (["+loss.head.gamma=2"], 2, "loss.head.gamma: CrossEntropy has no such argument"),
    (["data.sampling=hard"], 2, "data.sampling=hard: one of uniform, balanced is needed"),
    (["+data.augment={word_dropout: 2}"], 2, "each value is a number from 0 to 1"),
    (["data.classes={stanse: [a, b]}"], 2, "data.classes.stanse: no such head in data.heads; did you mean 'stance'?"),
    (["data.heads=[stance,stance]"], 2, "data.heads: stance is named twice"),
    (["data.heads=stance"], 2, "data.heads=stance: a list is needed, as in data.heads=[stance]"),
    (
        ["loss=focal"],
        2,
        "loss: this is task=multihead, and Focal belongs to task=pairwise; leave loss=multi_head, and choose",
    ),
    (
        ["metric=pairwise"],
        2,
        "metric: this is task=multihead, and Metrics belongs to task=pairwise; choose metric=multi_head",
    ),
    (["data.copies=0"], 2, "data.copies=0: a whole number, 1 or more is needed"),
]
"""Found before a folder is made."""
LATER = [
    (["+loss.overrides.stanse.gamma=1"], 2, "loss.overrides.stanse: no such head; did you mean 'stance'?"),
    (["+loss.overrides.stance.gamma=2"], 2, "loss.overrides.stance.gamma: CrossEntropy has no such argument"),
    (["+loss.task_weights.stanse=2"], 2, "loss.task_weights.stanse: no such head; did you mean 'stance'?"),
    (["+data.augment={word_dropuot: 0.1}"], 2, "data.augment.word_dropuot: no such augmentation; did you mean"),
    (["model.formulation=score"], 2, "model.formulation=score: with task=multihead a text is read once; take joint"),
    (["data.text=txt"], 65, "rows.csv: missing column txt"),
    (["data.text=stance"], 2, "data.text=stance: it is one of data.heads too"),
    (["data.val_path=other.csv"], 65, "other.csv: row 3, column stance: 'MAYBE' is no class of stance"),
    (["data.test_path=lacking.csv"], 65, "lacking.csv: missing column sentiment"),
    (["loss.rdrop.alpha=0.5", "data.copies=1"], 2, "loss.rdrop.alpha=0.5 compares two copies of each row"),
    (["data.template=text"], 2, "data.template=text: it must hold {text} once"),
    (["+data.multipliers.stance.MAYBE=2"], 2, "data.multipliers.stance.MAYBE: no such class"),
    (["loss@loss.head=two_stage"], 2, "two_stage: three or more classes are needed"),
    (["data.folds=5"], 2, "data.fold=None: with data.folds=5 one of 0 to 4 is needed"),
]
"""Found once the run folder exists: it says so in `result.json`."""


@pytest.fixture
def rows(tmp_path):
    path = write_head_rows(tmp_path / "rows.csv", 60)
    lines = path.read_text().splitlines()
    cells = lines[3].split(",")
    (tmp_path / "other.csv").write_text("\n".join([*lines[:3], ",".join([*cells[:2], "MAYBE", cells[3]])]) + "\n")
    (tmp_path / "lacking.csv").write_text("id,text,stance\n1,some,FAVOR\n")
    return path


def settings(arguments):
    return arguments if arguments[0] == "task=multihead" else head_settings("rows.csv", *arguments)


def named(value):
    return " ".join(value) if isinstance(value, list) else ""


@pytest.mark.parametrize(("arguments", "code", "message"), CASES, ids=named)
def test_configuration_errors(typed, rows, arguments, code, message):
    before = sorted(rows.parent.iterdir())
    found, lines = typed(*settings(arguments))
    assert (found, len(lines)) == (code, 1), lines
    assert message in lines[0]
    assert sorted(rows.parent.iterdir()) == before


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "code", "message"), LATER, ids=named)
def test_what_the_data_or_the_loss_find(typed, rows, arguments, code, message):
    found, lines = typed(*settings(arguments), "hydra.run.dir=out", "trainer.max_steps=2")
    assert (found, len(lines)) == (code, 1), lines
    assert message in lines[0]
    assert json.loads((rows.parent / "out" / "result.json").read_text())["status"] == "failed"


def test_heads_without_their_head(typed, rows):
    found, lines = typed("data=heads", *head_settings("rows.csv")[1:])
    assert (found, len(lines)) == (2, 1), lines
    assert "data: this is task=pairwise, and HeadData belongs to task=multihead" in lines[0]
    assert not (rows.parent / "outputs").exists()


def test_exploring_is_for_comparisons(typed, rows):
    before = sorted(rows.parent.iterdir())
    found, lines = typed(*head_settings("rows.csv")[:4], "output=page", module="explore")
    assert (found, len(lines)) == (2, 1), lines
    assert "arena.explore draws a page about comparisons" in lines[0]
    assert "arena.baseline task=multihead" in lines[0]
    assert sorted(rows.parent.iterdir()) == before
