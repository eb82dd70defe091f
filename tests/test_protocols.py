"""The methods by which parts get statistics: who has them, and who looks for them."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lt_det import protocols
from lt_det.adjustments import FRACAL, IIF, ComposedAdjustment, TauNorm, show_classifier
from lt_det.frequency_module import FrequencyModule, without_statistics
from lt_det.models.layers import FASA

ROOT = Path(__file__).resolve().parents[1]
PROTOCOLS = {
    name: value
    for name, value in vars(protocols).items()
    if inspect.isclass(value) and getattr(value, '_is_runtime_protocol', False)
}
METHODS = {
    method: protocol
    for protocol in PROTOCOLS.values()
    for method in vars(protocol)
    if not method.startswith('_') and callable(getattr(protocol, method))
}


def definitions() -> list[tuple[str, str, list[str]]]:
    """Class, method and parameter names of all that the package defines of these methods."""
    parts = []
    for path in sorted((ROOT / 'lt_det').rglob('*.py')):
        if '.mim' in path.parts or path.name == 'protocols.py':
            continue
        for node in ast.walk(ast.parse(path.read_text('utf-8'))):
            for method in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(method, ast.FunctionDef) and method.name in METHODS:
                    names = [argument.arg for argument in method.args.args]
                    parts.append((node.name, method.name, names))
    return parts


def test_each_protocol_has_one_method():
    assert len(METHODS) == len(PROTOCOLS) == 10


@pytest.mark.parametrize(('owner', 'method', 'names'), definitions())
def test_methods_have_the_parameters_of_their_protocol(owner, method, names):
    wanted = [*inspect.signature(getattr(METHODS[method], method)).parameters]
    assert names == wanted


def test_each_protocol_is_used_on_both_sides():
    source = '\n'.join(
        path.read_text('utf-8')
        for path in (ROOT / 'lt_det').rglob('*.py')
        if '.mim' not in path.parts and path.name != 'protocols.py'
    )
    defined = {method for _, method, _ in definitions()}
    for name, protocol in PROTOCOLS.items():
        assert f', {name})' in source, f'nobody looks for {name}'
        methods = [method for method in METHODS if METHODS[method] is protocol]
        assert defined.issuperset(methods), f'nobody has {methods}'


def test_nobody_looks_for_these_methods_by_name():
    asked = re.compile(r"hasattr\((?!self\.sampler)[\w.]+, '(\w+)'")  # torch's samplers apart
    for path in (ROOT / 'lt_det').rglob('*.py'):
        if '.mim' not in path.parts:
            assert METHODS.keys().isdisjoint(asked.findall(path.read_text('utf-8'))), path


def test_who_is_what():
    tau, fracal, iif = TauNorm(num_classes=3), FRACAL(num_classes=3), IIF(num_classes=3)
    assert isinstance(tau, protocols.TakesClassifier)
    assert isinstance(fracal, protocols.TakesBoxDimension)
    assert not isinstance(iif, protocols.TakesClassifier | protocols.TakesBoxDimension)
    assert isinstance(FASA(3, 8), protocols.TakesEpoch)
    assert not isinstance(torch.nn.Linear(2, 2), protocols.TakesClassFrequency)


def test_rules_that_read_a_classifier_are_shown_it():
    rules = ComposedAdjustment([IIF(num_classes=2), TauNorm(num_classes=2, tau=1.0)])
    show_classifier(rules, torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([1.0, 1.0]))
    assert rules.rules[1].scale.tolist() == pytest.approx([0.2, 0.5])
    assert rules.rules[1].shift.tolist() == pytest.approx([-0.2, -0.5])
    assert not rules.rules[0].ready
    show_classifier(None, torch.eye(2))


def test_message_of_missing_statistics():
    class Loss(torch.nn.Module):
        pass

    assert str(without_statistics(Loss())) == (
        "Loss has no class statistics yet: add dict(type='ClassFrequencyHook') to custom_hooks "
        'or call set_class_frequency'
    )
    assert 'load a checkpoint that carries them' in str(without_statistics(FrequencyModule(2)))


def test_importing_them_imports_no_torch():
    code = 'import sys, lt_det.protocols; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT).returncode == 0
