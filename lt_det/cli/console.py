"""A quiet console: what lt_det says, warnings that matter, errors; the rest goes to the log file.

MMEngine logs its environment, the whole config and the order of hooks before the first number, and
the packages below it warn about themselves. None of that helps a person who watches a training; all
of it helps one who looks for a fault, so it is kept in the log file of the work dir.
"""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial, wraps
from io import StringIO, TextIOWrapper
from pathlib import Path

from ..errors import DataWarning

_OWN = str(Path(__file__).resolve().parents[1])
_NOISE = re.compile(
    '|'.join(
        (
            'faster_coco_eval is not installed',
            'will be deprecated in (the )?future',
            'is deprecated',
            'is the alias of',
            'pkg_resources',
            'The prefix is not set in metric class',
            'Failed to search registry with scope',
            'Failed to import .* make sure the',
            'There are no callable functions',
            "pin_memory' argument is set as true but no accelerator",
            'Visualizer backend "LocalVisBackend" is not specified',
            r'Glyph \d+ .* missing from (current )?font',
            'Setting (MKL|OMP)_NUM_THREADS environment variable',
            'torch.meshgrid: in an upcoming release',
            'xFormers is not available',
            'flash.attention',
            'init_weights of .* has been called more than once',
            'is out of bounds, the drawn',
            'palette does not exist',
            'This DataLoader will create .* worker processes',
        )
    ),
    re.IGNORECASE,
)
# of the code of packages, not of the run
_OF_CODE = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, SyntaxWarning)

_for_log: list[str] = []  # said before there was a log file
LONGEST = 300  # characters of a warning
LOG_ONLY = dict(log_only=True)  # extra= of a record that is not for the console


def is_noise(message: str, category: type[Warning] = UserWarning) -> bool:
    """Whether a warning of another package is about that package and not about the user's run."""
    return issubclass(category, _OF_CODE) or bool(_NOISE.search(message))


class ConsoleFilter(logging.Filter):
    """Lets through what a module of lt_det logs, and warnings and errors but for known noise."""

    def filter(self, record: logging.LogRecord) -> bool:
        if hasattr(record, 'log_only'):
            return False
        if record.levelno < logging.WARNING:
            return str(Path(record.pathname).resolve()).startswith(_OWN)
        return record.levelno >= logging.ERROR or not is_noise(record.getMessage())


class ConsoleFormatter(logging.Formatter):
    """The message alone; a warning or an error is called one, and takes one line."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.levelno < logging.WARNING:
            return message
        return f'{record.levelname.lower()}: {one_line(message)}'


def one_line(text: str) -> str:
    """Without line breaks, and cut where it is longer than a person reads."""
    text = ' '.join(text.split())
    return text if len(text) <= LONGEST else f'{text[:LONGEST]} ... (all of it: in the log file)'


@contextmanager
def show_data_warnings(quiet: bool) -> Iterator[None]:
    """A ``note:`` line for what the reading of data dropped or assumed; noise to the log file."""
    show = warnings.showwarning
    warnings.showwarning = partial(_show_warning, show, quiet)
    try:
        yield
    finally:
        warnings.showwarning = show


def _show_warning(
    show: Callable, quiet: bool, message: Warning | str, category: type, *where, **more
) -> None:
    if issubclass(category, DataWarning):
        print(f'note: {message}', file=sys.stderr)
    elif quiet and is_noise(str(message), category):
        _to_log(f'{category.__name__}: {message}')
    elif quiet:
        print(f'warning: {one_line(str(message))}', file=sys.stderr)
    else:
        show(message, category, *where, **more)


@contextmanager
def quiet_loggers(quiet: bool = True) -> Iterator[None]:
    """Within, loggers of MMEngine that are made write to the console only what is for a person.

    Their log files get everything, also what other packages print when they are imported, and what
    is printed of checkpoints.
    """
    if not quiet:
        yield
        return
    with prints_to_log():
        from mmengine.logging import MMLogger
        from mmengine.runner import checkpoint

        from .. import components  # noqa: F401, imports MMDetection and MMPretrain
    print_log = checkpoint.print_log

    def log(message: str, logger: object = None, level: int = logging.INFO) -> None:
        print_log(message, logger or 'current', level)

    make = MMLogger.__init__

    @wraps(make)
    def init(self: MMLogger, *args, **kwargs) -> None:
        make(self, *args, **kwargs)
        for handler in self.handlers:
            if getattr(handler, 'stream', None) is sys.stdout:
                handler.addFilter(ConsoleFilter())
                handler.setFormatter(ConsoleFormatter())
        while _for_log:
            self.info(_for_log.pop(0), extra=LOG_ONLY)

    MMLogger.__init__, checkpoint.print_log = init, log
    try:
        yield
    finally:
        MMLogger.__init__, checkpoint.print_log = make, print_log


@contextmanager
def prints_to_log() -> Iterator[None]:
    """Within, what is printed goes to the log file."""
    printed = StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        for line in printed.getvalue().splitlines():
            _to_log(line)


def _to_log(text: str) -> None:
    logging_module = sys.modules.get('mmengine.logging')
    if logging_module and logging_module.MMLogger._instance_dict:
        logging_module.MMLogger.get_current_instance().info(text, extra=LOG_ONLY)
    else:
        _for_log.append(text)


@contextmanager
def log_errors_in_a_line() -> Iterator[None]:
    """Say once, in a line, that a log cannot be written, as on a full disk.

    Python shows a traceback for every line of the log. Characters that the locale does not have are
    written as escapes.
    """
    before = logging.Handler.handleError
    said: set[str] = set()

    def say(handler: logging.Handler, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        stream = getattr(handler, 'stream', None)
        if isinstance(error, UnicodeEncodeError) and isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')
            handler.emit(record)
        elif not isinstance(error, OSError):
            before(handler, record)
        elif str(error) not in said:
            said.add(str(error))
            print(f'warning: the log cannot be written: {error.strerror}', file=sys.stderr)

    logging.Handler.handleError = say
    try:
        yield
    finally:
        logging.Handler.handleError = before
