"""The chat template of a model's folder: what stands before and behind the messages of a conversation."""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from arena.core.errors import InputOutputError, UsageError

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
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
    template = _known(folder, named, markup)
    messages = [{"role": "system", "content": system}] if system else []
    rendered = _render(folder, template, [*messages, {"role": "user", "content": CONTENT}], named)
    start, found, end = rendered.partition(CONTENT)
    if not found or CONTENT in end:
        raise InputOutputError(f"{folder}: its chat template does not show the user's message exactly once")
    return start, end


def around_messages(folder: Path, roles: Sequence[str], markup: Callable[[str], list[int]]) -> list[str]:
    """The texts before each message of a conversation, the last of which is the reply, and behind it.

    The template is rendered with a mark in the place of every message: once up to where the reply begins, as the model
    will see it when it answers (`enable_thinking=False` for templates that ask), and once whole, for what ends a reply.
    So what a message says never reaches the template, and cannot become markup. A conversation that the assistant
    opens gets an empty message of the user in front where the template insists on one.

    Args:
        folder: holds `chat_template.jinja` or `tokenizer_config.json`.
        roles: `system`, `user` or `assistant` of each message, M of them.
        markup: as in `around_message`.

    Returns:
        M + 1 texts.

    Raises:
        UsageError, InputOutputError: as `around_message`.
    """
    named = _named(folder)
    template = _known(folder, named, markup)
    marks = [f"{CONTENT}-{place}-" for place in range(len(roles))]
    messages = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
    options = {"enable_thinking": False}
    try:
        asked = _render(folder, template, messages[:-1], named, **options)
    except InputOutputError:
        place = sum(role == "system" for role in roles[:1])
        if roles[place] != "assistant" or place == len(roles) - 1:
            raise
        messages.insert(place, {"role": "user", "content": ""})
        asked = _render(folder, template, messages[:-1], named, **options)
    whole = _render(folder, template, messages, named, add_generation_prompt=False, **options)
    pieces, rest = [], asked
    for mark in marks[:-1]:
        before, found, rest = rest.partition(mark)
        if not found or mark in rest:
            raise InputOutputError(f"{folder}: its chat template does not show every message exactly once")
        pieces.append(before)
    if whole.count(marks[-1]) != 1:
        raise InputOutputError(f"{folder}: its chat template does not show the assistant's reply exactly once")
    return [*pieces, rest, whole.partition(marks[-1])[2]]


def _known(folder: Path, named: dict[str, Any], markup: Callable[[str], list[int]]) -> str:
    """The folder's template, or ChatML where the vocabulary knows it."""
    template = _template(folder, named)
    if template is None:
        if any(len(markup(token)) != 1 for token in ("<|im_start|>", "<|im_end|>")):
            raise UsageError(f"data.template: the tokenizer in {folder} has no chat template; choose another template")
        template = CHATML
    return template


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


def _render(
    folder: Path,
    template: str,
    messages: list[dict[str, str]],
    named: dict[str, Any],
    add_generation_prompt: bool = True,
    **options: Any,
) -> str:
    from jinja2.exceptions import TemplateError

    special = {
        name: value.get("content") if isinstance(value, dict) else value
        for name, value in named.items()
        if name.endswith("_token") and isinstance(value, dict | str)
    }
    try:
        return _compiled(template).render(
            messages=messages, add_generation_prompt=add_generation_prompt, **special, **options
        )
    except TemplateError as error:
        raise InputOutputError(f"{folder}: its chat template refused the message ({error})") from error


@lru_cache(maxsize=8)
def _compiled(template: str) -> Any:
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
    return environment.from_string(template)
