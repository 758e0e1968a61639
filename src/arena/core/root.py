"""Types of the values of `conf/train.yaml` that belong to no class."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from arena.core import schema
from arena.core.schema import Count, Label, Limit, Name, NonNegative, Positive, Share, WholeNumber


@dataclass
class Monitor:
    """The one value that decides, and the direction in which it is better."""

    name: str
    mode: Literal["min", "max"]


@dataclass
class Evaluation:
    """Targets of the final evaluation, and whether it draws figures."""

    targets: dict[str, float] | None
    figures: bool


@dataclass
class TrainerChoices:
    """Keys below `trainer` that are not Lightning's."""

    cudnn_attention: bool


@dataclass
class TrainerRanges:
    """Ranges of what users type most below `trainer`: Lightning refuses them late, or takes what makes no sense."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"]
    devices: Limit | Literal["auto"] | list
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true", "32", "16", "64", "bf16"]
    max_epochs: Limit | None
    max_steps: Limit
    accumulate_grad_batches: Count
    gradient_clip_val: NonNegative | None
    log_every_n_steps: Count
    limit_val_batches: Positive | None


@dataclass
class Suggested:
    """Suggestions of a model, and the factors of its learning rate that other choices bring."""

    lr: Positive
    factors: dict[str, Positive]
    weight_decay: NonNegative
    warmup: Share
    head_lr_multiplier: Positive
    batch_size: Count
    max_epochs: Count


@dataclass
class Root:
    """Types of the values at the root of `conf/train.yaml`."""

    study: Name
    seed: WholeNumber
    resume: str | None
    monitor: dict
    validate_every: Count | None
    test: bool
    resamples: WholeNumber
    evaluate: dict
    baselines: list[Literal["length", "structure", "tfidf", "untrained"]]
    toy_rows: Count
    suggested: dict
    tags: list[Label]
    num_classes: WholeNumber
    run_dir: str
    trusted_packages: list[str]
    accept_versions: bool
    task: dict
    evaluator: dict
    data: dict
    model: dict
    tokenizer: dict
    adapter: dict
    head: dict | None
    loss: dict
    metric: dict
    schedule: dict
    optim: dict
    trainer: dict
    callback: dict
    logger: dict | None


def check_nodes(plain: dict[str, Any]) -> None:
    """Check a plain configuration against the types of this file; raises UsageError."""
    schema.check_values(plain, Root)
    schema.check_values(plain["monitor"], Monitor, "monitor.", others=())
    schema.check_values(plain.get("evaluate", {}), Evaluation, "evaluate.", others=())
    schema.check_values(plain["trainer"], TrainerChoices, "trainer.")
    schema.check_values(plain["trainer"], TrainerRanges, "trainer.")


def lightnings(trainer: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the node `trainer` that is Lightning's own."""
    own = {field.name for field in fields(TrainerChoices)}
    return {name: value for name, value in trainer.items() if name not in own}
