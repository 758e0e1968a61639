"""Choices of a group of the configuration that have a key: `data=sft` has `data.prompt`."""

import re
from pathlib import Path

INSTEAD = {("data", "heads"): "task=multihead"}
"""What to type for a choice that another group brings."""
BASES = re.compile(r"(?m)(?:^ +- |^defaults: \[)(\w+)\]?$")
"""Files of the same group that a file's defaults list names."""


def hint(folder: Path, group: str, key: str, chosen: object) -> str:
    """Return ` of data=toy; data=sft has it` for a key that other choices of a group have, else nothing.

    Of a longer key the first part counts. An unknown or empty group gives nothing.
    """
    if not group:
        return ""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted((folder / group).glob("*.yaml"))}
    # A file for the package _global_ has the keys of its group one step further in.
    wanted = re.compile(rf"(?m)^(?:{group}:\n(?:[ #].*\n)*?  )?{re.escape(key.partition('.')[0])}:")

    def has(name: str) -> bool:
        text = texts.get(name, "")
        return bool(wanted.search(text)) or any(has(base) for base in BASES.findall(text))

    names = [name for name in texts if not name.startswith("_") and has(name)]
    others = [INSTEAD.get((group, name), f"{group}={name}") for name in names]
    return f" of {group}={chosen}; {', '.join(others)} {'has' if len(others) == 1 else 'have'} it" if others else ""
