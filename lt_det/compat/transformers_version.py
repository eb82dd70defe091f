"""MMPretrain beside a transformers package that is newer than it knows.

MMPretrain builds its multi-modal models where transformers 4.28 or newer is installed. Of version 5
names are gone that they need, and ``import mmpretrain`` ends with a TypeError, although nobody has
asked for such a model.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version


def leave_out_multimodal() -> None:
    """Have MMPretrain register placeholders for its multi-modal models beside transformers 5."""
    try:
        major = int(version('transformers').split('.')[0])
    except (PackageNotFoundError, ValueError):
        return
    if major >= 5:
        sys.modules['mmpretrain.utils.dependency'].WITH_MULTIMODAL = False
