"""What a campaign says: how many tries, which were lost, what was found and mended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from origin import origin


def write_outcome(
    folder: str, campaign: str, tries: int, lost: Sequence[str], mended: Sequence[str], **more
) -> Path:
    """Write ``reliability/CAMPAIGN.json`` into a folder of results.

    Args:
        folder: The folder of results.
        campaign: The name of the campaign.
        tries: How many there were.
        lost: In words, those whose outcome was wrong.
        mended: In words, what earlier tries, tests and reading had found.
        more: Other keys.
    """
    import torch

    content = dict(
        campaign=campaign,
        tries=tries,
        survived=tries - len(lost),
        lost=len(lost),
        found=[*mended, *lost],
        fixed=[*mended],
        **more,
        **origin(f'torch {torch.__version__}'),
    )
    path = Path(folder, 'reliability', f'{campaign.replace(" ", "_")}.json')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + '\n')
    return path
