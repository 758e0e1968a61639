"""What counts as a word: one regular expression, so that nothing is downloaded and every run cuts alike."""

import re

_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts without blanks between words: Thai, Lao, Burmese, Khmer, kana, Han. Each character is a word."""
_MARKS = "\u0300-\u036f\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
"""Accents, points and vowel signs that belong to the letter before them; Python's `\\w` knows none of these."""
_UNSEEN = "\u200b-\u200f\u202a-\u202e\u2060\ufe00-\ufe0f\ufeff"
"""Joiners, direction marks and variation selectors: no text consists of them."""
_LETTERS = f"[^\\W{_ALONE}]+(?:[{_MARKS}]+[^\\W{_ALONE}]*)*"
_PATTERN = re.compile(f"{_LETTERS}(?:'{_LETTERS})*|[^\\s{_UNSEEN}]")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case; every other visible character (a comma, an emoji) is a word too."""
    return _PATTERN.findall(text.lower().replace("\u2019", "'"))
