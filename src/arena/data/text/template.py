"""Templates: how a comparison becomes one text, and that text token ids.

A template is a small node of the configuration (`data.templates.<name>`):
    text    the whole: `{prompt}`, `{response_a}` and `{response_b}` once each, all turns of each one after the other;
            or `{rounds}` once, for a layout in which every turn stands by itself
    round   the layout of one turn, with the same three placeholders; only with `{rounds}`
    chat    true: the text is the user's message in the chat template of the model's tokenizer
    system  the system message of that chat
    words   the answer of a language model for each class, one token each (`{model_a: "0", ...}`)
A model that reads one answer at a time (`model.formulation=score`) has `{prompt}` and `{response}` instead.
`{separator}` stands for the tokenizer's own separator. Only the words of a template may become special tokens, and only
through the chat template; what people wrote is never markup.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

import numpy as np

from arena.core.errors import UsageError
from arena.core.schema import closest
from arena.data.source.examples import PAIR
from arena.data.text.tokenizer import Tokenizer

PLAIN = "{prompt}{separator}{response_a}{separator}{response_b}"
TURN_BREAK = "\n"
ROUND_BREAK = "\n\n"
KEYS = ("text", "round", "chat", "system", "words")
ONE_ANSWER = ("prompt", "response")
"""The fields of a template for one answer at a time."""
AUTO = {"joint": "plain", "symmetric": "plain", "score": "answer", "verbalizer": "digit"}
"""The template that `data.template=auto` means for each formulation."""
Piece = str | np.ndarray
"""One part of a template: the name of a field, or token ids that are the same in every row."""


@dataclass(frozen=True)
class Layout:
    """A template in token ids.

    Attributes:
        whole: the parts of a row in order, special ids of the tokenizer included; a field's name stands for all of its
            turns, "rounds" for all rounds.
        round: the parts of one turn, None where the fields stand one after the other.
        between: ids between two turns of a field, or between two rounds.
    """

    whole: list[Piece]
    round: list[Piece] | None
    between: np.ndarray

    @property
    def base(self) -> int:
        """Fixed tokens of a row besides those of its turns: a row of n turns has `base + n * per_turn` of them."""
        return _fixed(self.whole) - self._breaks()

    @property
    def per_turn(self) -> int:
        """Fixed tokens that each turn of a row adds."""
        return _fixed(self.round or []) + self._breaks()

    def _breaks(self) -> int:
        return sum(isinstance(piece, str) for piece in self.whole) * len(self.between)


def choose(template: str, templates: Mapping[str, Any], formulation: str = "joint") -> dict[str, Any]:
    """The template of that name, that of the formulation for "auto", or `template` itself where it has placeholders.

    Raises:
        UsageError: no template has this name, it has a key that templates do not have, or it shows two answers where
            the formulation reads one, or the other way round.
    """
    if template == "auto":
        template = AUTO[formulation]
        templates = {"plain": PLAIN} | dict(templates)
    if "{" not in template and template not in templates:
        raise UsageError(f"data.template={template}: no such template{closest(template, templates)}")
    chosen = template if "{" in template else templates[template]
    found = {"text": chosen} if isinstance(chosen, str) else dict(chosen)
    for key in found:
        if key not in KEYS:
            raise UsageError(f"data.templates.{template}.{key}: no such key{closest(key, KEYS)}")
    one = "{response}" in found["text"] + (found.get("round") or "")
    if one != (formulation == "score"):
        shows, reads = ("one answer", "two") if one else ("two answers", "one")
        raise UsageError(
            f"data.template={template[:40]}: it shows {shows} at a time, but model.formulation={formulation} reads "
            f"{reads}; data.template=auto takes a fitting one"
        )
    return found


def text_template(template: str | None, columns: Sequence[str]) -> str:
    """The template of a text with several labels: by default the text alone, or context, separator and text.

    Args:
        template: holds `{text}` once, and `{context}` where there is one; None for the default.
        columns: `data.text`; those after the first are the context.

    Raises:
        UsageError: no `{text}`, or `{context}` without a column for it or the other way round.
    """
    context = len(columns) > 1
    if template is None:
        template = "{context}{separator}{text}" if context else "{text}"
    if template.count("{text}") != 1 or template.count("{context}") != int(context):
        wanted = "{text} and {context} once each" if context else "{text} once"
        raise UsageError(f"data.template={template[:40]}: it must hold {wanted} (data.text has {len(columns)} columns)")
    return template


def check_words(words: Mapping[str, str] | None, labels: Sequence[str]) -> dict[str, str]:
    """The answer word of each class in the order of `labels`; a `UsageError` where one is missing or two are equal."""
    given = words or {}
    known = {label: str(given[label]) for label in labels if label in given}
    missing = [label for label in labels if label not in known]
    if missing:
        raise UsageError(
            f"data.template: model.formulation=verbalizer needs a word for every class, there is none for "
            f"{', '.join(missing)}; give it in the template's words (conf/data/_templates.yaml, digit)"
        )
    if len(set(known.values())) < len(known):
        raise UsageError(f"data.template: the classes need different words, these are {list(known.values())}")
    return known


def word_tokens(words: Mapping[str, str], tokenizer: Tokenizer, text: str = "") -> list[int]:
    """The token id of each word as it follows the last words of the template `text`, `[K]`: some tokenisers write a
    word after other words differently than a word by itself. A `UsageError` where it is not exactly one token."""
    before = text.rpartition("}")[2] or "\n"
    found = []
    for label, word in words.items():
        ids = ids_after(tokenizer, before, word)
        if len(ids) != 1:
            raise UsageError(
                f"data.template: the word '{word}' for {label} has {len(ids)} tokens after '{before[-20:]}'; a "
                "verbalizer needs words of one"
            )
        found += ids
    return found


def ids_after(tokenizer: Tokenizer, before: str, words: str) -> list[int]:
    """The ids of words that follow a text; those of the words alone where they would change the text's ids."""
    known, both = (ids.tolist() for ids in tokenizer.encode([before, before + words]))
    return both[len(known) :] if both[: len(known)] == known else tokenizer.encode([words])[0].tolist()


def compile_template(
    tokenizer: Tokenizer,
    text: str = PLAIN,
    round: str | None = None,
    chat: bool = False,
    system: str | None = None,
    words: Mapping[str, str] | None = None,
    fields: Sequence[str] | None = None,
) -> Layout:
    """The layout that a template means for this tokenizer; `words` is not part of it (`word_tokens`).

    `fields` are the columns of text that it shows: by default those of a comparison, or of one of its answers.

    Raises:
        UsageError: an unknown placeholder, a field that does not occur exactly once, rounds without a layout of a round
            or the other way round, or a chat template where the tokenizer has none.
    """
    if system is not None and not chat:
        raise UsageError("data.templates: a system message needs chat: true")
    fields = fields or (ONE_ANSWER if "{response}" in text + (round or "") else PAIR.texts)
    start, end = tokenizer.chat(system) if chat else (tokenizer.prefix, tokenizer.suffix)
    inner = _parse(text, fields if round is None else ("rounds",), tokenizer, "data.template")
    turn = None if round is None else _parse(round, fields, tokenizer, "round of data.template")
    between = tokenizer.encode([TURN_BREAK if turn is None else ROUND_BREAK])[0].astype(np.int32)
    return Layout([np.array(start, np.int32), *inner, np.array(end, np.int32)], turn, between)


def words_and_fields(template: str, usage: str) -> list[tuple[str, str]]:
    """The words of a template, each with the field after them as it is written; the last words have the field "".

    Raises:
        UsageError: a brace that is neither part of a field nor written as two; the message begins with `usage`.
    """
    found, words = [], ""
    try:
        for text, name, form, conversion in Formatter().parse(template):
            words += text  # an escaped brace has no field: the words go on after it
            if name is not None:
                found.append((words, f"{name}{'!' + conversion if conversion else ''}{form and ':' + form}"))
                words = ""
    except ValueError as error:
        raise UsageError(f"{usage} ({error}; write a brace in the text as two)") from error
    return [*found, (words, "")]


def _parse(template: str, fields: Sequence[str], tokenizer: Tokenizer, where: str) -> list[Piece]:
    wanted = ", ".join("{" + name + "}" for name in fields)
    usage = f"{where} needs {wanted} once{' each' if len(fields) > 1 else ''}; {{separator}} is optional"
    pieces: list[Piece] = []
    names = words_and_fields(template, usage)
    for place, (words, name) in enumerate(names, start=1):
        if words:
            pieces.append(tokenizer.encode([words])[0].astype(np.int32))
        if place < len(names):
            if name not in (*fields, "separator"):
                raise UsageError(f"{usage}; found {{{name}}}")
            pieces.append(np.array(tokenizer.separator, np.int32) if name == "separator" else name)
    for name in fields:
        found = [each for _, each in names].count(name)
        if found != 1:
            raise UsageError(f"{usage}; found {{{name}}} {found} times")
    return pieces


def _fixed(pieces: Sequence[Piece]) -> int:
    return sum(len(piece) for piece in pieces if not isinstance(piece, str))
