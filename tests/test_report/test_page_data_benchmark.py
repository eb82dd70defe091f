"""benchmarks/speed/report_page.py, with a few images."""

import json

from common.lvis_runs import make_runs
from speed import report_page


def test_a_page_is_made_and_measured(tmp_path):
    make_runs(tmp_path, 8)
    for run in ('masks', 'baseline'):
        seconds = report_page.evaluate(str(tmp_path), run)
        assert all(value >= 0 for part in seconds.values() for value in part.values())
    metrics = [
        json.loads((tmp_path / r / 'metrics.json').read_text()) for r in ('masks', 'baseline')
    ]
    assert 0 < metrics[0]['segm_AP'] != metrics[1]['segm_AP']
    path = tmp_path / 'report.html'
    made = report_page.make_page(str(tmp_path), 'masks', 'baseline', str(path))
    assert made['file_mb'] == path.stat().st_size / 1e6
    assert made['page']['s'] > 0 and made['peak_mb'] > 0
    row = {'case': 'few', 'peak_mb': made['peak_mb'], 'file_mb': made['file_mb'], 'page_s': 1.25}
    origin = dict.fromkeys(('date', 'machine', 'commit', 'command'), 'x')
    page = report_page.report(origin | {'classes': 1203, 'images': 8, 'rows': [row]})
    assert f'| file, MB | {made["file_mb"]:.2f} |' in page
    assert '| evaluation, s | - |' in page and '| making the page, s | 1.2 |' in page
