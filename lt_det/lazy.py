"""Names of a package that are imported when they are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def lazy_names(package: str, names: Mapping[str, Sequence[str]]) -> Callable[[str], object]:
    """``__getattr__`` of a package that imports a module when one of its names is asked for.

    Args:
        package: ``__name__`` of the package.
        names: Module in the package -> its names that the package exports.
    """
    module_of = {name: module for module, several in names.items() for name in several}

    def __getattr__(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        return getattr(import_module(f'{package}.{module_of[name]}'), name)

    return __getattr__
