"""Settings: what they are called, how they are ordered, and what a file of them may hold."""

from __future__ import annotations

import inspect
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from lt_det.adjustments import ADJUSTMENTS, build_adjustment
from lt_det.calibration.settings import IDENTITY, Setting, default_settings, read_settings
from lt_det.errors import BadInputError, MissingFileError
from lt_det.frequency import ClassFrequency

FREQUENCY = ClassFrequency([40, 10, 1], [90, 10, 2], 100)
HEADS = [('softmax', True), ('softmax', False), ('sigmoid', False)]


def write(tmp_path, text, name='rules.py'):
    path = tmp_path / name
    path.write_text(text)
    return path


def ready(setting, activation, background):
    """The rules of a setting, with all that they ask for."""
    adjustment = build_adjustment(
        [dict(rule) for rule in setting.rules], FREQUENCY, background, activation=activation
    ).eval()
    generator = torch.Generator().manual_seed(0)
    for rule in adjustment.rules if len(setting.rules) > 1 else [adjustment]:
        if hasattr(rule, 'set_classifier'):
            size = 3 + background
            weight, bias = (torch.rand(size, *d, generator=generator) for d in ([4], []))
            rule.set_classifier(weight, bias)
        if hasattr(rule, 'set_box_dimension'):
            rule.set_box_dimension(torch.tensor([1.8, 1.3, 1.0]).numpy())
    return adjustment


@pytest.mark.parametrize(('activation', 'background'), HEADS)
def test_default_settings_are_different_maps_that_the_head_allows(activation, background):
    settings = default_settings(activation, background)
    assert 55 <= len(settings) <= 65 and settings[0] == IDENTITY
    assert len({setting.name for setting in settings}) == len(settings)
    logits = 3 * torch.randn(50, 3 + background, generator=torch.Generator().manual_seed(1))
    outputs = [logits]
    for setting in settings[1:]:
        outputs.append(ready(setting, activation, background)(logits))
        assert all(rule['stage'] == 'test' for rule in setting.rules)
        assert setting.strength > 0 and outputs[-1].isfinite().all()
    flat = torch.stack([output.sigmoid().flatten() for output in outputs])
    if activation == 'softmax':
        flat = torch.stack([output.softmax(-1).flatten() for output in outputs])
    assert len(torch.unique((flat * 1e5).round(), dim=0)) == len(settings)
    assert all(json.loads(json.dumps(s.as_dict()))['name'] == s.name for s in settings)


def test_classifiers_have_no_rule_that_changes_no_order():
    kinds = {rule['type'] for s in default_settings('softmax', False) for rule in s.rules}
    assert kinds == {'PriorShift', 'IIF', 'TauNorm'}
    assert not any(setting.needs_background for setting in default_settings('softmax', False))
    with pytest.raises(BadInputError, match="activation is 'relu'"):
        default_settings('relu', True)


def test_independent_sigmoids_have_rules_for_them():
    settings = default_settings('sigmoid', False)
    assert {rule['type'] for s in settings for rule in s.rules} == {
        'PriorShift',
        'TauNorm',
        'FRACAL',
    }
    assert not any(setting.needs_background for setting in settings)
    counts = {rule.get('count') for s in settings for rule in s.rules if rule['type'] != 'TauNorm'}
    assert counts == {None, 'instance'}


@pytest.mark.parametrize(('activation', 'background'), HEADS)
def test_families_are_ordered_by_how_far_they_are_from_none(activation, background):
    settings = default_settings(activation, background)
    families = {}
    for setting in settings:
        families.setdefault(setting.family, []).append(setting)
    assert {len(families[name]) for name in families if name.startswith('IIF')} <= {1}
    for name in ('NorCal', 'PriorShift', 'TauNorm', 'NorCal(count=instance)'):
        for weak, strong in zip(families.get(name, []), families.get(name, [])[1:]):
            assert weak.strength < strong.strength
    assert settings[0].strength == 0


def test_names_families_and_strengths():
    norcal = dict(type='NorCal', gamma=0.5)
    one = Setting.of(norcal)
    assert (one.name, one.family, one.strength) == ('NorCal(gamma=0.5)', 'NorCal', 0.5)
    assert one.rules == (dict(type='NorCal', gamma=0.5, stage='test'),)
    assert norcal == dict(type='NorCal', gamma=0.5)  # what was given stays as it was
    two = Setting.of(norcal, dict(type='Temperature', temperature=0.5))
    assert two.name == 'NorCal(gamma=0.5) + Temperature(temperature=0.5)'
    assert two.family == 'NorCal + Temperature'
    assert two.strength == pytest.approx(0.5 + math.log(2))
    rest = Setting.of(dict(type='PriorShift', count='instance'))
    assert rest.name == 'PriorShift(tau=1, count=instance)'
    assert rest.family == 'PriorShift(count=instance)'
    assert Setting.of(dict(type='IIF', norm=math.inf)).name == 'IIF(link=raw, norm=inf)'
    assert Setting.of(dict(type='FRACAL', lam=0.0)).strength == 1
    assert Setting('identity', (), 'identity', 0.0) == IDENTITY


def test_what_a_setting_needs():
    norcal, tau = dict(type='NorCal', gamma=0.5), dict(type='TauNorm', tau=1.0)
    fracal = dict(type='FRACAL')
    needs = {
        rules: (s.needs_background, s.needs_boxes, s.needs_classifier)
        for rules, s in (
            ('norcal', Setting.of(norcal)),
            ('tau and norcal', Setting.of(tau, norcal)),
            ('tau', Setting.of(tau)),
            ('fracal', Setting.of(fracal)),
            ('fracal of sigmoids', Setting.of(fracal, activation='sigmoid')),
            ('fracal with dimensions', Setting.of(dict(fracal, dimension=[1.0, 1.2, 1.9]))),
            ('identity', IDENTITY),
        )
    }
    assert needs == {
        'norcal': (True, False, False),
        'tau and norcal': (True, False, True),
        'tau': (False, False, True),
        'fracal': (True, True, False),
        'fracal of sigmoids': (False, True, False),
        'fracal with dimensions': (True, False, False),
        'identity': (False, False, False),
    }


@effort(deadline=None, derandomize=True)
@given(
    st.lists(
        st.one_of(
            st.builds(
                lambda gamma, count: dict(type='NorCal', gamma=gamma, count=count),
                st.floats(0, 3),
                st.sampled_from(['image', 'instance']),
            ),
            st.builds(lambda t: dict(type='Temperature', temperature=t), st.floats(0.1, 9)),
            st.builds(lambda tau: dict(type='TauNorm', tau=tau), st.floats(0, 2)),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_setting_says_what_it_does(rules):
    """Its rules are what was given, its name can be told apart, its strength adds up."""
    setting = Setting.of(*rules)
    assert [dict(rule) for rule in setting.rules] == [dict(rule, stage='test') for rule in rules]
    measures = dict(NorCal='gamma', TauNorm='tau')
    expected = sum(
        abs(math.log(rule['temperature']))
        if rule['type'] == 'Temperature'
        else rule[measures[rule['type']]]
        for rule in rules
    )
    assert setting.strength == pytest.approx(expected)
    assert setting.name.count('(') >= len(rules) and setting.name.count(' + ') == len(rules) - 1
    changed = [dict(rules[0], stage='test'), *rules[1:]]
    assert Setting.of(*changed).name == setting.name
    for key in {'gamma', 'tau', 'temperature'} & set(rules[0]):
        other = Setting.of(dict(rules[0], **{key: rules[0][key] + 0.25}), *rules[1:])
        assert other.name != setting.name and other.family == setting.family


def test_every_rule_that_has_a_strength_is_measured():
    """A rule with a number as its first argument would have no order otherwise."""
    for name, rule in ADJUSTMENTS.items():
        first = next(iter(inspect.signature(rule).parameters.values()))
        if first.kind is first.VAR_KEYWORD or first.annotation != 'float':
            continue
        weak, strong = (Setting.of({'type': name, first.name: value}) for value in (1.5, 2.5))
        assert 0 < weak.strength < strong.strength and weak.family == strong.family


FILE = """
gamma = 0.5
rules = [
    dict(type='NorCal', gamma=gamma),
    [dict(type='TauNorm', tau=1.0), dict(type='NorCal', gamma=0.3)],
    (dict(type='Temperature', temperature=2.0),),
]
"""
NAMES = [
    'identity',
    'NorCal(gamma=0.5)',
    'TauNorm(tau=1) + NorCal(gamma=0.3)',
    'Temperature(temperature=2)',
]


def test_settings_of_a_python_file(tmp_path):
    settings = read_settings(write(tmp_path, FILE))
    assert [setting.name for setting in settings] == NAMES
    kinds = {type(rule) for setting in settings for rule in setting.rules}
    assert kinds == {dict}


def test_settings_of_a_json_and_the_identity_in_it(tmp_path):
    rules = [dict(type='NorCal', gamma=0.5), [], [dict(type='PriorShift', tau=0.5, stage='test')]]
    path = write(tmp_path, json.dumps(dict(rules=rules)), 'rules.json')
    names = [setting.name for setting in read_settings(str(path))]
    assert names == ['identity', 'NorCal(gamma=0.5)', 'PriorShift(tau=0.5)']


def test_a_config_may_import_its_rules(tmp_path):
    text = 'from lt_det.adjustments import NorCal\nrules = [dict(type=NorCal, gamma=1.0)]\n'
    _, setting = read_settings(write(tmp_path, text))
    assert setting.name == 'NorCal(gamma=1)'
    rule = json.loads(json.dumps(setting.rules))[0]
    assert build_adjustment(rule, FREQUENCY).gamma == 1


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ("dict(type='NoCal', gamma=1)", "adjustment.type 'NoCal' does not exist; there are FRACAL"),
        ('dict(gamma=1)', r'expected dict\(type=..., ...\)'),
        (
            "dict(type='NorCal')",
            'adjustment.gamma is missing; expected a value, which NorCal needs',
        ),
        ("dict(type='NorCal', gama=1)", 'gama'),
        ("dict(type='NorCal', gamma=-0.5)", 'adjustment.gamma is -0.5, expected a finite number'),
        ("dict(type='NorCal', gamma='much')", 'much'),
        ("dict(type='NorCal', gamma=float('nan'))", 'adjustment.gamma is nan'),
        (
            "dict(type='NorCal', gamma=1, stage='both')",
            "adjustment.stage is 'both', expected 'test'",
        ),
        ("dict(type='IIF', link='row')", "adjustment.link is 'row', expected one of"),
        ("dict(type='FRACAL', dimension=3)", 'dimension.*3'),
        ("dict(type='LearnedScale')", "LearnedScale is 'test'"),
        ("[dict(type='NorCal', gamma=1), 0.5]", 'adjustment is 0.5, expected dict'),
        ("'NorCal'", "'NorCal', expected a dict or a list of dicts"),
        ("dict(type='NorCal', gamma=0.50, count='image')", r'gamma=0.5\), as rules\[0\] is'),
    ],
)
def test_entries_that_are_no_setting_are_named(tmp_path, entry, message):
    path = write(tmp_path, f"rules = [dict(type='NorCal', gamma=0.5), {entry}]")
    with pytest.raises(BadInputError, match=rf'rules.py: rules\[1\].*{message}'):
        read_settings(path)


def test_rules_that_a_head_does_not_allow_are_refused(tmp_path):
    path = write(tmp_path, "rules = [[], dict(type='NorCal', gamma=0.5)]")
    with pytest.raises(BadInputError, match=r'rules\[1\].*independent sigmoids'):
        read_settings(path, 'sigmoid')
    with pytest.raises(BadInputError, match=r'rules\[1\] is NorCal\(gamma=0.5\), .*background'):
        read_settings(path, background=False)
    with pytest.raises(BadInputError, match=r'rules\[1\] is identity, as rules\[0\] is'):
        read_settings(write(tmp_path, 'rules = [[], []]'))


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('rules.py', 'rule = []', 'rules is None, expected a list with at least one rule'),
        ('rules.py', 'rules = []', r'rules is \[\], expected a list'),
        ('rules.py', "rules = dict(type='NorCal', gamma=1)", 'rules is {.*, expected a list'),
        ('rules.py', 'rules = [', 'cannot be read'),
        ('rules.json', '[1', 'cannot be read'),
        ('rules.json', '[]', 'rules is None, expected a list'),
        ('rules.txt', '', "ends in '.txt', expected .py or .json"),
    ],
)
def test_files_that_hold_no_rules_are_refused(tmp_path, name, text, message):
    with pytest.raises(BadInputError, match=f'--rules .*{name}.*{message}'):
        read_settings(write(tmp_path, text, name))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(MissingFileError, match='--rules .*none.py does not exist'):
        read_settings(tmp_path / 'none.py')
