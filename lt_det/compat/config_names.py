"""``lt_det::lvis/mask_rcnn_r50_iif.py`` as the name of a config, wherever mmengine reads one.

mmengine takes such names only for packages on its own list, only in ``_base_`` and ``get_config``,
and gives every dict of such a base the package as its registry scope. ``lt_det`` registers in
MMDetection's scope, so its configs get none here.
"""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

PREFIX = 'lt_det::'
PACKAGE = Path(__file__).resolve().parents[1]


def config_path(name: str) -> str:
    """Where the config ``lt_det::name`` lies: in the installed package, or else in this clone."""
    folders = [PACKAGE / '.mim' / 'configs', PACKAGE.parent / 'configs']
    folder = next((folder for folder in folders if folder.is_dir()), folders[0])
    return str(folder / name.removeprefix(PREFIX))


def install() -> None:
    """Teach ``Config.fromfile``, ``_base_`` and ``mmengine.hub.get_config`` these names."""
    if 'lt_det' in MODULE2PACKAGE:
        return
    MODULE2PACKAGE['lt_det'] = 'lt_det'
    base_path, from_file = Config._get_cfg_path, Config.fromfile

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if cfg_path.startswith(PREFIX):
            return config_path(cfg_path), None
        return base_path(cfg_path, filename)

    def fromfile(filename: str | Path, *args, **kwargs) -> Config:
        if str(filename).startswith(PREFIX):
            filename = config_path(str(filename))
        return from_file(filename, *args, **kwargs)

    Config._get_cfg_path = staticmethod(get_cfg_path)
    Config.fromfile = staticmethod(fromfile)
