"""Tokenizers that are a list of scored pieces (llama2.c, TinyStories): `vocab.json` with id, piece and score."""

import json
from pathlib import Path
from typing import Any

SPECIAL = {0: "<unk>", 1: "<s>", 2: "</s>"}
"""The first ids of every such vocabulary, by the names that transformers knows them under."""
BLANK = "\u2581"
"""How SentencePiece writes a blank."""


def tokenizer(folder: Path) -> Any:
    """A byte-pair encoding whose merges are all pairs of pieces that make a piece, the best score first.

    That is what llama2.c's own encoder does: it joins the neighbours whose union has the best score until none is left.

    Args:
        folder: may hold such a `vocab.json`: a list of `{"id", "piece", "score"}`, the piece's bytes as latin-1.

    Returns:
        A `tokenizers.Tokenizer`; None where the folder has no such file.
    """
    path = folder / "vocab.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if not isinstance(entries, list):
        return None
    from tokenizers import Tokenizer, decoders, models, normalizers, processors

    pieces: dict[str, tuple[int, float]] = {}
    for entry in entries:
        text = entry["piece"].encode("latin-1").decode("utf-8")
        number = int(entry["id"])
        name = SPECIAL[number] if number in SPECIAL else text.replace(" ", BLANK)
        pieces[name] = (entry["id"], entry["score"])
    merges = [
        (piece[:cut], piece[cut:])
        for piece, _ in sorted(pieces.items(), key=lambda item: -item[1][1])
        if not piece.startswith("<0x") and piece not in SPECIAL.values()
        for cut in range(1, len(piece))
        if piece[:cut] in pieces and piece[cut:] in pieces
    ]
    vocabulary = {piece: number for piece, (number, _) in pieces.items()}
    made = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend(BLANK), normalizers.Replace(" ", BLANK)])  # pyright: ignore
    made.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse()])  # pyright: ignore
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])  # pyright: ignore
    made.add_special_tokens(list(SPECIAL.values()))
    return made
