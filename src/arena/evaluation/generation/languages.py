"""Which language a text is in, from its script and a few of its most frequent words. Needs no model and no download.

A rule of thumb for "the reply is in the language that was asked for"; it is right for whole sentences and says nothing
of a text without a function word of any language that it knows.
"""

import unicodedata
from collections import Counter
from functools import lru_cache

from arena.diversity.words import words

SCRIPTS = {
    "ar": {"ARABIC"},
    "el": {"GREEK"},
    "he": {"HEBREW"},
    "hi": {"DEVANAGARI"},
    "ja": {"HIRAGANA", "KATAKANA", "CJK"},
    "ko": {"HANGUL"},
    "ru": {"CYRILLIC"},
    "th": {"THAI"},
    "zh": {"CJK"},
}
"""Languages that their script gives away (in this list): the first words of the Unicode names of their letters."""
FREQUENT = {
    "de": "der die und das ist nicht ich ein eine zu den mit von sie auf für dem sich auch es wir wie aber war",
    "en": "the and of to is a in that it you for was on are with as this be have not his they at but i",
    "es": "de la que el y los se del las un por con una su para es no lo como más pero sus está muy",
    "fr": "de la le et les des est une un du que dans pour qui sur pas ne ce il vous avec sont je au",
    "id": "yang dan di itu dengan untuk tidak ini dari dalam akan pada juga saya ke karena ada kamu bisa anda sudah",
    "it": "di che e la il un per una non del sono con le si da come anche ma della nel gli è più io",
    "nl": "de het een en van ik te dat die in niet zijn op aan met als voor er maar om hij ook was je",
    "pt": "de que o e do da em um para com não uma os no se na por mais as dos mas foi você ele",
}
"""Function words of the languages in Latin letters."""
_FREQUENT = {language: frozenset(text.split()) for language, text in FREQUENT.items()}
LANGUAGES = tuple(sorted([*SCRIPTS, *FREQUENT]))
LETTERS = 0.5
"""Share of a text's letters that its script must have."""


@lru_cache(maxsize=20_000)
def script(letter: str) -> str:
    """The script of a letter: the first word of its Unicode name, or nothing for what is no letter."""
    return unicodedata.name(letter, "").split(" ")[0] if letter.isalpha() else ""


def in_language(text: str, language: str) -> bool | None:
    """Whether a text is in a language of `LANGUAGES`; None where it cannot be told.

    In a script of its own: half of the letters or more are of that script (Japanese needs kana too, Chinese none).
    In Latin letters: no other language has more of its frequent words there, and this one has some.
    """
    shares = Counter(script(letter) for letter in text if letter.isalpha())
    total = shares.total()
    if not total:
        return None
    kana = shares["HIRAGANA"] + shares["KATAKANA"]
    if language in SCRIPTS:
        if language in ("ja", "zh") and (kana > 0) != (language == "ja"):
            return False
        return sum(shares[each] for each in SCRIPTS[language]) >= LETTERS * total
    if shares["LATIN"] < LETTERS * total:
        return False
    found = words(text)
    hits = {name: sum(word in frequent for word in found) for name, frequent in _FREQUENT.items()}
    most = max(hits.values())
    return hits[language] == most if most else None
