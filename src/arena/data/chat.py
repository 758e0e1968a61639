"""The chat template of a model's folder: what stands before and behind a message of the user."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arena.errors import InputOutputError, UsageError

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}{{ '<|im_start|>assistant\\n' }}"
)
"""The format of Qwen's and many other models."""
CONTENT = "arena-message-content"


def around_message(folder: Path, system: str | None, markup: Callable[[str], list[int]]) -> tuple[str, str]:
    """The text before and behind the user's message, up to where the model's answer begins.

    Args:
        folder: holds `chat_template.jinja` or `tokenizer_config.json`.
        system: the system message, None for none (some templates then add their own).
        markup: text with special tokens -> ids; tells whether the vocabulary knows ChatML.

    Raises:
        UsageError: the folder has no template, and the vocabulary does not know ChatML's tokens.
        InputOutputError: the template cannot be rendered.
    """
    named = _named(folder)
    template = _template(folder, named)
    if template is None:
        if any(len(markup(token)) != 1 for token in ("<|im_start|>", "<|im_end|>")):
            raise UsageError(f"data.template: the tokenizer in {folder} has no chat template; choose another template")
        template = CHATML
    messages = [{"role": "system", "content": system}] if system else []
    rendered = _render(folder, template, [*messages, {"role": "user", "content": CONTENT}], named)
    start, found, end = rendered.partition(CONTENT)
    if not found or CONTENT in end:
        raise InputOutputError(f"{folder}: its chat template does not show the user's message exactly once")
    return start, end


def _named(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _template(folder: Path, named: dict[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    found = named.get("chat_template")
    if isinstance(found, list):  # several templates by name
        found = next((each["template"] for each in found if each.get("name") == "default"), None)
    return found


def _render(folder: Path, template: str, messages: list[dict[str, str]], named: dict[str, Any]) -> str:
    from jinja2.exceptions import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    # The settings that chat templates are written for; the sandbox because a template is somebody else's code.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: ""  # a date in the prompt would change the ids every day
    special = {
        name: value.get("content") if isinstance(value, dict) else value
        for name, value in named.items()
        if name.endswith("_token") and isinstance(value, dict | str)
    }
    try:
        return environment.from_string(template).render(messages=messages, add_generation_prompt=True, **special)
    except TemplateError as error:
        raise InputOutputError(f"{folder}: its chat template refused the message ({error})") from error
