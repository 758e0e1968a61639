"""The chat template of a model's folder: the text around the messages of a conversation."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from arena.core.errors import InputOutputError, UsageError

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The format of Qwen's and many other models."""
CONTENT = "arena-message-content"
Markup = Callable[[str], list[int]]
"""Text with special tokens -> ids."""


def around_message(folder: Path, system: str | None, markup: Markup) -> tuple[str, str]:
    """The text before and after the user's message, up to where the model's answer begins.

    Args:
        folder: holds `chat_template.jinja` or `tokenizer_config.json`.
        system: the system message, None for none (some templates then add their own).
        markup: shows whether the vocabulary knows ChatML.

    Raises:
        UsageError: the folder has no template, and the vocabulary does not know ChatML's tokens.
        InputOutputError: the template cannot be rendered.
    """
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": CONTENT})
    start, end = _between(folder, _renderer(folder, markup)(messages), [CONTENT])
    return start, end


def around_messages(folder: Path, roles: Sequence[str], markup: Markup) -> list[str]:
    """The texts before each message of a conversation, the last of which is the reply, and after it.

    The template is rendered with a mark in the place of every message: once up to where the reply begins, as the model
    will see it when it answers (`enable_thinking=False` for templates that ask), and once whole, for the end of a
    reply. So what a message says never reaches the template, and cannot become markup. A conversation that the
    assistant opens gets an empty message of the user in front where the template insists on one.

    Args:
        folder, markup: as in `around_message`.
        roles: `system`, `user` or `assistant` of each message, M of them.

    Returns:
        M + 1 texts.

    Raises:
        UsageError, InputOutputError: as `around_message`.
    """
    render = _renderer(folder, markup, enable_thinking=False)
    marks = [f"{CONTENT}-{place}-" for place in range(len(roles))]
    messages = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
    try:
        prompt = render(messages[:-1])
    except InputOutputError:
        place = sum(role == "system" for role in roles[:1])
        if roles[place] != "assistant" or place == len(roles) - 1:
            raise
        messages.insert(place, {"role": "user", "content": ""})
        prompt = render(messages[:-1])
    whole = render(messages, add_generation_prompt=False)
    return [*_between(folder, prompt, marks[:-1]), _between(folder, whole, marks[-1:])[1]]


def _between(folder: Path, rendered: str, marks: list[str]) -> list[str]:
    """The texts before, between and after some marks."""
    pieces, rest = [], rendered
    for mark in marks:
        before, found, rest = rest.partition(mark)
        if not found or mark in rest:
            raise InputOutputError(f"{folder}: its chat template does not show every message exactly once")
        pieces.append(before)
    return [*pieces, rest]


def _renderer(folder: Path, markup: Markup, **options: Any) -> Callable[..., str]:
    """Messages -> text by the folder's template, or by ChatML where the vocabulary knows it."""
    from jinja2.exceptions import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    path = folder / "tokenizer_config.json"
    named = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    template = named.get("chat_template")
    if isinstance(template, list):  # several templates by name
        template = next((each["template"] for each in template if each.get("name") == "default"), None)
    if (own := folder / "chat_template.jinja").is_file():
        template = own.read_text(encoding="utf-8")
    if template is None and any(len(markup(token)) != 1 for token in ("<|im_start|>", "<|im_end|>")):
        raise UsageError(f"data.template: the tokenizer in {folder} has no chat template; choose another template")
    for name, value in named.items():
        if name.endswith("_token") and isinstance(value, dict | str):
            options[name] = value.get("content") if isinstance(value, dict) else value
    options["strftime_now"] = lambda form: ""  # a date in the prompt would change the ids every day

    def render(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        settings = {"add_generation_prompt": add_generation_prompt, **options}
        try:
            return render_jinja_template([messages], chat_template=template or CHATML, **settings)[0][0]
        except TemplateError as error:
            raise InputOutputError(f"{folder}: its chat template refused the message ({error})") from error

    return render
