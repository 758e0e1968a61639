"""`task=sft`: supervised fine-tuning of a language model on replies."""

from typing import TYPE_CHECKING, Any

from arena.core.construct import instantiate
from arena.task.kind import TaskKind, open_files

FOR_CLASSIFIERS_ONLY = (
    "is about models that judge; of one that writes replies, arena.evaluate run=FOLDER samples and judges replies, "
    "and arena.compare compares runs"
)

if TYPE_CHECKING:
    from arena.data.source.examples import Example


class Sft(TaskKind):
    """Cross entropy of the reply tokens, alone or with a term that acts on sampled replies."""

    name = "sft"
    parts = {
        "data": "arena.data.module.sft.ReplyData",
        "model": "arena.model.causal.CausalModel",
        "loss": "arena.loss.language.LanguageModel",
        "metric": "arena.metric.replies.ReplyMetrics",
    }
    advice = {
        "data": "choose data=sft data.path=FILE, or data=toy_replies",
        "model": "choose a language model (model=tiny_causal, stories, smollm2_135m, qwen05b_causal, causal_lm, ...)",
        "loss": "choose loss=language_model or loss=polychromic",
        "metric": "choose metric=replies",
    }
    writes_replies = True
    without = dict.fromkeys(("baseline", "calibrate", "explore", "export", "predict"), FOR_CLASSIFIERS_ONLY)

    def check_data(self, data: dict[str, Any], reader: Any) -> None:
        from arena.data.loading.reply_collate import check_packing
        from arena.data.text.reply_layout import check_template

        check_template(data["template"])
        instantiate(data["truncation"]).check()
        check_packing(data["packing"], data["loader"]["batch_size"])
        open_files(reader, data["path"], *instantiate(data["split"]).check().hold_outs.values())

    def example(self) -> "Example":
        from arena.data.source.examples import CONVERSATION

        return CONVERSATION
