import re
import subprocess
import sys
from urllib.error import URLError

import pytest

from lt_det.cli import evaluate, own_config
from lt_det.cli.common import download_errors
from lt_det.cli.main import COMMANDS, main
from lt_det.errors import BadInputError
from lt_det.evaluation.ground_truth import PROTOCOLS
from lt_det.evaluation.lvis_eval import IOU_TYPES
from lt_det.frequency import LVIS_BOUNDS
from lt_det.version import __version__


def test_help_names_every_command_and_imports_nothing_slow():
    program = (
        'import sys; from lt_det.cli.main import main\n'
        'try: main(["--help"])\n'
        'finally: assert not {"torch", "numpy", "mmengine", "mmdet"} & set(sys.modules)'
    )
    result = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert set(COMMANDS) <= {words[0] for words in lines if words}


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, '--help'])
    assert ended.value.code == 0
    help_text = capsys.readouterr().out
    assert help_text.startswith(f'usage: lt_det {command}')
    assert re.search(rf'^ *lt_det {command} [^-\[]', help_text, re.MULTILINE)  # an example to paste


def test_version_and_wrong_calls(capsys):
    with pytest.raises(SystemExit) as ended:
        main(['--version'])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f'lt_det {__version__}\n'
    for arguments in ([], ['nonsense'], ['train']):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2


def test_a_user_error_is_one_line_and_status_2(capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(['train', str(tmp_path / 'absent.py')])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f'error: config {tmp_path}/absent.py does not exist\n'


def test_what_the_commands_offer_is_what_there_is():
    assert own_config.BOUNDS == LVIS_BOUNDS
    assert tuple(PROTOCOLS) == evaluate.PROTOCOLS
    assert tuple(IOU_TYPES) == evaluate.IOU_TYPES


def test_weights_that_cannot_be_fetched_are_named():
    with (
        pytest.raises(BadInputError, match=r'no route.*https://weights\.pth; without a network'),
        download_errors(dict(load_from='https://weights.pth')),
    ):
        raise URLError('no route')


def test_a_reader_that_has_enough_ends_a_command_quietly():
    """As `head`: the rest of the output has nowhere to go."""
    code = (
        'import sys\nfrom lt_det.cli.common import user_errors\n'
        'with user_errors():\n    while True:\n        print("line")'
    )
    with subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b'line\n'
        process.stdout.close()
        assert process.stderr.read() == b''
        assert process.wait() == 141
