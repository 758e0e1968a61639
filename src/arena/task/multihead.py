"""`task=multihead`: several classifications of one text, each with a head of its own over one backbone."""

from typing import TYPE_CHECKING, Any

from arena.core.construct import instantiate
from arena.model import preflight
from arena.task.kind import TaskKind, open_files

if TYPE_CHECKING:
    from arena.data.source.examples import Example


class MultiHead(TaskKind):
    """One classification for each column of labels; any label may be missing."""

    name = "multihead"
    parts = {
        "data": "arena.data.module.multihead.HeadData",
        "loss": "arena.loss.multi_head.MultiHead",
        "metric": "arena.metric.heads.HeadMetrics",
    }
    advice = {
        "data": "choose data=heads",
        "model": "choose a model that judges (model=tiny, minilm, mbert, ...)",
        "loss": "leave loss=multi_head, and choose the loss of the heads with loss@loss.head=focal",
        "metric": "choose metric=multi_head",
    }
    without = {
        "explore": "draws a page about comparisons; python -m arena.baseline task=multihead with the same data.* keys "
        "shows classes, splits and what simple models reach",
        "export": "cannot take several heads, which no class of transformers holds; arena.predict gives their "
        "probabilities",
    }

    def check_model(self, model: dict[str, Any]) -> None:
        """Require settings of the heads, and a formulation that reads the text once."""
        preflight.check_heads(model.get("formulation", "joint"), model)

    def check_data(self, data: dict[str, Any], reader: Any) -> None:
        from arena.core.heads import Heads
        from arena.data.loading import augment
        from arena.data.text.template import text_template

        text_template(data["template"], reader.text)
        instantiate(data["sampling"]).check(Heads(data["labels"]))
        augment.check(data["augment"] or {})
        division = instantiate(data["split"]).check()
        instantiate(data["pseudo"]).check()
        open_files(reader, data["path"], *division.hold_outs.values())

    def example(self) -> "Example":
        from arena.data.source.examples import LABELLED_TEXT

        return LABELLED_TEXT
