"""Packaging. Configs and tools travel inside the package: mmengine looks in ``lt_det/.mim``."""

import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM = Path('lt_det', '.mim')
CARRIED = ('configs', 'tools', 'model-index.yml')


class BuildPy(build_py):
    """Adds ``lt_det/.mim``: copies in a wheel, links (ignored by git) in an editable install."""

    def run(self) -> None:
        if self.editable_mode:
            super().run()
            self.fill(ROOT / MIM, link=True)
        else:
            # an earlier build may have left modules there that no longer exist
            shutil.rmtree(Path(self.build_lib, 'lt_det'), ignore_errors=True)
            super().run()
            self.fill(Path(self.build_lib, MIM), link=False)

    @staticmethod
    def fill(target: Path, link: bool) -> None:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in CARRIED:
            if link:
                (target / name).symlink_to(os.path.relpath(ROOT / name, target))
            elif (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns('__pycache__', '*.py[cod]', '.*')
                shutil.copytree(ROOT / name, target / name, ignore=ignored)
            else:
                shutil.copy2(ROOT / name, target / name)


def read(name: str) -> str:
    path = ROOT / name
    return path.read_text(encoding='utf-8') if path.is_file() else ''


setup(
    name='lt_det',
    version=re.search(r"__version__ = '(.+?)'", read('lt_det/version.py')).group(1),
    description='Long-tailed object detection, instance segmentation and classification',
    long_description=read('README.md'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='long-tailed recognition, object detection, instance segmentation, LVIS, MMDetection',
    packages=find_packages(include=['lt_det', 'lt_det.*']),
    include_package_data=True,
    zip_safe=False,
    cmdclass={'build_py': BuildPy},
    entry_points={'console_scripts': ['lt_det = lt_det.cli.main:main']},
    python_requires='>=3.10',
    # what was tried together is in requirements/constraints.txt and docs/machines.md;
    # mmengine, mmcv, mmdet and mmpretrain come as forks or as originals, never both: see `onedl`
    install_requires=[
        'torch>=2.4',
        'torchvision>=0.19',
        'pycocotools>=2.0.7',
        'hotcoco>=1.3,<2',  # the engine of the evaluation
        'numpy>=1.26',
        'scipy>=1.11',
        'orjson>=3.9',
        'matplotlib>=3.8',
        'jinja2>=3.1',  # the report page
        'tqdm>=4.65',
    ],
    extras_require={
        # the maintained forks, which import as mmengine, mmcv, mmdet and mmpretrain
        'onedl': [
            'onedl-mmengine>=0.10.12',
            'onedl-mmcv>=2.3.6',  # brings OpenCV
            'onedl-mmdetection>=3.5.1',
            'onedl-mmpretrain>=1.3.6',
        ],
        'test': [
            'hypothesis>=6.100',
            'lvis>=0.5.3',  # the oracle of the evaluation tests, never imported by lt_det
            'mypy==2.4.1',  # another mypy finds other errors
            'open_clip_torch>=3.0',  # 45 MB with what it brings
            'playwright>=1.50',  # drives an installed Chromium, brings none
            'pytest>=8',
            'pytest-xdist>=3.5',
            'pytorch-metric-learning>=2.5',  # the oracle of the contrastive loss
            'ruff==0.17.5',  # another ruff formats differently
            'vernier>=0.5.4,<0.6',
            'setuptools>=70.1',  # the packaging test builds a wheel off-line
        ],
        'boundary': ['vernier>=0.5.4,<0.6'],  # Boundary AP
        'clip': ['open_clip_torch>=3.0'],  # BALLAD
        'report': ['pyarrow>=15', 'scikit-learn>=1.4'],  # tables as Parquet, t-SNE
    },
    classifiers=[
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Programming Language :: Python :: 3.14',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
)
