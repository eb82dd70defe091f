import io
import os
import struct
import zlib

import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image

from lt_det.datasets import image_check
from lt_det.datasets.image_check import defect, inspect_images

FORMATS = {
    'jpeg': dict(format='JPEG'),
    'progressive': dict(format='JPEG', progressive=True),
    'mpo': dict(format='MPO', save_all=True, append_images=[Image.new('RGB', (8, 8))]),
    'png': dict(format='PNG'),
    'webp': dict(format='WEBP'),
    'gif': dict(format='GIF'),
    'bmp': dict(format='BMP'),
    'tiff': dict(format='TIFF'),
    'lzw': dict(format='TIFF', compression='tiff_lzw'),
    'ppm': dict(format='PPM'),
    'jpeg2000': dict(format='JPEG2000'),
}
TRAILERS = {
    'zeros': bytes(100),
    'many zeros': bytes(100_000),
    'text of a camera': b'SEFH' + bytes(196),
}


def picture(width=104, height=40, mode='RGB'):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image=None, **save):
    out = io.BytesIO()
    (image or picture()).save(out, **save)
    return out.getvalue()


def exif(orientation, order=b'MM', kind=3):
    sign = '>' if order == b'MM' else '<'
    value = struct.pack(sign + ('H2x' if kind == 3 else 'I'), orientation)
    return (
        b'Exif\0\0' + order + struct.pack(sign + 'HIHHHI', 42, 8, 1, 0x112, kind, 1) + value
        + bytes(4)
    )  # fmt: skip


def late_exif(orientation):
    """A PNG with its EXIF chunk behind the pixels."""
    png = encoded(format='PNG')
    data = exif(orientation)[6:]
    checksum = zlib.crc32(b'eXIf' + data)
    chunk = struct.pack('>I', len(data)) + b'eXIf' + data + struct.pack('>I', checksum)
    return png[:-12] + chunk + png[-12:]


def write(folder, contents):
    paths = [folder / f'{i}.jpg' for i in range(len(contents))]
    for path, content in zip(paths, contents):
        path.write_bytes(content)
    return paths


def test_what_decoders_read_is_whole_whatever_its_name_and_what_is_behind_it(tmp_path):
    contents = [encoded(**save) for save in FORMATS.values()]
    contents += [whole + more for whole in contents[:9] for more in TRAILERS.values()]
    columns = inspect_images(write(tmp_path, contents))
    assert not columns.problem.any(), columns.reason[columns.problem.astype(bool)]
    assert set(columns.width) == {104} and set(columns.height) == {40}
    for ending in ('jpg', 'png', 'PNG', 'dat'):
        path = tmp_path / f'other.{ending}'
        path.write_bytes(contents[0])
        assert defect(path) is None


def test_what_is_cut_off_is_found_in_every_format(tmp_path):
    wholes = [encoded(**save) for save in FORMATS.values() if save['format'] != 'MPO']
    halves = [whole[: len(whole) // 2] for whole in wholes]
    ends = [whole[:-1] for whole in wholes]
    columns = inspect_images(write(tmp_path, halves + ends))
    assert set(columns.problem) == {'broken'}
    assert set(columns.width) == {0}
    # its end mark is behind the thumbnail, not behind the scan
    thumbnail = Image.Exif()
    thumbnail[0x927C] = encoded(picture(8, 8), format='JPEG')
    jpeg = encoded(format='JPEG', exif=thumbnail)
    assert jpeg.count(b'\xff\xd9') == 2
    png = encoded(format='PNG')
    contents = [jpeg[: len(jpeg) // 2], jpeg[: len(jpeg) // 2] + bytes(5000)]
    contents += [png[: len(png) // 2] + bytes(5000), b'', b'<html>not found</html>', bytes(5000)]
    columns = inspect_images(write(tmp_path, contents))
    assert set(columns.problem) == {'broken'}
    assert columns.reason[0] == 'is a JPEG that is cut off'
    assert columns.reason[3] == 'is empty'
    assert columns.reason[4] == 'is cut off or no image'


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'BMP'])
def test_a_file_cut_off_anywhere_is_broken_where_opencv_does_not_read_it(tmp_path, kind):
    save = {} if kind == 'BMP' else dict(exif=exif(6))
    whole = encoded(picture(9, 7), format=kind, **save)
    paths = write(tmp_path, [whole[:end] for end in range(0, len(whole) + 1)])
    columns = inspect_images(paths)
    cv2.setLogLevel(0)
    for path, problem, height, width in zip(
        paths, columns.problem, columns.height, columns.width, strict=True
    ):
        image = cv2.imread(str(path)) if problem is None else None
        if problem is None:
            assert image is not None and image.shape[:2] == (height, width)
        else:
            content = np.frombuffer(path.read_bytes(), np.uint8)
            assert not len(content) or cv2.imdecode(content, cv2.IMREAD_COLOR) is None
    assert columns.problem[-1] is None


def test_headers_of_jpegs_are_read_as_pillow_reads_them(tmp_path, monkeypatch):
    modes = ('RGB', 'L', 'CMYK')
    ways = (dict(), dict(progressive=True), dict(exif=exif(6)), dict(comment=b'x' * 9000),
            dict(icc_profile=bytes(70_000), exif=exif(8)), dict(restart_marker_rows=1))  # fmt: skip
    contents = [encoded(picture(mode=mode), format='JPEG', **way) for mode in modes for way in ways]
    contents += [content[:2] + b'\xff' + content[2:] for content in contents[:2]]  # fill bytes
    cut = contents[4]
    contents += [cut[:end] for end in (3, 20, 90, 200, 5000, 60_000)]
    paths = write(tmp_path, contents)
    ours = inspect_images(paths)
    monkeypatch.setattr(image_check, '_jpeg_header', lambda file, size: None)
    for name, values in vars(inspect_images(paths)).items():
        if name != 'reason':
            assert getattr(ours, name).tolist() == values.tolist(), name
    assert ours.problem.tolist() == [None] * 20 + ['broken'] * 6


def test_an_mpo_is_whole_where_its_first_image_is(tmp_path):
    mpo = encoded(**{**FORMATS['mpo'], 'append_images': [picture()]})
    for content in (mpo, mpo[:-100]):
        (path,) = write(tmp_path, [content])
        assert mmcv.imread(str(path)).shape == (40, 104, 3)
        assert defect(path) is None


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_sizes_are_those_of_the_loader(tmp_path, backend):
    contents = [
        *(encoded(format='JPEG', exif=exif(turn, order)) for turn in range(10)
          for order in (b'II', b'MM')),
        *(encoded(format='PNG', exif=exif(turn)) for turn in (1, 3, 6)),
        *(late_exif(turn) for turn in (1, 5, 8)),
        *(encoded(format=kind, exif=exif(6)) for kind in ('WEBP', 'TIFF')),
        encoded(format='JPEG', exif=b'Exif\0\0garbage'),
    ]  # fmt: skip
    if backend == 'cv2':
        contents.append(encoded(format='JPEG', exif=exif(6, b'MM', kind=4)))
    paths = write(tmp_path, contents)
    types = 'color', 'grayscale', 'color_ignore_orientation', 'unchanged'
    turned = 0
    for color_type in types:
        columns = inspect_images(paths, color_type, backend)
        assert not columns.problem.any()
        shapes = [mmcv.imread(str(p), color_type, backend=backend).shape[:2] for p in paths]
        assert list(zip(columns.height, columns.width)) == shapes, color_type
        turned += (columns.width == 40).sum()
    assert turned > 20
    assert columns.orientation[:20].tolist() == [
        turn if 1 <= turn <= 8 else 1 for turn in range(10) for _ in range(2)
    ]


def test_orientation_in_xmp_turns_with_pillow_alone(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"></x:xmpmeta>'
    paths = write(tmp_path, [encoded(format='JPEG', xmp=xmp)])
    for backend in ('cv2', 'pillow'):
        columns = inspect_images(paths, 'color', backend)
        shape = mmcv.imread(str(paths[0]), backend=backend).shape
        assert (columns.height[0], columns.width[0]) == shape[:2]


def test_pixels_that_the_loader_reduces_are_marked(tmp_path):
    deep = Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
    cases = [
        (encoded(deep, format='PNG'), True, False),
        (encoded(deep, format='TIFF'), True, False),
        *((encoded(picture(mode=mode), format='PNG'), False, mode in ('RGBA', 'LA'))
          for mode in ('L', '1', 'P', 'RGBA', 'LA')),
        (encoded(picture(mode='P'), format='PNG', transparency=3), False, True),
        (encoded(picture(mode='CMYK'), format='JPEG'), False, False),
    ]  # fmt: skip
    columns = inspect_images(write(tmp_path, [content for content, _, _ in cases]))
    assert not columns.problem.any()
    assert columns.deep.tolist() == [is_deep for _, is_deep, _ in cases]
    assert columns.alpha.tolist() == [is_alpha for _, _, is_alpha in cases]


def test_what_opencv_does_not_read_is_broken(tmp_path):
    floats = Image.fromarray(np.zeros((9, 9), np.float32))
    contents = [encoded(floats, format='TIFF'), encoded(format='TGA')]
    paths = write(tmp_path, contents)
    columns = inspect_images(paths)
    assert columns.reason.tolist() == [
        'is a TIFF that cv2 does not read', 'is a TGA that cv2 does not read'
    ]  # fmt: skip
    assert not inspect_images(paths[1:], backend='pillow').problem.any()


def test_images_of_any_size_are_read(tmp_path):
    header = struct.pack('>IIBBBBB', 20_000, 20_000, 8, 2, 0, 0, 0)
    png = b'\x89PNG\r\n\x1a\n'
    for name, data in (b'IHDR', header), (b'IDAT', b'x'), (b'IEND', b''):
        png += struct.pack('>I', len(data)) + name + data
        png += struct.pack('>I', zlib.crc32(name + data))
    most = Image.MAX_IMAGE_PIXELS
    columns = inspect_images(write(tmp_path, [png, png.replace(header, b'\0\x20' + header[2:])]))
    assert columns.problem[0] is None and columns.width[0] == 20_000
    assert most == Image.MAX_IMAGE_PIXELS
    assert columns.problem[1] == 'broken'


def test_what_is_no_file_is_named(tmp_path):
    (tmp_path / 'folder.jpg').mkdir()
    (tmp_path / 'link.jpg').symlink_to('nowhere.jpg')
    (tmp_path / 'loop.jpg').symlink_to('loop.jpg')
    os.mkfifo(tmp_path / 'pipe.jpg')
    names = ['folder', 'link', 'loop', 'pipe', 'none', 'folder.jpg/none', 'nul\0l']
    paths = [str(tmp_path / f'{name}.jpg') for name in names]
    columns = inspect_images(paths)
    assert columns.problem.tolist() == ['broken', 'missing', *['broken'] * 2, *['missing'] * 3]
    assert columns.reason[0] == 'is a folder'
    assert columns.reason[1] == 'is a link to nothing'
    assert columns.reason[3] == 'is a device or pipe'
    assert not len(inspect_images([]).problem)
    if os.geteuid():
        (path,) = write(tmp_path, [encoded(format='JPEG')])
        path.chmod(0)
        assert inspect_images([path]).reason[0] == 'may not be read'
