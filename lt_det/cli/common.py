"""What the command line tools share: arguments, config, process group, errors without traceback.

The tools import what takes seconds after they have parsed their arguments, and so does this module:
``--help`` and a wrong argument are answered at once.
"""

from __future__ import annotations

import argparse
import errno
import gc
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from time import sleep
from typing import TYPE_CHECKING
from urllib.error import URLError

from ..config_file import read_config
from ..errors import BadInputError, MissingFileError, UserError
from ..formats.files import check_folder, looks_like_checkpoint
from ..label_order import put_in_label_order
from .config_errors import warn_of_misspelt_keys
from .console import log_errors_in_a_line, show_data_warnings
from .loader_options import check_shared_memory, fit_loader_options
from .lost_processes import LostProcessError
from .ranks import let_the_first_speak

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner


PARTS = ('train', 'val', 'test')
# causes that no code of ours can mend: a full or read-only disk, rights, too many open files, a
# file where a folder should be
OF_THE_MACHINE = {
    getattr(errno, name)
    for name in (
        *('ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'EMFILE', 'ENFILE', 'ENAMETOOLONG'),
        *('EEXIST', 'ENOTDIR', 'EISDIR'),
    )
    if hasattr(errno, name)
}


class KeyValueAction(argparse.Action):
    """MMEngine's DictAction, imported when the option is used; a text keeps its spaces."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        for text in values:
            if not text.partition('=')[0] or '=' not in text:
                parser.error(f'argument {option_string}: {text!r}, expected KEY=VALUE')
        from mmengine.config import DictAction

        try:
            DictAction(self.option_strings, self.dest)(parser, namespace, values, option_string)
        except AssertionError as error:  # of brackets
            parser.error(f'argument {option_string}: {error}')
        except RecursionError:
            parser.error(
                f'argument {option_string}: a value cannot be read; expected numbers, texts and '
                'lists of them, and of a dict key by key: model.head.adjustment.type=NorCal'
            )
        given = getattr(namespace, self.dest)
        for text in values:
            key, _, value = text.partition('=')
            whole = value.strip('\'"')
            if isinstance(given[key], str) and given[key] == whole.replace(' ', ''):
                given[key] = whole  # a path, say


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that training and testing share, named as in MMDetection."""
    parser.add_argument('--work-dir', help='where results go; default: work_dirs/CONFIG_NAME')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    # torchrun sets the environment variable, older launchers pass the argument
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    add_config_arguments(parser)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of all that read a config and a checkpoint."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=KeyValueAction,
        metavar='KEY=VALUE',
        help='override config values, e.g. train_cfg.max_epochs=1 data.list="[a,b]"',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read checkpoints that hold more than tensors; this runs code that they contain',
    )
    parser.add_argument(
        '--verbose',
        action='store_true',
        help='show on the console what otherwise goes to the log file alone',
    )


@contextmanager
def rare_collections() -> Iterator[None]:
    """A garbage collector that does not begin with every 700 objects.

    Importing makes a million that stay, and it would go through them again and again.
    """
    before = gc.get_threshold()
    gc.set_threshold(20_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@rare_collections()
def load_config(args: argparse.Namespace) -> Config:
    """The config of ``args`` with its overrides and its work dir."""
    if '::' not in args.config and not Path(args.config).is_file():
        raise MissingFileError(f'config {args.config} does not exist')
    if '::' not in args.config and looks_like_checkpoint(args.config):
        raise BadInputError(
            f'config {args.config} looks like a checkpoint; expected the config first'
        )
    cfg = read_config(args.config)
    check_kinds(cfg, args.config)
    warn_of_misspelt_keys(cfg)
    cfg.launcher = getattr(args, 'launcher', 'none')
    options = args.cfg_options or {}
    kind = (cfg.get('model') or {}).get('type')
    add_statistics(cfg, options.get('model.type', kind))  # first: an option may change the hook
    try:
        cfg.merge_from_dict(options)
    except (KeyError, IndexError, TypeError) as error:
        raise BadInputError(f'--cfg-options does not fit {args.config}: {error}') from error
    check_kinds(cfg, args.config)
    put_in_label_order(cfg)
    fit_loader_options(cfg)
    if getattr(args, 'work_dir', None) is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', Path(args.config).stem))
    return cfg


def check_kinds(cfg: Config, path: str) -> None:
    """Refuse parts of a config that are no dict or list where MMEngine takes them for one.

    Raises:
        BadInputError: Names the key, the value and what is expected.
    """
    kinds = {
        **dict.fromkeys(('model', 'optim_wrapper', 'default_hooks', 'env_cfg'), dict),
        **{f'{part}_{key}': dict for part in PARTS for key in ('dataloader', 'cfg')},
        **{f'{part}_evaluator': (dict, list, tuple) for part in ('val', 'test')},
        'custom_hooks': (list, tuple),
        'custom_imports': dict,
    }
    for key, kind in kinds.items():
        value = cfg.get(key)
        if value is not None and not isinstance(value, kind):
            expected = 'a dict' if kind is dict else 'a list'
            raise BadInputError(f'config {path}: {key} is {value!r:.100}, expected {expected}')
    for key in ('custom_hooks', 'val_evaluator', 'test_evaluator'):
        entries = cfg.get(key)
        for number, entry in enumerate(entries if isinstance(entries, (list, tuple)) else ()):
            if not isinstance(entry, dict):
                raise BadInputError(
                    f'config {path}: {key}.{number} is {entry!r:.100}, expected a dict'
                )


def load_formatter() -> None:
    """Import what MMEngine formats configs with, also while another first training does it.

    YAPF writes its grammar to the cache of the user in place, where others read half of it.
    """
    for wait in (0.1, 0.5, 2.0, 0.0):
        try:
            import_module('yapf.yapflib.yapf_api')
            return
        except (EOFError, UnpicklingError):
            if not wait:
                raise
            sleep(wait)


@rare_collections()
def build_runner(cfg: Config, args: argparse.Namespace) -> Runner:
    """The runner of ``cfg``; without CUDA, processes started by torchrun join over gloo.

    Raises:
        UserError: The work dir cannot be written to.
    """
    try:
        check_folder(cfg.work_dir)
    except UserError as error:
        raise UserError(f'work dir {error}; --work-dir names another') from error
    import torch
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    from ..compat.checkpoint import restrict_checkpoint_loading

    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    restrict_checkpoint_loading(args.trust_checkpoint)
    check_shared_memory(cfg)
    load_formatter()
    hooks = ['FirstImagesHook', 'CheckpointFitHook', *([] if args.verbose else ['ConsoleHook'])]
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), *(dict(type=hook) for hook in hooks)]
    if args.launcher == 'pytorch' and not torch.cuda.is_available():
        # MMEngine would select a CUDA device; a process group that exists is left alone.
        timeout = (cfg.get('env_cfg') or {}).get('dist_cfg', {}).get('timeout')
        limit = {} if timeout is None else dict(timeout=timedelta(seconds=timeout))
        torch.distributed.init_process_group('gloo', **limit)
        cfg.setdefault('model_wrapper_cfg', dict(type='MMDistributedDataParallel'))
        cfg.model_wrapper_cfg.setdefault('device_ids', None)
        for key, value in dict(broadcast_buffers=False, find_unused_parameters=False).items():
            cfg.model_wrapper_cfg.setdefault(key, cfg.get(key, value))
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def add_statistics(cfg: Config, kind: str | None) -> None:
    """Add the hook that brings class statistics to a detector that ``LongTail`` adjusts.

    A config of MMDetection with ``type='LongTail'`` as its one change has none.

    Args:
        cfg: The whole config.
        kind: ``model.type`` of it, or that of an option.
    """
    hooks = cfg.get('custom_hooks') or []
    known = any(str(hook.get('type')).endswith('ClassFrequencyHook') for hook in hooks)
    if kind == 'LongTail' and not known:
        cfg.custom_hooks = [*hooks, dict(type='ClassFrequencyHook')]


@contextmanager
def download_errors(cfg: Config) -> Iterator[None]:
    """Say which weights a config asks for where they cannot be fetched."""
    try:
        yield
    except URLError as error:
        weights = cfg.get('load_from') or 'the backbone (model.backbone.init_cfg)'
        raise BadInputError(
            f'weights could not be fetched ({error.reason}): {weights}; without a network, give a '
            'file (--cfg-options load_from=FILE) or none (load_from=None and '
            'model.backbone.init_cfg=None)'
        ) from error


@contextmanager
def user_errors(verbose: bool = False) -> Iterator[None]:
    """End the program with the message alone where the cause is the user's input.

    What the reading of data dropped or assumed is said in a line too.

    Args:
        verbose: Whether warnings of other packages about themselves are shown, and where an
            error came from that was put into other words.
    """
    try:
        with show_data_warnings(quiet=not verbose), log_errors_in_a_line():
            yield
    except UserError as error:
        if not isinstance(error, LostProcessError):
            let_the_first_speak()
        if verbose and error.__cause__:
            traceback.print_exception(error.__cause__)
        print(f'error: {error}', file=sys.stderr)
        # 2, as argparse ends on a bad argument
        sys.exit(2)
    except BrokenPipeError:  # as into `head`, which has read enough
        # else Python complains at its end that it cannot write the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # what shells take for an end by SIGPIPE
    except OSError as error:
        if error.errno not in OF_THE_MACHINE:
            raise
        where = f'{error.filename}: ' if error.filename else ''
        print(f'error: {where}{error.strerror}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        print('; '.join(['interrupted', *map(str, interrupt.args)]), file=sys.stderr)
        # what shells take for an end by SIGINT
        sys.exit(130)
    finally:
        torch = sys.modules.get('torch')  # no need to import it to know
        if torch and torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
