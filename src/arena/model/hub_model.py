"""What every model over a backbone of the hub has in common: its weights, and which of them a checkpoint needs."""

from pathlib import Path
from typing import Any

from torch import nn

from arena.model import backbone as backbones
from arena.model.adapter import Adapter


class HubModel(nn.Module):
    """A model with a `backbone` of the hub, perhaps with adapters.

    Of a backbone with adapters only these are trained, saved and restored; the rest is found again where it was
    (`recoverable`), and a fingerprint insists that it is the same.

    Attributes:
        folder: where the pretrained weights lie; None for random ones.
        source: the same in words.
        adapter: see `arena.model.adapter`.
        config: of the backbone.
    """

    folder: Path | None
    source: str
    adapter: Adapter
    config: Any

    @property
    def recoverable(self) -> set[str]:
        """Weights that are found again where they were, so no checkpoint needs them: the backbone beneath adapters."""
        if self.folder is None or self.adapter.method == "none":
            return set()
        names = [name for name in self.state_dict() if name.startswith("backbone.")]
        return {name for name in names if ".lora_" not in name}

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids that the backbone knows, V."""
        return self.config.vocab_size

    @property
    def architecture(self) -> dict[str, Any]:
        """What `architecture` must be to build this backbone again, in plain values."""
        return backbones.settings_of(self.config)

    def remember(self, loaded: backbones.Backbone) -> None:
        """Keep the fingerprint of what lies beneath adapters, and insist on it when weights are restored."""
        if self.adapter.method != "none" and loaded.fingerprint is not None:
            self.register_buffer("fingerprint", loaded.fingerprint)
            self.register_load_state_dict_pre_hook(backbones.same_backbone)
