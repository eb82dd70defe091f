"""Work shared among processes that inherit the memory of this one."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, islice
from typing import Any

_function: Callable[[Any], Any] | None = None


def fork_map(
    function: Callable[[Any], Any], items: Iterable[Any], num_workers: int
) -> Iterator[Any]:
    """``map`` in forked processes, in order.

    The function is inherited rather than sent, so it may hold large arrays; items and results are
    sent. With one worker or item, or where processes cannot be forked, it is called right here.

    Args:
        function: Called with one item.
        items: Taken as workers become free.
        num_workers: Number of processes.
    """
    global _function
    items = iter(items)
    head = list(islice(items, 2))
    items = chain(head, items)
    if min(num_workers, len(head)) < 2 or 'fork' not in multiprocessing.get_all_start_methods():
        yield from map(function, items)
        return
    _function = function
    context = multiprocessing.get_context('fork')
    with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
        pending: deque = deque()
        for item in items:
            pending.append(pool.submit(_call, item))
            if len(pending) > 2 * num_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    _function = None


def _call(item: Any) -> Any:
    return _function(item)
