import json
import logging
from types import SimpleNamespace

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmengine.visualization import Visualizer

from lt_det.engine import ReportHook
from lt_det.report import draw_detections, format_table, plot_ap_by_frequency


def test_detection_table():
    metrics = {'lvis/bbox_AP': 0.5, 'lvis/bbox_APr': -1.0, 'lvis/segm_AP': 0.25, 'time': 3.0}
    header, bbox, segm = format_table(metrics).splitlines()
    assert header.split()[:3] == ['AP', 'APr', 'APc']
    assert bbox.split()[:3] == ['bbox', '0.500', '-']
    assert segm.split()[:2] == ['segm', '0.250']
    assert len({len(line) for line in (header, bbox, segm)}) == 1


def test_classification_table_and_none():
    metrics = dict(all=0.5, many=0.6, medium=0.4, few=0.1)
    assert format_table(metrics).splitlines()[1].split()[1:] == ['0.500', '0.600', '0.400', '0.100']
    assert format_table({'coco/other': 1.0}) is None


def test_plot_leaves_out_classes_without_ground_truth(tmp_path):
    rows = [
        dict(frequency=group, image_count=count, segm_AP=value)
        for group, count, value in [('r', 3, 0.1), ('r', 0, -1), ('c', 50, 0.4), ('f', 900, 0.8)]
    ]
    plot_ap_by_frequency(rows, tmp_path / 'plot.png')
    assert cv2.imread(str(tmp_path / 'plot.png')).std() > 5
    plot_ap_by_frequency([], tmp_path / 'empty.png')
    assert (tmp_path / 'empty.png').is_file()


def test_picture_has_a_row_an_image_and_tints_the_masks(tmp_path):
    cv2.imwrite(str(tmp_path / 'image.png'), np.full((40, 60, 3), 255, np.uint8))
    mask = torch.zeros(2, 40, 60, dtype=torch.bool)
    mask[:, 10:30, 10:30] = True
    instances = InstanceData(
        bboxes=torch.tensor([[10.0, 10, 30, 30]] * 2), labels=torch.tensor([0, 21]), masks=mask
    )
    sample = DetDataSample(metainfo=dict(img_path=str(tmp_path / 'image.png')))
    sample.gt_instances = instances
    sample.pred_instances = InstanceData(**instances, scores=torch.tensor([0.9, 0.1]))
    names = [str(label) for label in range(22)]
    draw_detections([sample], names, tmp_path / 'one.png')
    draw_detections([sample, sample], names, tmp_path / 'two.png')
    one, two = (cv2.imread(str(tmp_path / f'{name}.png')) for name in ('one', 'two'))
    assert 1.8 < two.shape[0] / one.shape[0] < 2  # one legend
    for half in np.array_split(one, 2, axis=1):  # both the truth and the detections are tinted
        coloured = half.max(axis=-1).astype(int) - half.min(axis=-1) > 40
        assert coloured.mean() > 0.05  # 20 x 20 of 40 x 60 pixels


def test_metrics_of_a_test_reach_the_file_and_the_visualizer(tmp_path):
    visualizer = Visualizer(vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path))
    runner = SimpleNamespace(
        work_dir=str(tmp_path),
        visualizer=visualizer,
        test_evaluator=SimpleNamespace(metrics=[]),
        test_dataloader=None,
        logger=logging.getLogger(__name__),
        cfg=Config(dict(load_from='absent.pth')),
    )
    ReportHook().after_test_epoch(runner, {'lvis/bbox_AP': 0.5, 'note': 'text'})
    written = json.loads((tmp_path / 'test' / 'metrics.json').read_text())
    assert written == {'bbox_AP': 0.5, 'note': 'text'}
    note = json.loads((tmp_path / 'test' / 'run.json').read_text())
    assert note['checkpoint'] == {'file': 'absent.pth', 'sha256': None} and note['config'] is None
    assert 'bbox_AP' in written and (tmp_path / 'test' / 'report.html').stat().st_size > 10_000
    lines = (tmp_path / 'vis_data' / 'scalars.json').read_text().splitlines()
    logged = {key: value for line in lines for key, value in json.loads(line).items()}
    assert logged['test/lvis/bbox_AP'] == 0.5 and 'test/note' not in logged
    assert logged['long_tail/test/bbox_AP'] == 0.5


def test_what_is_drawn_keeps_the_ground_truth():
    sample = DetDataSample(metainfo=dict(img_path='image.png'))
    sample.gt_instances = InstanceData(bboxes=torch.zeros(3, 4), labels=torch.arange(3))
    sample.pred_instances = InstanceData(scores=torch.tensor([0.9, 0.1]))
    hook = ReportHook(num_images=1, score_thr=0.3)
    runner = SimpleNamespace(val_dataloader=[0])
    hook.after_val_iter(runner, 0, outputs=[sample])
    (kept,) = hook._samples
    assert kept.img_path == 'image.png' and kept.gt_instances.labels.tolist() == [0, 1, 2]
    assert len(kept.pred_instances) == 1 and len(sample.pred_instances) == 2


def test_detections_of_large_data_are_not_kept(tmp_path):
    metric = SimpleNamespace(predictions_file=None)
    loop = SimpleNamespace(
        dataloader=SimpleNamespace(dataset=range(11)), evaluator=SimpleNamespace(metrics=[metric])
    )
    runner = SimpleNamespace(val_loop=loop, work_dir=tmp_path)
    ReportHook(most_images=10).before_val_epoch(runner)
    assert metric.predictions_file is None
    ReportHook(most_images=11).before_val_epoch(runner)
    assert metric.predictions_file == str(tmp_path / 'predictions.npz')
