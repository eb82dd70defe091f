"""Work in forks of this process, for loops in numpy and pycocotools, which hold the interpreter."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

_MOST = 4  # processes for one loop


class Fork:
    """A call in a fork of this process, while this process goes on.

    The fork sees what is in memory here without a copy. It has none of the other threads, so the
    function works with numpy and pycocotools alone: hotcoco and torch wait for theirs for ever.
    Where there is one processor, or no safe fork (all but Linux), the call waits for ``result``.
    As a context manager it ends with its block: a fork whose result nobody takes is killed.

    Args:
        function: What to call; it and its arguments need not be picklable, what it returns does.
        arguments: Of the function.
    """

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self._call = function, arguments
        self._process = None
        if num_processes() < 2:
            return
        context = multiprocessing.get_context('fork')
        self._end, end = context.Pipe(duplex=False)
        ends = self._end, end
        self._process = context.Process(target=_send, args=(*ends, function, arguments))
        with warnings.catch_warnings():  # Python 3.12 warns of any other thread
            warnings.simplefilter('ignore', DeprecationWarning)
            self._process.start()
        end.close()

    def __enter__(self) -> Fork:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._end.close()
            self._process.kill()
            self._process.join()

    def result(self) -> Any:
        """What the function returns; what it raises is raised. A fork that is killed is redone."""
        if self._process is not None:
            try:
                returned, value = self._end.recv()
            except EOFError:
                returned = None
            self._end.close()
            self._process.join()
            if returned:
                return value
            if returned is not None:
                raise value
        function, arguments = self._call
        return function(*arguments)


def map_parts(function: Callable, items: Sequence, worth: bool = True) -> list:
    """Cut items into parts, call a function with each; all but the first in a :class:`Fork`.

    Args:
        function: Of a part of the items.
        items: That take about equally long.
        worth: Whether they take much longer than a fork, some 20 ms; one part if not.

    Returns:
        What the function returns for each part, in their order; of no items for one empty part.
    """
    number = max(min(num_processes(), len(items)), 1) if worth else 1
    ends = [len(items) * turn // number for turn in range(number + 1)]
    first, *others = (items[start:end] for start, end in pairwise(ends))
    with ExitStack() as stack:
        forks = [stack.enter_context(Fork(function, part)) for part in others]
        return [function(first), *(fork.result() for fork in forks)]


def num_processes() -> int:
    """Processes that are worth it: of the processors that this one may use, at most 4."""
    if sys.platform != 'linux' or multiprocessing.current_process().daemon:
        return 1
    return min(len(os.sched_getaffinity(0)), _MOST)


def _send(theirs: Any, end: Any, function: Callable, arguments: tuple) -> None:
    theirs.close()  # a fork whose reader has died gets no signal while it can read itself
    try:
        result = True, function(*arguments)
    except Exception as error:
        result = False, error
    end.send(result)
