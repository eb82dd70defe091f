"""What is imported when, and that everything is registered all the same.

Each test asks a process of its own, in which nothing has been imported yet.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OPENMMLAB = {'mmengine', 'mmcv', 'mmdet', 'mmpretrain'}
SCRIPTS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ('tools', 'benchmarks')
    for path in (ROOT / folder).rglob('*.py')
    if any(call in path.read_text() for call in ('.parse_args()', 'run_tool('))
)


def python(code: str, cwd: Path = ROOT) -> str:
    """The last line that the code prints."""
    # nothing here lives long enough for the garbage collector
    code = f'import gc, sys; gc.disable(); sys.path.insert(0, {str(ROOT)!r})\n{code}'
    done = subprocess.run([sys.executable, '-c', code], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ('statement', 'slow'),
    [
        ('import lt_det, lt_det.frequency, lt_det.formats', set()),
        ('from lt_det.evaluation import LVISEvaluator', set()),
        ('import lt_det.adjustments', {'torch'}),
        ('import lt_det.datasets, lt_det.report, lt_det.cli.common', set()),
    ],
)
def test_light_imports(statement, slow):
    loaded = ast.literal_eval(python(f'{statement}\nprint({{*sys.modules}})'))
    assert loaded & {*OPENMMLAB, 'torch', 'torchvision', 'matplotlib', 'cv2'} == slow


HELP = """
import io, runpy
from contextlib import redirect_stdout
loaded = {}
for script in %s:
    sys.argv, helped = [script, '--help'], io.StringIO()
    try:
        with redirect_stdout(helped):
            runpy.run_path(script, run_name='__main__')
    except SystemExit as end:
        assert end.code == 0, script
    assert '--help' in helped.getvalue(), script
    loaded[script] = {'mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'torch'} & {*sys.modules}
print(loaded)
"""


@pytest.mark.parametrize('folder', ['tools', 'benchmarks'])
def test_help_of_every_script_imports_nothing_slow(folder):
    scripts = [script for script in SCRIPTS if script.startswith(folder)]
    assert len(scripts) > 9
    loaded = ast.literal_eval(python(HELP % scripts))
    # names of the links are choices of an option
    allowed = {'torch'} if folder == 'benchmarks' else set()
    assert {script: slow - allowed for script, slow in loaded.items() if slow - allowed} == {}


LT_DET_FIRST = """
import lt_det
from mmengine.registry import DATASETS, FUNCTIONS, HOOKS, METRICS, MODELS, TRANSFORMS
from mmengine.registry import DATA_SAMPLERS, RUNNERS, init_default_scope
assert 'mmdet' not in sys.modules
init_default_scope('mmdet')
MODELS.build(dict(type='CosineLinear', in_features=2, out_features=3))
HOOKS.build(dict(type='ClassFrequencyHook'))
names = [
    (DATASETS, 'LongTailLVISDataset'), (METRICS, 'LongTailLVISMetric'),
    (TRANSFORMS, 'LoadCompactAnnotations'), (FUNCTIONS, 'seed_worker'), (RUNNERS, 'PhaseRunner'),
    (DATA_SAMPLERS, 'LongTailSampler'),
]
for registry, name in names:
    with registry.switch_scope_and_registry(None) as registry:
        assert registry.get(name).__module__.startswith('lt_det.'), name
import mmpretrain.registry
for name in ('DATASETS', 'METRICS', 'MODELS', 'TRANSFORMS'):
    classes = getattr(mmpretrain.registry, name).module_dict.values()
    assert any(kind.__module__.startswith('lt_det.') for kind in classes), name
print({*sys.modules})
"""


def test_first_look_up_registers_every_component():
    loaded = ast.literal_eval(python(LT_DET_FIRST))
    for path in (ROOT / 'lt_det').rglob('*.py'):
        if '.register_module(' in path.read_text():
            module = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
            assert module in loaded, f'{module} is not imported by lt_det.components'


# a script of MMDetection that looks something up, and then reads a config with custom_imports
STOCK_FIRST = """
import mmengine.hooks
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import HOOKS
from mmpretrain.registry import MODELS as CLASSIFIERS
assert HOOKS.get('CheckpointHook')
for registry, name in ((MODELS, 'MaskRCNN'), (CLASSIFIERS, 'ImageClassifier')):
    try:
        assert registry.get(name)
    except ModuleNotFoundError as error:  # mmcv has no compiled ops
        assert error.name == 'mmcv._ext', error
Config.fromfile('config.py')
assert HOOKS.get('ClassFrequencyHook')
assert MODELS.get('LongTailBBoxHead') and MODELS.get('MaskRCNN')
assert CLASSIFIERS.get('LongTailClsHead') and CLASSIFIERS.get('ImageClassifier')
assert Config.fromfile('lt_det::lvis/mask_rcnn_r50_iif.py').model.type == 'MaskRCNN'
print()
"""


def test_custom_imports_of_a_stock_script(tmp_path):
    config = "custom_imports = dict(imports=['lt_det'], allow_failed_imports=False)\n"
    (tmp_path / 'config.py').write_text(config)
    python(STOCK_FIRST, tmp_path)


OPS = """
%s
from mmcv.ops import nms
import torch
boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8], [9, 9, 20, 20]])
print(nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)[1].tolist())
"""


@pytest.mark.parametrize('imports', ['import lt_det', 'import mmcv, lt_det'])
def test_ops_of_mmcv_work_where_none_are_compiled(imports):
    assert python(OPS % imports) == '[0, 2]'


WITHOUT = """
sys.modules.update(dict.fromkeys(('mmengine', 'mmcv', 'mmdet', 'mmpretrain')))
from lt_det.adjustments import build_adjustment
from lt_det.evaluation import LVISEvaluator
from lt_det.frequency import ClassFrequency
adjustment = build_adjustment(dict(type='PriorShift'), ClassFrequency([3, 1]), background=False)
print(adjustment.shift.exp().mul(4).round().tolist())
"""


def test_without_mmdetection_the_core_works():
    assert ast.literal_eval(python(WITHOUT)) == [3, 1]
