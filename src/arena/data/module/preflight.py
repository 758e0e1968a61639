"""What can be wrong with the settings and files of a data set, found before anything heavy is loaded."""

from collections.abc import Mapping
from typing import Any

from arena.core.heads import Heads
from arena.data.loading import augment
from arena.data.loading.head_sampling import HeadPlan
from arena.data.loading.packing import check_packing
from arena.data.loading.sampling import Plan
from arena.data.split.prepare import Division
from arena.data.target import offset
from arena.data.target.facts import check_labels
from arena.data.target.head_pseudo import HeadPseudo
from arena.data.target.head_table import template_of
from arena.data.target.predictions_file import PredictionsFile
from arena.data.target.pseudo import Pseudo
from arena.data.text.reply_layout import check_template
from arena.data.text.reply_tokens import ReplyRoom
from arena.data.text.template import check_words, choose


def check(data: Mapping[str, Any], reader: Any) -> None:
    """Hold the node `data` of a configuration against what its class will ask, and look at the files' columns.

    Args:
        data: arguments of `arena.data.module.pairwise.PairData`, `arena.data.module.multihead.HeadData` or
            `arena.data.module.sft.ReplyData`.
        reader: its reader; one that reads files can `open` them.

    Raises:
        UsageError: an unknown template, column or fold, or a setting that lacks another one.
        InputOutputError: a file cannot be found or read.
        DataError: a file's columns are not those that are needed.
    """
    if not data.get("labels"):
        check_replies(data, reader)
    elif isinstance(data["labels"], Mapping):
        check_heads(data, reader)
    else:
        check_pairs(data, reader)


def check_pairs(data: Mapping[str, Any], reader: Any) -> None:
    """The same for comparisons, see `check`."""
    labels = check_labels(data["labels"])
    formulation = data.get("formulation", "joint")
    template = choose(data["template"], data["templates"] or {}, formulation)
    if formulation == "verbalizer":
        check_words(template.get("words"), labels)
    names = ("swap", "sampling", "sampling_power", "max_copies", "hardness", "curriculum_epochs")
    Plan(*(data[name] for name in names)).check(labels)
    stratify = data["stratify"] or ["winner"]
    Division(data["val_share"], data["test_share"], data["folds"], data["fold"], stratify, 0, "drop").check()
    Pseudo(data["pseudo_path"], data["pseudo_labels"]).check()
    for key in ("teacher", "pseudo_labels"):
        if data[key] is not None:
            PredictionsFile(data[key], f"data.{key}").class_columns(labels)
    if data["offset"] is not None:
        offset.check(data["offset"], labels)
    if hasattr(reader, "open"):
        for key in ("path", "val_path", "test_path", "pseudo_path"):
            if key == "path" or data[key] is not None:
                reader.open(data[key])


def check_heads(data: Mapping[str, Any], reader: Any) -> None:
    """The same for texts with several labels, against what `arena.data.module.multihead.HeadData` will ask."""
    heads = Heads(data["labels"])
    template_of(data["template"], reader.form)
    HeadPlan(data["sampling"], data["sampling_power"], data["multipliers"], data["max_copies"]).check(heads)
    augment.check(data["augment"] or {})
    Division(data["val_share"], data["test_share"], data["folds"], data["fold"], [], 0, "drop").check()
    HeadPseudo(data["pseudo_path"], data["pseudo_labels"]).check()
    for key in ("path", "val_path", "test_path"):
        if data[key] is not None:
            reader.open(data[key])


def check_replies(data: Mapping[str, Any], reader: Any) -> None:
    """The same for prompts and replies, against what `arena.data.module.sft.ReplyData` will ask."""
    check_template(data["template"])
    ReplyRoom(data["max_length"], data["max_reply_length"]).check()
    check_packing(data["packing"], data["batch_size"])
    Division(data["val_share"], data["test_share"], data["folds"], data["fold"], [], 0, "drop").check()
    if hasattr(reader, "open"):
        for key in ("path", "val_path", "test_path"):
            if key == "path" or data.get(key) is not None:
                reader.open(data.get(key))
