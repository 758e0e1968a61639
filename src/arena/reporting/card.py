"""The model card of an exported model: what it is, what it was trained on, how good it is, what it cannot do."""

from collections.abc import Mapping
from typing import Any

METRICS = ("log_loss", "accuracy", "auroc", "calibration_error", "macro_f1", "macro_recall")
MEANING = {
    "joint": "Logits of the classes, from one text that shows the prompt and both answers.",
    "symmetric": "Logits of the classes, from one text that shows the prompt and both answers. Average the logits over "
    "both orders of the answers (exchange model_a and model_b in the second): then no answer gains from its place.",
    "score": "One number, the score of an answer to a prompt. Of two answers the one with the higher score is the more "
    "likely to be preferred: P(A over B) = sigmoid(score_a - score_b) where ties are left out.",
    "verbalizer": "A language model that answers with one word; the classes' probabilities are the softmax over the "
    "logits of those words at the last position.",
}


def model_card(
    name: str,
    settings: Mapping[str, Any],
    result: Mapping[str, Any],
    template: Mapping[str, Any],
    words: Mapping[str, str] | None,
    merge: bool,
    ties: str | None = None,
) -> str:
    """The card as Markdown with the hub's front matter.

    Args:
        name: its title.
        settings: the run's configuration.
        result: the run's `result.json`.
        template: the text of a row (`arena.data.text.template`).
        words: a verbalizer's answer words.
        merge: whether the folder holds a whole model; else adapters.
        ties: how two scores make the probability of a tie (`arena.model.formulation.Pairing.tie_law`).
    """
    model, data = settings["model"], settings["data"]
    sections = [
        _front_matter(model, merge),
        f"# {name}",
        f"{model['name']}, trained to say which of two answers to a prompt a person would prefer "
        f"(classes: {', '.join(data['labels'])}).",
        "## What it gives",
        " ".join(filter(None, [MEANING[model.get("formulation", "joint")], ties])),
        *_template_lines(template, words, data),
        "## How to load it",
        _loading(model, data["labels"], merge),
        "## Data",
        *_data_lines(result.get("data", {})),
        "## Metrics",
        *_metric_tables(result),
        "## Limits",
        *_limits(settings, result),
        "## Training",
        _training(settings, result),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(model: Mapping[str, Any], merge: bool) -> str:
    task = "text-generation" if model.get("formulation") == "verbalizer" else "text-classification"
    library = "transformers" if merge else "peft"
    return (
        f"---\nbase_model: {model['name']}\nlibrary_name: {library}\npipeline_tag: {task}\n"
        "tags:\n- preference\n- reward-model\n---"
    )


def _template_lines(template: Mapping[str, Any], words: Mapping[str, str] | None, data: Mapping[str, Any]) -> list[str]:
    room = data["truncation"]
    lines = [f"The text of a row (at most {room['max_length']} tokens; what is too long loses its {room['cut']}):"]
    lines.append("```\n" + str(template["text"]) + "\n```")
    if template.get("round"):
        lines.append("where `{rounds}` is, for every turn, separated by an empty line:")
        lines.append("```\n" + str(template["round"]) + "\n```")
    if template.get("chat"):
        said = f" with the system message: {template['system']}" if template.get("system") else ""
        lines.append(f"as the user's message in the model's chat template{said}.")
    lines.append("`{separator}` is the tokenizer's own separator, or an empty line where it has none.")
    if words:
        lines.append("Answer words: " + ", ".join(f"`{word}` for {label}" for label, word in words.items()) + ".")
    return lines


def _loading(model: Mapping[str, Any], labels: list[str], merge: bool) -> str:
    verbalizer = model.get("formulation") == "verbalizer"
    family = "AutoModelForCausalLM" if verbalizer else "AutoModelForSequenceClassification"
    if merge:
        lines = [f"from transformers import {family}", f'model = {family}.from_pretrained("FOLDER")']
    else:
        outputs = 1 if model.get("formulation") == "score" else len(labels)
        extra = "" if verbalizer else f", num_labels={outputs}"
        lines = [
            "from peft import PeftModel",
            f"from transformers import {family}",
            f'base = {family}.from_pretrained("{model["name"]}"{extra})',
            'model = PeftModel.from_pretrained(base, "FOLDER")',
        ]
    return "```python\n" + "\n".join(lines) + "\n```"


def _data_lines(data: Mapping[str, Any]) -> list[str]:
    if not data:
        return ["Unknown: the run says nothing of its data."]
    splits, groups = data.get("splits", {}), data.get("groups", {})
    lines = ["| split | rows | prompts | class shares |", "|---|---|---|---|"]
    for split, rows in splits.items():
        shares = data.get("class_shares", {}).get(split, {})
        said = ", ".join(f"{label} {share:.3f}" for label, share in shares.items())
        lines.append(f"| {split} | {rows:,} | {groups.get(split, 0):,} | {said} |")
    told = (
        f"{data.get('rows_read', 0):,} rows read, {data.get('rows_rejected', 0):,} rejected, "
        f"{data.get('rows_kept', 0):,} used; no prompt is in two splits. Fingerprint `{data.get('fingerprint')}`."
    )
    return [told, "\n".join(lines)]


def _metric_tables(result: Mapping[str, Any]) -> list[str]:
    tables = []
    for title, key, split in (("Test", "test", "test"), ("Validation (chose the weights)", "validation", "val")):
        metrics = result.get(key)
        if not metrics:
            continue
        baselines = result.get("baselines", {}).get(split, {})
        lines = [f"| {title} | value | 95% interval | {' | '.join(baselines)} |", "|---" * (3 + len(baselines)) + "|"]
        for name in METRICS:
            if name in metrics:
                entry = metrics[name]
                said = " | ".join(_number(values.get(name)) for values in baselines.values())
                known = entry.get("low") is not None
                interval = f"{_number(entry['low'])} to {_number(entry['high'])}" if known else ""
                lines.append(f"| {name} | {_number(entry['value'])} | {interval} | {said} |")
        tables.append("\n".join(lines))
    if not tables:
        return ["The run was not judged."]
    return [*tables, "Intervals are bootstraps over whole prompts. Log loss in nats."]


def _limits(settings: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    data = result.get("data", {})
    lines = [
        "- It predicts what the people (or judges) behind these votes preferred, and with it their habits, such as a "
        "liking for long answers. It does not know what is true.",
        "- Other prompts, languages, models and times than those of the data were not measured.",
    ]
    if data.get("truncated_share"):
        lines.append(f"- {100 * data['truncated_share']:.1f}% of the rows were longer than the limit and were cut.")
    if settings["model"].get("formulation", "joint") in ("joint", "verbalizer"):
        lines.append("- It can prefer an answer for its place: show both orders and average.")
    gain = (result.get("gain_over_prior") or {}).get("test")
    if gain and gain.get("low") is not None and gain["low"] <= 0:
        lines.append(
            "- On the test split it is not shown to be better than always giving the class shares: the 95% interval of "
            "the gain holds zero."
        )
    return ["\n".join(lines)]


def _training(settings: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    adapter = settings.get("adapter", {})
    versions = ", ".join(f"{name} {version}" for name, version in (result.get("versions") or {}).items())
    model = result.get("model") or {}
    rows = {
        "model": ", ".join(f"{key} {value}" for key, value in model.items() if key not in ("name", "source")),
        "formulation": settings["model"].get("formulation", "joint"),
        "adapter": ", ".join(f"{k} {v}" for k, v in adapter.items() if k != "_target_"),
        "loss": settings["loss"]["_target_"].rpartition(".")[2],
        "learning rate": settings["optim"]["lr"],
        "batch size": settings["data"]["loader"]["batch_size"],
        "seed": settings["seed"],
        "steps": result.get("steps"),
        "commit": (result.get("git") or {}).get("commit"),
        "versions": versions,
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
