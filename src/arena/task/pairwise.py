"""`task=pairwise`: which of two answers to a prompt a person prefers."""

from typing import TYPE_CHECKING, Any

from arena.core.construct import instantiate
from arena.core.errors import UsageError
from arena.model import preflight
from arena.task.kind import TaskKind, open_files

if TYPE_CHECKING:
    from arena.data.source.examples import Example


class Pairwise(TaskKind):
    """One classification of each comparison: model_a, model_b, and tie where there is one."""

    name = "pairwise"
    parts = {
        "data": "arena.data.module.pairwise.PairData",
        "loss": "arena.loss.base.Loss",
        "metric": "arena.metric.collection.Metrics",
    }
    advice = {
        "data": "choose data=pairs, kaggle, wsdm, ...",
        "model": "choose a model that judges (model=tiny, minilm, qwen05b, encoder, causal, ...)",
        "loss": "choose loss=cross_entropy, focal, ...",
        "metric": "choose metric=pairwise",
    }

    def check(self, settings: dict[str, Any]) -> None:
        """Require metrics of as many classes as there are labels."""
        metric, labels = settings["metric"], settings["data"]["labels"]
        for name, node in (metric.get("metrics") or {}).items():
            number = node.get("num_classes") if isinstance(node, dict) else None
            if isinstance(number, int) and labels and number != len(labels):
                raise UsageError(
                    f"metric.metrics.{name}: it is about {number} classes, and data.labels has {len(labels)}; "
                    "metric=pairwise takes any number, metric=binary two (data.labels=[model_a,model_b] "
                    "data.on_tie=drop)"
                )

    def check_model(self, model: dict[str, Any]) -> None:
        """Require a formulation that has these classes."""
        preflight.check_labels(model.get("formulation", "joint"), list(model.get("labels", [])))

    def check_data(self, data: dict[str, Any], reader: Any) -> None:
        from arena.data.target import offset
        from arena.data.target.labels import check_labels
        from arena.data.target.predictions_file import PredictionsFile
        from arena.data.text.template import check_words, choose

        labels = check_labels(data["labels"])
        formulation = data.get("formulation", "joint")
        template = choose(data["template"], data["templates"] or {}, formulation)
        if formulation == "verbalizer":
            check_words(template.get("words"), labels)
        instantiate(data["sampling"]).check(labels)
        division, pseudo = instantiate(data["split"]).check(), instantiate(data["pseudo"]).check()
        target = data["target"]
        for key, path in (("data.teacher", target["teacher"]), ("data.pseudo_labels", pseudo.predictions)):
            if path is not None:
                PredictionsFile(path, key).class_columns(labels)
        if target["offset"] is not None:
            offset.check(target["offset"], labels)
        open_files(reader, data["path"], *division.hold_outs.values(), pseudo.path)

    def example(self) -> "Example":
        from arena.data.source.examples import PAIR

        return PAIR
