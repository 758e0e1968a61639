"""Imported first: from here on shapes and types of the annotated functions of models, losses and metrics are checked.

An `int` passes for a `float`, as everywhere in Python. The hook finds this function by its dotted name.
"""

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
install_import_hook(["arena.loss", "arena.metric", "arena.model"], "checked_shapes.checked")
