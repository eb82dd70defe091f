import cv2
import numpy as np
from mmengine.visualization import LocalVisBackend

from lt_det.report.backends import send_metrics, send_pictures


class Backend:
    """What W&B and the others are to the visualizer."""

    def __init__(self):
        self.pictures = {}

    def add_image(self, name, image, step=0):
        self.pictures[name, step] = image


class Visualizer:
    def __init__(self, **backends):
        self.scalars, self._vis_backends = [], backends

    def add_scalars(self, scalars, step):
        self.scalars.append((scalars, step))


def test_group_metrics_go_under_one_prefix():
    visualizer = Visualizer()
    metrics = {
        'lvis/bbox_AP': 0.5,
        'lvis/bbox_APr': 0.25,
        'lvis/segm_APf': -1.0,
        'lvis/bbox_AP50': 0.6,
        'accuracy/few': 0.1,
        'accuracy/ece_few': 0.3,
        'lvis/segm_APc': 'text',
        'time': 3.0,
    }
    send_metrics(visualizer, metrics, 'val', 7)
    expected = {'bbox_AP': 0.5, 'bbox_APr': 0.25, 'few': 0.1}
    assert visualizer.scalars == [({f'long_tail/val/{k}': v for k, v in expected.items()}, 7)]
    send_metrics(visualizer, {'time': 3.0}, 'test', 7)
    assert len(visualizer.scalars) == 1


def test_pictures_go_to_backends_elsewhere(tmp_path):
    picture = np.zeros((4, 5, 3), np.uint8)
    picture[..., 0] = 200  # blue in a file
    cv2.imwrite(str(tmp_path / 'detections.png'), picture)
    (tmp_path / 'metrics.json').write_text('{}')
    local, other = LocalVisBackend(str(tmp_path / 'local')), Backend()
    visualizer = Visualizer(local=local, other=other)
    send_pictures(visualizer, [tmp_path / 'metrics.json', tmp_path / 'detections.png'], 'test', 3)
    ((name, sent),) = other.pictures.items()
    assert name == ('long_tail/test/detections', 3)
    assert np.array_equal(sent, picture[..., ::-1])
    assert not (tmp_path / 'local').exists()
