"""How well a set of texts can be compressed: repetition of any kind makes it smaller.

Bytes of the joined texts over bytes of one pass of zlib (Shaib et al. 2024, arXiv 2403.00553). That paper's package
compresses twice, so its numbers are others. Six bytes of frame count with the compressed ones: sets of a few words come
out below 1, and only sets of like size compare.
"""

import zlib
from collections.abc import Iterable


def compression_ratio(texts: Iterable[str]) -> float:
    """Bytes before over bytes after; high is repetitive. NaN where all texts are empty.

    The texts are sorted first: what lies closer together compresses better, and their order must not matter.
    """
    joined = "\n".join(sorted(texts)).encode("utf-8", errors="replace")
    return len(joined) / len(zlib.compress(joined, 9)) if joined.strip() else float("nan")
