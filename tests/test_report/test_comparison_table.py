import pytest

from lt_det.report.comparison_table import format_comparison, run_names


def entry(a, b, interval):
    difference = None if a is None else b - a
    return dict(a=a, b=b, difference=difference, interval=interval)


COMPARISON = dict(
    iou_type='segm',
    num_images=1200,
    num_resamples=200,
    metrics=dict(
        AP=entry(0.25, 0.245, [-0.01, 0.002]),
        APr=entry(0.1, 0.15, [0.02, 0.08]),
        APc=entry(None, None, None),
    ),
)


def test_rows_differences_and_bounds():
    lines = format_comparison([COMPARISON], ['softmax', 'iif']).splitlines()
    rows = [line.split() for line in lines]
    assert rows[:6] == [
        ['segm', 'AP', 'APr', 'APc', 'APf'],
        ['softmax', '0.250', '0.100', '-', '-'],
        ['iif', '0.245', '0.150', '-', '-'],
        ['difference', '-0.005', '+0.050', '-', '-'],
        ['95%', 'from', '-0.010', '+0.020', '-', '-'],
        ['to', '+0.002', '+0.080', '-', '-'],
    ]
    assert len({len(line) for line in lines[:6]}) == 1
    overall, rare, basis = lines[7:]
    assert overall.startswith('segm AP -0.005 [-0.010, +0.002] includes 0')
    assert rare == 'segm APr +0.050 [+0.020, +0.080]'
    assert basis.startswith('iif - softmax; 95%')
    assert '1,200 images, 200 resamples' in basis


def test_without_rare_classes_there_is_no_line_of_them():
    metrics = dict(AP=entry(0.5, 0.6, [0.05, 0.15]))
    text = format_comparison([dict(COMPARISON, metrics=metrics)], ['a', 'b'])
    assert 'AP +0.100 [+0.050, +0.150]' in text and 'segm APr' not in text


@pytest.mark.parametrize(
    ('paths', 'names'),
    [
        (['work_dirs/demo/softmax/r.segm.json', 'work_dirs/demo/iif/r.segm.json'], 'softmax iif'),
        (['a.json', 'b.json'], 'a.json b.json'),
        (['x/a.json', 'x/a.json'], 'x/a.json x/a.json'),
        (['x/y', 'x'], 'x/y x'),
    ],
)
def test_runs_are_named_by_where_their_paths_part(paths, names):
    assert run_names(paths) == names.split()
