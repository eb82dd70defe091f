"""Which family of the OpenMMLab packages is installed: the originals, the forks, or neither.

Both families own the modules ``mmengine``, ``mmcv``, ``mmdet`` and ``mmpretrain``, so ``lt_det``
requires neither: it works with either, and its parts that need none work without.
"""

from __future__ import annotations

import sys
import warnings
from importlib.abc import MetaPathFinder
from importlib.metadata import PackageNotFoundError, version

from ..errors import DataWarning, MissingPackageError

FORK, ORIGINAL = 'onedl', 'openmmlab'
# module -> family -> the distributions that bring it, the one to install first
DISTRIBUTIONS = {
    'mmengine': {FORK: ('onedl-mmengine',), ORIGINAL: ('mmengine', 'mmengine-lite')},
    'mmcv': {FORK: ('onedl-mmcv',), ORIGINAL: ('mmcv-lite', 'mmcv')},
    'mmdet': {FORK: ('onedl-mmdetection',), ORIGINAL: ('mmdet',)},
    'mmpretrain': {FORK: ('onedl-mmpretrain',), ORIGINAL: ('mmpretrain',)},
}
# the last of the originals; MMDetection 3.3.0 takes no MMCV above 2.1
LAST = {'mmengine': '0.10.7', 'mmcv-lite': '2.1.0', 'mmdet': '3.3.0', 'mmpretrain': '1.2.0'}


def installed_distributions(module: str) -> dict[str, dict[str, str]]:
    """Family -> name -> version of the installed distributions that own ``module``."""
    owners = {}
    for family, names in DISTRIBUTIONS[module].items():
        for name in names:
            try:
                owners.setdefault(family, {})[name] = version(name)
            except PackageNotFoundError:
                continue
    return owners


def install_command(family: str, modules: tuple[str, ...] = tuple(DISTRIBUTIONS)) -> str:
    """The ``pip install`` line that brings ``modules`` from one family."""
    names = [DISTRIBUTIONS[module][family][0] for module in modules]
    pins = [f'{name}=={LAST[name]}' if family == ORIGINAL else name for name in names]
    return ' '.join(['pip install', *pins])


def missing_package(module: str) -> MissingPackageError:
    """The error for ``module`` that is not there, with the ways to install it."""
    absent = tuple(name for name in DISTRIBUTIONS if not installed_distributions(name))
    present = {family for name in DISTRIBUTIONS for family in installed_distributions(name)}
    ways = [
        f'{install_command(family, absent or (module,))} ({kind})'
        for family, kind in ((FORK, 'the maintained forks'), (ORIGINAL, 'the originals'))
        if family in (present or {FORK, ORIGINAL})
    ]
    return MissingPackageError(
        f'{module} is not installed, and this part of lt_det needs it: {", or ".join(ways)}',
        name=module,
    )


def warn_of_mixtures() -> None:
    """Warn where both families own a module: files of the one lie over those of the other."""
    for module in DISTRIBUTIONS:
        owners = installed_distributions(module)
        if len(owners) < 2:
            continue
        versions = owners[FORK] | owners[ORIGINAL]
        named = ' and '.join(f'{name} {number}' for name, number in versions.items())
        warnings.warn(
            f'{named} are both installed, and the files of one lie over those of the other in '
            f'{module}/; keep one: pip uninstall -y {" ".join(versions)}, then either '
            f'{install_command(FORK, (module,))} or {install_command(ORIGINAL, (module,))}',
            DataWarning,
            stacklevel=2,
        )


def install() -> None:
    """Have an import of a missing package inside ``lt_det`` say how to install it."""
    if not any(isinstance(finder, _Missing) for finder in sys.meta_path):
        sys.meta_path.append(_Missing())


class _Missing(MetaPathFinder):
    """The last finder that is asked: raises for the packages above, when ``lt_det`` imports them.

    Others who look whether there is an MMDetection find none, as before.
    """

    def find_spec(self, name: str, path=None, target=None) -> None:
        if name in DISTRIBUTIONS and _importer().partition('.')[0] == 'lt_det':
            raise missing_package(name)


def _importer() -> str:
    """Name of the module whose import, or look-up, is going on."""
    frame = sys._getframe(2)
    while frame and frame.f_globals.get('__name__', '').partition('.')[0] == 'importlib':
        frame = frame.f_back
    return frame.f_globals.get('__name__', '') if frame else ''
