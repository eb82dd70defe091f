"""Acting when another package is imported, so that ``import lt_det`` need not import it first.

Python asks the finders in ``sys.meta_path``, in order, for every module that is not yet imported.
:func:`after_import` puts one first, which finds a module as the others do and calls back when it
has been executed. :func:`stand_in` puts one last, so it is asked only for what nobody else finds.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def after_import(name: str, callback: Callable[[], None]) -> None:
    """Call back once module ``name`` has been executed: now, if it has been."""
    if name in sys.modules:
        callback()
    else:
        sys.meta_path.insert(0, _Watcher(name, callback))


def stand_in(name: str, make: Callable[[], ModuleType]) -> None:
    """Have ``import name`` give the module that ``make`` returns, where there is no real one."""
    sys.meta_path.append(_Substitute(name, make))


class _Watcher(MetaPathFinder, Loader):
    """Finder of a module, and the loader that calls back behind the module's own."""

    def __init__(self, name: str, callback: Callable[[], None]) -> None:
        self.name, self.callback = name, callback
        self.loader: Loader | None = None
        self.asking = False

    def find_spec(self, name: str, path=None, target=None) -> ModuleSpec | None:
        if name != self.name or self.asking:
            return None
        self.asking = True  # the finders behind this one
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.asking = False
        if spec is not None:
            self.loader, spec.loader = spec.loader, self
        return spec

    def __getattr__(self, name: str) -> object:
        return getattr(self.__dict__['loader'], name)  # get_source, is_package, ...

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        self.callback()


class _Substitute(MetaPathFinder, Loader):
    """Finder and loader of a module that exists in no file."""

    def __init__(self, name: str, make: Callable[[], ModuleType]) -> None:
        self.name, self.make = name, make

    def find_spec(self, name: str, path=None, target=None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name == self.name else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.make()

    def exec_module(self, module: ModuleType) -> None:
        pass
