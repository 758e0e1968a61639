"""The form in which texts are compared: what looks or reads the same is the same."""

import re
import unicodedata

_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Unicode's Default_Ignorable_Code_Point: zero-width characters, direction marks, soft hyphens, variation selectors."""


def fold(text: str | None) -> str:
    """Return the text in Unicode form NFKC (full-width letters are letters), without case, ignorable characters and the
    kind of blanks."""
    text = text or ""
    if text.isascii():
        return " ".join(text.lower().split())
    text = unicodedata.normalize("NFKC", _IGNORABLE.sub("", text)).casefold()
    # Folding can take a text out of its normal form again.
    return " ".join(_IGNORABLE.sub("", unicodedata.normalize("NFKC", text)).split())


def without_blanks(folded: str) -> str:
    """Return a folded text without its blanks: equal texts may differ in them."""
    return folded.replace(" ", "")
