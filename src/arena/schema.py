"""Checks a configuration against the signatures of the classes that it names, without importing them.

The signature of a class is the schema of its YAML: `_target_: arena.loss.classification.Focal` is found as a file, its
`__init__` is read with `ast`, and every key and value of the node is held against the parameters and annotations found
there. So a typo or a wrong type costs a fraction of a second and not the import of torch, and no second list of keys
can drift away from the code. The aliases below say more than `float`: use them in any annotation.
"""

from typing import Annotated

Positive = Annotated[float, "greater than 0", lambda value: value > 0]
NonNegative = Annotated[float, "0 or more", lambda value: value >= 0]
Share = Annotated[float, "between 0 and 1", lambda value: 0 <= value <= 1]
Count = Annotated[int, "1 or more", lambda value: value >= 1]
WholeNumber = Annotated[int, "0 or more", lambda value: value >= 0]
InputPath = Annotated[str, "a file or folder that exists", lambda value: True]
