"""Files made to run code when they are read: each is refused in one line, and nothing is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.structures import InstanceData

from lt_det.compat.checkpoint import restrict_checkpoint_loading
from lt_det.datasets import LongTailLVISDataset
from lt_det.datasets.feature_cache import FEATURES, FeatureCacheDataset
from lt_det.errors import UserError
from lt_det.evaluation.ground_truth import GroundTruth
from lt_det.evaluation.kept_detections import read_kept
from lt_det.formats import annotation_cache
from lt_det.formats.foreign_results import read_foreign
from lt_det.formats.result_files import record_blocks
from lt_det.models.layers.word_vectors import read_word_vectors
from lt_det.report.page.classified import Classified

from ..test_formats.test_annotation_defects import content_of


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path) -> Path:
    return tmp_path / 'executed'


@pytest.fixture
def truth(tmp_path) -> Path:
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(content_of()))
    return path


def refused(marker: Path, read, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        read(*arguments)
    assert not marker.exists()
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_the_payload_would_run(marker):
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.is_dir()


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_results_of_mmdetection(protocol, marker, tmp_path):
    sample = {'img_id': 1, 'pred_instances': {'scores': Payload(marker)}}
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps([sample], protocol))
    message = refused(marker, read_foreign, tmp_path / 'a.pkl', ['a'], {'a': 1})
    assert 'mkdir' in message


def test_a_tensor_in_a_pickle_holds_no_other_pickle(marker, tmp_path):
    """Storages of tensors are a file of torch within the pickle."""
    inner = io.BytesIO()
    torch.save(Payload(marker), inner)

    class Storage:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (inner.getvalue(),)

    (tmp_path / 'a.pkl').write_bytes(pickle.dumps([Storage()]))
    refused(marker, read_foreign, tmp_path / 'a.pkl', ['a'], {'a': 1})


@pytest.mark.parametrize('zipped', [True, False])
def test_results_of_detectron2_and_checkpoints(zipped, marker, tmp_path, monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    restrict_checkpoint_loading()
    path = tmp_path / 'a.pth'
    torch.save([Payload(marker)], path, _use_new_zipfile_serialization=zipped)
    refused(marker, read_foreign, path, ['a'], {'a': 1})
    refused(marker, CheckpointLoader.load_checkpoint, str(path), 'cpu')


def test_proposals(marker, tmp_path, truth):
    path = tmp_path / 'proposals.pkl'
    path.write_bytes(pickle.dumps({'a/1.png': Payload(marker)}))
    arguments = dict(ann_file=str(truth), pipeline=[], check_images=False, proposal_file=str(path))
    assert 'mkdir' in refused(marker, lambda: LongTailLVISDataset(**arguments))


def test_proposals_as_mmdetection_writes_them(tmp_path, truth):
    boxes = np.arange(8.0).reshape(2, 4)
    names = [f'x/{number}.png' for number in (1, 2)]
    found = {name: InstanceData(bboxes=boxes, scores=np.ones(2)) for name in names}
    (tmp_path / 'proposals.pkl').write_bytes(pickle.dumps(found))
    dataset = LongTailLVISDataset(
        ann_file=str(truth),
        pipeline=[],
        check_images=False,
        proposal_file=str(tmp_path / 'proposals.pkl'),
        data_prefix=dict(img='x/'),
    )
    assert np.array_equal(dataset.get_data_info(0)['proposals'].bboxes, boxes)
    with pytest.raises(UserError, match=r'proposals\.pkl has no proposals of x/3\.png'):
        dataset.get_data_info(2)


def object_array(marker: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload(marker)], object), allow_pickle=True)
    return buffer.getvalue()


def test_arrays_of_kept_predictions(marker, tmp_path, truth):
    path = tmp_path / 'predictions.npz'
    with zipfile.ZipFile(path, 'w') as archive:
        for name in ('all_category_id', 'label', 'num_bins'):
            archive.writestr(f'{name}.npy', object_array(marker))
    refused(marker, read_kept, path, GroundTruth(str(truth)))
    refused(marker, Classified.read, path)
    path.write_bytes(pickle.dumps(Payload(marker)))  # np.load takes a pickle by any name
    refused(marker, read_kept, path, GroundTruth(str(truth)))
    refused(marker, Classified.read, path)


def test_members_of_an_archive_stay_inside(tmp_path, truth):
    """Members of .npz files are read where they are, never unpacked to where their names lead."""
    path = tmp_path / 'inner' / 'predictions.npz'
    path.parent.mkdir()
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('../../outside.npy', b'x')
        archive.writestr('/tmp/outside.npy', b'x')
    before = sorted(tmp_path.rglob('*'))
    for read in (lambda: read_kept(path, GroundTruth(str(truth))), lambda: Classified.read(path)):
        with pytest.raises(UserError):
            read()
    assert sorted(tmp_path.rglob('*')) == before


def test_columns_beside_an_annotation_file(marker, truth, monkeypatch):
    """A cache that someone else has put there is made anew."""
    monkeypatch.setattr(annotation_cache, 'SMALLEST', 0)
    expected = annotation_cache.read_columns(truth).arrays
    annotation_cache.load_columns(truth)
    for name in expected:
        path = annotation_cache.cache_folder(truth) / f'{name}.npy'
        path.write_bytes(object_array(marker))
        meta = path.with_name('meta.json')
        content = json.loads(meta.read_text())
        content['checksums'][name] = annotation_cache._checksum(path)
        meta.write_text(json.dumps(content))
        with pytest.warns(UserWarning, match='made anew'):
            arrays = annotation_cache.load_columns(truth).arrays
        assert not marker.exists()
        assert np.array_equal(arrays[name], expected[name])


def test_cached_features(marker, tmp_path):
    cache = FeatureCacheDataset.__new__(FeatureCacheDataset)
    cache.views = 1
    for content in (object_array(marker), pickle.dumps(Payload(marker))):
        (tmp_path / FEATURES).write_bytes(content)
        refused(marker, cache._map, tmp_path)


@pytest.mark.parametrize('name', ['words.txt', 'words.npy', 'words.pkl'])
def test_word_vectors(name, marker, tmp_path):
    (tmp_path / name).write_bytes(pickle.dumps(Payload(marker)))
    refused(marker, read_word_vectors, str(tmp_path / name), ['a'], 3)


def test_result_records_that_are_a_pickle(marker, tmp_path):
    (tmp_path / 'a.json').write_bytes(pickle.dumps([Payload(marker)]))
    refused(marker, lambda: list(record_blocks(tmp_path / 'a.json')))


# ------------------------------------------------------------------------------------ CLIP weights

SMALL = dict(
    embed_dim=16,
    vision_cfg=dict(image_size=32, layers=1, width=32, head_width=16, patch_size=16),
    text_cfg=dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=1),
)


def plain(content: object, path: Path) -> None:
    torch.save(content, path)


def legacy(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def as_if_torchscript(content: object, path: Path) -> None:
    """A checkpoint with a member deep inside that is named as one of TorchScript archives."""
    torch.save(content, path)
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr(f'{path.stem}/deep/constants.pkl', b'')


def legacy_and_archive(content: object, path: Path) -> None:
    """A pickle in front, an archive of TorchScript behind."""
    legacy(content, path)
    archive = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), archive)
    with path.open('ab') as file:
        file.write(archive.getvalue())


@pytest.mark.parametrize('write', [plain, legacy, as_if_torchscript, legacy_and_archive])
@pytest.mark.parametrize('ending', ['pt', 'bin', 'safetensors', 'npz'])
def test_clip_weights(write, ending, marker, tmp_path):
    pytest.importorskip('open_clip', reason="open_clip is the extra 'clip' of lt_det")
    from lt_det.models.open_clip import build_clip

    path = tmp_path / f'weights.{ending}'
    write(dict(state_dict={}, payload=Payload(marker)), path)
    refused(marker, lambda: build_clip('ViT-B-32-quickgelu', str(path), **SMALL))
