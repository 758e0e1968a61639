"""Reason codes: why a record of a file is not used, or deserves a look."""

from arena.data.source.examples import WINNERS

LONGEST_CELL = 2**24
"""Characters in one cell; Python's own limit for csv, 131,072, is shorter than real answers."""
CODES = {
    "E_CSV": "a line of a csv file that breaks the syntax: text behind a closing quote, or a quote that nothing closes",
    "E_RAGGED": "a csv record with more or fewer cells than the header",
    "E_JSON": "a line or a cell that is not the JSON it should be",
    "E_ENCODING": "a text with bytes that are not UTF-8, half a surrogate pair or NUL",
    "E_TOO_LONG": f"a cell of more than {LONGEST_CELL} characters",
    "E_TYPE": "a cell of the wrong type, such as a number where text is needed",
    "E_IMAGE": "a part of a conversation that is not text",
    "E_ROLES": "a conversation in which user and assistant do not take turns",
    "E_TURNS_MISMATCH": "the two sides do not answer the same turns",
    "E_EMPTY_ALL": "no text at all in the prompt and both answers, or in the text to classify",
    "E_EMPTY_REPLY": "a reply without any text",
    "E_LABEL": f"a label that is none of the known ones ({', '.join(WINNERS)}; the classes of a head)",
    "E_LABEL_SUM": "label columns of which not exactly one is 1, or probabilities that do not sum to 1",
    "E_DUP_ID": "an id that an earlier row of the same file has",
    "W_NULL_TURN": "a missing turn; it stays missing",
    "W_IDENTICAL_AB": "both answers are the same",
    "W_JSON_TEXT": "plain text in the form of a JSON list; data.reader.layout=arena reads it as turns",
    "W_SYSTEM": "a conversation whose system message, the same on both sides, was left out",
    "W_CONFLICT": "rows with the same prompt and answers but another label",
    "W_EMPTY_PROMPT": "a reply to nothing: the prompt has no text",
    "W_AFTER_REPLY": "messages after the assistant's last one, which were left out",
    "W_OPENED": "a conversation that the assistant opens",
}
"""Meaning of each reason code. E_: the record is not used. W_: the row is used and counted."""


class RowError(Exception):
    """A record that cannot be used: a code of `CODES`, the column (perhaps "") and the reason in words."""

    def __init__(self, code: str, column: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.column, self.reason = code, column, reason
