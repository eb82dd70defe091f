"""Python text of the values in a config."""

from __future__ import annotations

WIDTH = 100


class Code(str):
    """An expression, as opposed to a text."""


def assignments(**values: object) -> list[str]:
    """Lines ``name = value``."""
    texts = (f'{name} = {code(value, 0, len(name) + 3)}' for name, value in values.items())
    return [line for text in texts for line in text.split('\n')]


def changed(name: str, values: dict) -> Code:
    """A copy of the dict of that name, with other values."""
    return Code(f'dict({name}, **{code(values, 8, WIDTH)})')


def code(value: object, indent: int, used: int = 0, wide: bool = False) -> str:
    """Python that gives the value, in lines of 100 characters where it can be broken.

    Args:
        value: Dicts, lists, tuples, and what ``repr`` can write; Code is written as it is.
        indent: Columns before the lines behind the first.
        used: Columns of the first line that are taken.
        wide: Whether to write one line, however long.
    """
    if isinstance(value, Code) or not isinstance(value, dict | list | tuple):
        return str(value) if isinstance(value, Code) else repr(value)
    start, end = {dict: ('dict(', ')'), list: ('[', ']'), tuple: ('(', ')')}[type(value)]
    pairs = value.items() if isinstance(value, dict) else (('', item) for item in value)
    pairs = [(f'{key}=' if key else '', item) for key, item in pairs]
    parts = [key + code(item, indent, wide=True) for key, item in pairs]
    line = start + ', '.join(parts) + (',' if start == '(' and len(parts) == 1 else '') + end
    if wide or indent + used + len(line) < WIDTH - 1:  # room for a comma
        return line
    if len(pairs) == 1:
        key, item = pairs[0]
        return start + key + code(item, indent, used + len(start + key)) + end
    inner, lines = indent + 4, ['']
    for (key, item), part in zip(pairs, parts):
        if inner + len(part) >= WIDTH - 2:
            part = key + code(item, inner, len(key))
        if lines[-1] and (inner + len(lines[-1]) + len(part) + 2 > WIDTH - 2 or '\n' in part):
            lines.append('')
        lines[-1] += (' ' if lines[-1] else '') + part + ','
        if '\n' in part:
            lines.append('')
    filled = '\n'.join(' ' * inner + text for text in lines if text)[:-1]
    if start == '[':  # the first item beside the bracket
        return start + filled.lstrip() + end
    return f'{start}\n{filled}{end}'
