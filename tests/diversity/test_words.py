"""What counts as a word."""

import pytest

from arena.diversity.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat sat.", ["the", "cat", "sat", "."]),
        ("Don't don\u2019t 'x'", ["don't", "don't", "'", "x", "'"]),
        ("so good \U0001f600\U0001f600!", ["so", "good", "\U0001f600", "\U0001f600", "!"]),
        ("\u65e5\u672c\u8a9e", ["\u65e5", "\u672c", "\u8a9e"]),
        ("\u0939\u093f\u0928\u094d\u0926\u0940 hai", ["\u0939\u093f\u0928\u094d\u0926\u0940", "hai"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("", []),
        (" \n\t\u200b\u200d\ufe0f", []),
    ],
)
def test_words_of_many_scripts(text, expected):
    assert words(text) == expected
