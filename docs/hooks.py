"""Hooks of MkDocs: pages that the repository itself holds, and links that leave ``docs/``.

The home page is the README; configs come from the metafiles and the configs' comments, the
reference from docstrings, results from ``benchmarks/results``. A link to one of these becomes one
to its page, a link to another file of the repository its path, or with ``repo_url`` its address.
What does not exist stays as it is, so that a strict build fails.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
RESULTS = 'benchmarks/results'
# a page of the site, the file of the repository that it shows
MIRRORED = {
    'index.md': 'README.md',
    'changelog.md': 'CHANGELOG.md',
    'contributing.md': 'CONTRIBUTING.md',
    'security.md': 'SECURITY.md',
    'configs/lvis.md': 'configs/lvis/README.md',
}
# packages of the reference, each a page
REFERENCE = {
    'adjustments': 'Rules at the class logits.',
    'frequency': 'Class statistics and their groups.',
    'protocols': 'Methods by which modules, metrics and data sets get or give statistics.',
    'evaluation': 'AP of LVIS and COCO, accuracy by group, diagnosis.',
    'calibration': 'Choosing a rule on held-out images, and folding it.',
    'models': 'Detectors, heads, losses, layers and classifiers.',
    'datasets': 'Data sets, samplers, transforms, the glyphs.',
    'formats': 'Readers of annotations, results, lists and words.',
    'engine': 'Hooks and runners.',
    'errors': 'What a user can mend.',
}
ACCURACIES = ('top1', 'many', 'medium', 'few')
LINK = re.compile(r'(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)')
CODE = re.compile(r'^(```|~~~).*?^\1|`[^`\n]+`', re.DOTALL | re.MULTILINE)
_sources: dict[str, str] = {}  # of pages of the site: the file of the repository


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make room in the navigation for generated pages."""
    _sources.clear()
    _sources.update(MIRRORED)
    for path in sorted((ROOT / RESULTS).glob('*.md')):
        _sources[f'results/{path.name}'] = f'{RESULTS}/{path.name}'
    _section(config, 'Configs').extend({name: f'configs/{name}.md'} for name in config_folders())
    _section(config, 'Reference').extend({name: f'reference/{name}.md'} for name in REFERENCE)
    pages = [uri for uri in _sources if uri.startswith('results/')]
    _section(config, 'Results').extend({title(ROOT / _sources[uri]): uri} for uri in pages)
    return config


def _section(config: MkDocsConfig, name: str) -> list:
    (section,) = (entry[name] for entry in config.nav if name in entry)
    return section


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and pictures of the results."""
    pages = {uri: (ROOT / source).read_text('utf-8') for uri, source in _sources.items()}
    pages |= config_pages() | reference_pages()
    results = [uri for uri in _sources if uri.startswith('results/')]
    lines = [f'- [{title(ROOT / _sources[uri])}]({Path(uri).name})' for uri in results]
    pages['results/index.md'] = f'# Results\n\n{RESULTS_TEXT}\n\n' + '\n'.join(lines)
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    for path in sorted((ROOT / RESULTS).glob('*.png')):
        uri = f'results/{path.name}'
        files.append(File.generated(config, uri, abs_src_path=str(path)))
        _sources[uri] = f'{RESULTS}/{path.name}'
    for file in list(files):
        _sources.setdefault(file.src_uri, f'docs/{file.src_uri}')
    return files


RESULTS_TEXT = (
    'Each page is written by the script that it names, beside a json of the same name in '
    '`benchmarks/results`. What was measured on which machine stands at its head. Accuracies on '
    'LVIS, ImageNet-LT and the like are not yet measured on a GPU.'
)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of the repository become links of the site; comments stay out of it."""
    here = page.file.src_uri
    site = {source: uri for uri, source in _sources.items()}

    def moved(match: re.Match) -> str:
        mark, text, link = match.groups()
        if re.match(r'[a-z]+:|#', link):
            return match[0]
        path, _, anchor = link.partition('#')
        target = normpath(str(PurePosixPath(_sources[here]).parent / path))
        if target in site:
            anchor = f'#{anchor}' if anchor else ''
            return f'{mark}[{text}]({relpath(site[target], PurePosixPath(here).parent)}{anchor})'
        if not (ROOT / target).exists():
            return match[0]
        if config.repo_url:
            return f'[{text}]({config.repo_url.rstrip("/")}/blob/main/{target})'
        return f'{text} (`{target}`)' if target not in text else f'`{target}`'

    text = re.sub(r'<!--.*?-->', '', markdown, flags=re.DOTALL)
    text = re.sub(r'^\[(\d+)\] ', r'\\[\1\\] ', text, flags=re.MULTILINE)  # no reference, a note
    parts, last = [], 0
    for code in CODE.finditer(text):  # code keeps what looks like a link
        if '](' in code[0] or code[0].startswith(('```', '~~~')):
            parts += [LINK.sub(moved, text[last : code.start()]), code[0]]
            last = code.end()
    return ''.join([*parts, LINK.sub(moved, text[last:])])


def title(path: Path) -> str:
    return path.read_text('utf-8').split('\n', 1)[0].lstrip('# ')


def config_folders() -> list[str]:
    folders = sorted(path.parent.name for path in (ROOT / 'configs').glob('[!_]*/*.py'))
    return list(dict.fromkeys(folders))


def config_pages() -> dict[str, str]:
    """A page for each folder of configs, of what its metafile and the configs' comments say."""
    pages = {}
    for folder in config_folders():
        meta = yaml.safe_load((ROOT / 'configs' / folder / 'metafile.yml').read_text('utf-8'))
        methods = {entry['Name']: entry['README'] for entry in meta['Collections']}
        uri = f'configs/{folder}.md'
        here = PurePosixPath(MIRRORED.get(uri, f'docs/{uri}')).parent  # where links start
        lines = [f'# {folder}', '']
        lines += ['| config | method | | epochs | published | measured here | command |']
        lines += ['|---' * 7 + '|']
        for row in meta['Models']:
            path = ROOT / row['Config']
            method = row['In Collection']
            cells = [f'`{path.name}`', f'[{method}]({relpath(methods[method], here)})']
            what = comment(path)
            cells += [what, str(row['Metadata'].get('Epochs', '')), published(row)]
            # of a rule at test alone, the checkpoint of another config
            at_test = re.search('no training|nothing to train', what)
            command = 'test {} CHECKPOINT' if at_test else 'train {}'
            cells += [measured(row, here), f'`lt_det {command.format(row["Config"])}`']
            lines.append(f'| {" | ".join(cells)} |')
        if uri in MIRRORED:
            own = (ROOT / MIRRORED[uri]).read_text('utf-8')
            lines[:2] = [own, '', '## From the metafile', '']
        pages[uri] = '\n'.join(lines) + '\n'
    lines = [f'- [`configs/{name}`]({name}.md)' for name in config_folders()]
    pages['configs/index.md'] = f'# Configs\n\n{CONFIGS_TEXT}\n\n' + '\n'.join(lines) + '\n'
    return pages


def published(row: dict) -> str:
    """What the metafile quotes, with the source."""
    values = dict(row.get('Published', {}))
    source = values.pop('Source', '')
    return f'[{numbers(values)}]({source})' if values else ''


def measured(row: dict, here: PurePosixPath) -> str:
    """Means of the rows of a results file that the metafile names, in per cent, with a link."""
    if 'Measured' not in row:
        return ''
    said = row['Measured']
    content = json.loads((ROOT / RESULTS / f'{said["Results"]}.json').read_text('utf-8'))
    metrics = [r['metrics'] for r in content['rows'] if said['Rows'].items() <= r.items()]
    if not metrics:
        raise ValueError(f'{row["Config"]}: no row of {said["Results"]}.json has {said["Rows"]}')
    kind = said.get('Metrics')
    keys = [f'{kind}_AP{group}' for group in ('', 'r', 'c', 'f')] if kind else ACCURACIES
    values = {key: 100 * sum(m[key] for m in metrics) / len(metrics) for key in keys}
    note = f' ({said["Note"]})' if 'Note' in said else ''
    page = relpath(f'{RESULTS}/{said["Results"]}.md', here)
    return f'[{numbers(values)}]({page}){note}'


def numbers(values: dict[str, float]) -> str:
    """``segm AP 26.3, APr 18.6``: the kind of AP once, where it changes."""
    words, last = [], ''
    for key, value in values.items():
        kind, _, name = key.rpartition('_')
        words.append(f'{kind if kind != last else ""} {name} {value:.1f}'.lstrip())
        last = kind
    return ', '.join(words)


CONFIGS_TEXT = (
    'One thin file for each experiment, named `{model}_{backbone}_{method}[_{setting}]`. '
    '`lt_det train CONFIG` ends with one line of AP, APr, APc and APf (accuracies of classifiers): '
    'what is to be expected there is under "measured here", in per cent, the mean of the seeds. '
    '"Published" is of the code of the paper that is linked. None has been trained here on the '
    'data of its paper: that is not yet measured on a GPU. [How a config is made of bases, and how '
    'one adds to its lists](../guides/configs.md).'
)


def comment(path: Path) -> str:
    """The first comment of a config, which says what it is."""
    found = re.search(r'^((?:# .*\n)+)', path.read_text('utf-8'), re.MULTILINE)
    return found[1].replace('# ', '').replace('\n', ' ').replace('|', '/').strip() if found else ''


def reference_pages() -> dict[str, str]:
    """A page for each package, of the modules that have public names."""
    lines = [f'- [`lt_det.{name}`]({name}.md): {text}' for name, text in REFERENCE.items()]
    pages = {'reference/index.md': '# Reference\n\nFrom the docstrings.\n\n' + '\n'.join(lines)}
    for name, text in REFERENCE.items():
        path = ROOT / 'lt_det' / name
        files = sorted(path.rglob('*.py')) if path.is_dir() else [path.with_suffix('.py')]
        modules = ['.'.join(file.relative_to(ROOT).with_suffix('').parts) for file in files]
        body = [f'::: {module}' for module in modules if not module.endswith('__init__')]
        pages[f'reference/{name}.md'] = '\n\n'.join([f'# lt_det.{name}', text, *body]) + '\n'
    return pages
