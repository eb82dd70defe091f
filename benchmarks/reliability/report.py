"""One page of all reliability campaigns, from the json of each.

python benchmarks/reliability/report.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'common'))

from origin import option_parser, origin, publish

KEYS = ('campaign', 'tries', 'survived', 'lost', 'found', 'fixed', 'command')


def read(folder: Path) -> list[dict]:
    """The campaigns of a folder, by name.

    Raises:
        ValueError: A file lacks a key, or its numbers do not add up.
    """
    campaigns = []
    for path in sorted(folder.glob('*.json')):
        campaign = json.loads(path.read_text())
        missing = [key for key in KEYS if key not in campaign]
        if missing:
            raise ValueError(f'{path.name} lacks {", ".join(missing)}')
        if campaign['survived'] + campaign['lost'] != campaign['tries']:
            raise ValueError(f'{path.name}: survived and lost are not the tries')
        campaigns.append(campaign)
    return campaigns


def page(campaigns: list[dict]) -> str:
    """The table, and what was found below it."""
    lines = [
        '# Reliability',
        '',
        'Tries, survived and lost are counted by the campaign: a try that is lost is one whose '
        'outcome was wrong. One whose time ended has fewer tries than its command asks for.',
        '',
        'What is listed as mended, and counted as found and fixed with what was lost, is no result '
        'of these tries. The lists are written by hand in the scripts (`FOUND`, `FIXED`): what '
        'earlier tries, of which no file is kept, tests and reading had found before.',
        '',
        '| campaign | tries | survived | lost | found | fixed |',
        '|---|---|---|---|---|---|',
    ]
    for row in campaigns:
        found = {*row['found'], *row['fixed']}
        counts = (row['tries'], row['survived'], row['lost'], len(found), len(row['fixed']))
        lines.append(f'| {row["campaign"]} | ' + ' | '.join(f'{n:,}' for n in counts) + ' |')
    for row in campaigns:
        lines += ['', f'## {row["campaign"]}', '', f'`{row["command"]}`', '']
        lines += [row['note'], ''] if row.get('note') else []
        lines += [f'- {"mended: " if f in row["fixed"] else "open: "}{f}' for f in row['found']]
        lines += [f'- mended: {fixed}' for fixed in row['fixed'] if fixed not in row['found']]
    return '\n'.join(lines) + '\n'


def main() -> None:
    args = option_parser(__doc__).parse_args()
    campaigns = read(Path(args.out, 'reliability'))
    publish(args.out, 'reliability', dict(origin(), rows=campaigns), page(campaigns))


if __name__ == '__main__':
    main()
