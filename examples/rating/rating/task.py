"""`task=rating`: how good one answer is, on a scale."""

from typing import Any

from arena.core.construct import instantiate
from arena.core.errors import UsageError
from arena.task.kind import TaskKind, open_files

NEEDS_CLASSES = "is about classes, and a rating is a number"


class Rating(TaskKind):
    """One number for each answer."""

    name = "rating"
    parts = {
        "data": "rating.data.RatedData",
        "loss": "rating.loss.RatingLoss",
        "metric": "rating.metric.RatingMetrics",
    }
    advice = {
        "data": "choose data=ratings",
        "model": "choose a model that judges (model=tiny, minilm, ...)",
        "loss": "choose loss=squared_error or loss=ordinal",
        "metric": "choose metric=rating",
    }
    outputs = ("score",)
    measures = {"absolute_error": False, "squared_error": False}
    without = dict.fromkeys(("baseline", "calibrate", "explore", "export"), NEEDS_CLASSES)

    def check_model(self, model: dict[str, Any]) -> None:
        """See `TaskKind.check_model`: an answer is read once."""
        if model.get("formulation", "joint") != "joint":
            raise UsageError(f"model.formulation={model['formulation']}: with task=rating an answer is read once")

    def check_data(self, data: dict[str, Any], reader: Any) -> None:
        """See `TaskKind.check_data`."""
        from arena.data.text.template import choose

        choose(data["template"], {}, "score")
        open_files(reader, data["path"], *instantiate(data["split"]).check().hold_outs.values())

    def example(self) -> Any:
        """See `TaskKind.example`."""
        from rating.source import RATED

        return RATED
