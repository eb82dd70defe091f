"""Several processes: training by torchrun, statistics of two, gathering that has gradients.

NCCL does not let two processes share a GPU, so two of them talk over gloo, with tensors on the GPU.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time

from common.origin import ROOT

from lt_det.datasets.glyphs import make_glyphs

from .context import Context

SCRIPT = ROOT / 'benchmarks' / 'speed' / 'gpu.py'
UNUSED = 'not in the computational graph'


def run(context: Context) -> None:
    device = str(context.device)
    port = str(_free_port())
    jobs = {
        'torchrun': _start(context, 'torchrun', _training(context)),
        'gathering': _start(context, 'gathering', _worker('gathering', device)),
        'rank 0': _start(context, 'rank 0', _worker('statistics', device, '0', port)),
        'rank 1': _start(context, 'rank 1', _worker('statistics', device, '1', port)),
    }
    try:
        outputs = {name: _wait(context, name, process) for name, process in jobs.items()}
    finally:
        for process in jobs.values():
            _end(process)
    code, text = outputs['torchrun']
    found = re.findall(r'\bloss:? (nan|inf|[\d.]+)', text)
    context.check(
        'training by torchrun' + context.pick(', mixed precision, NCCL', ''),
        code == 0 and UNUSED not in text and not {'nan', 'inf'} & set(found),
        'ends well, finite losses, no parameter without a gradient',
        exit=code,
        last_loss=found[-1] if found else None,
        unused=text.count(UNUSED),
        error=None if code == 0 else text[-400:],
    )
    for name, stage in (
        ('rank 0', 'statistics of two processes, gloo, tensors on the device, rank 0'),
        ('rank 1', 'statistics of two processes, rank 1'),
        ('gathering', f'gathering with gradients, {"NCCL" if context.on_gpu else "gloo"}'),
    ):
        code, text = outputs[name]
        error = None if code == 0 else text[-400:]
        context.check(stage, code == 0, 'as in one process', exit=code, error=error)


def _start(context: Context, name: str, command: list[str]) -> subprocess.Popen:
    """Start a process whose output goes to a file."""
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')])),
        # there may be no other network
        'NCCL_SOCKET_IFNAME': 'lo',
        'GLOO_SOCKET_IFNAME': 'lo',
        'OMP_NUM_THREADS': '1',
    }
    with (context.folder / f'{name}.log').open('w') as file:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _end(process: subprocess.Popen) -> None:
    """End a process and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _wait(context: Context, name: str, process: subprocess.Popen) -> tuple[int, str]:
    """Exit status, -9 of one that is not done in time, and output of a process."""
    try:
        code = process.wait(max(context.left() - 5, 1))
    except subprocess.TimeoutExpired:
        _end(process)
        code = process.wait()
    text = (context.folder / f'{name}.log').read_text(errors='replace')
    print(f'--- {name}: exit status {code}\n{text[-3000:]}', flush=True)
    return code, text


def _training(context: Context) -> list[str]:
    """30 steps of the demo config on the tiny glyphs, and their evaluation."""
    data = make_glyphs(context.folder / 'glyphs', 'tiny', progress=False)
    root = f'{data}/'
    options = [
        *(f'{split}_dataloader.dataset.data_root={root}' for split in ('train', 'val', 'test')),
        *(
            f'{split}_evaluator.ann_file={data}/annotations/glyphs_val.json'
            for split in ('val', 'test')
        ),
        'model.roi_head.bbox_head.num_classes=8',
        'model.roi_head.mask_head.num_classes=8',
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1',
        'param_scheduler=[]',
        'load_from=None',
        'default_hooks.logger.interval=5',
        'model_wrapper_cfg.type=MMDistributedDataParallel',
        'model_wrapper_cfg.detect_anomalous_params=True',
    ]
    if context.toy:
        options += ['train_dataloader.dataset.indices=8', 'val_dataloader.dataset.indices=4']
    launch = ['-m', 'torch.distributed.run', '--nnodes=1', '--nproc-per-node=1']
    launch += ['--master-addr=127.0.0.1', f'--master-port={_free_port()}']
    config = 'configs/glyphs/mask_rcnn_r18_iif_demo.py'
    arguments = [config, '--launcher', 'pytorch', '--work-dir', str(context.folder / 'trained')]
    if context.on_gpu:
        arguments.append('--amp')
    return [sys.executable, *launch, 'tools/train.py', *arguments, '--cfg-options', *options]


def _worker(*task: str) -> list[str]:
    return [sys.executable, str(SCRIPT), '--worker', *task]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


# ------------------------------------------------------------------------ in processes of their own


def work(task: str, device: str, *arguments: str) -> None:
    """What a process of its own does; it fails by an error."""
    begin = time.monotonic()
    if task == 'statistics':
        _statistics_of_rank(device, int(arguments[0]), int(arguments[1]))
    else:
        _gathering(device)
    print(f'{task}: as in one process, {time.monotonic() - begin:.1f} s')


def _statistics_of_rank(device: str, rank: int, port: int) -> None:
    """The statistics of half a batch, summed over two processes, are those of the whole batch."""
    import torch

    torch.manual_seed(0)
    logits, features = torch.randn(6, 5), torch.randn(6, 4, 2, 2)
    labels = torch.tensor([0, 0, 1, 3, 0, 2])
    expected = _statistics(logits, features, labels, device)
    mine = slice(3 * rank, 3 * rank + 3)
    torch.distributed.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    found = _statistics(logits[mine], features[mine], labels[mine], device)
    for ours, whole in zip(found, expected):
        assert ours.device.type == torch.device(device).type
        torch.testing.assert_close(ours, whole)
    torch.distributed.destroy_process_group()


def _statistics(logits, features, labels, device: str) -> list:
    import torch

    from lt_det.frequency import ClassFrequency
    from lt_det.models.layers import FASA, CAMCalibration
    from lt_det.models.losses import LongTailEQLV2Loss, LongTailSeesawLoss

    torch.manual_seed(1)  # the same weights everywhere
    parts = LongTailSeesawLoss(num_classes=3), LongTailEQLV2Loss(num_classes=3)
    seesaw, eqlv2 = (part.to(device) for part in parts)
    calibration, fasa = CAMCalibration(3, 4, embed_channels=4).to(device), FASA(3, 4).to(device)
    fasa.set_class_frequency(ClassFrequency([9, 3, 1]))
    logits, features, labels = logits.to(device), features.to(device), labels.to(device)
    seesaw(logits, labels)
    eqlv2(logits[:, :4], labels)
    calibration(features, labels=labels, update=True)
    for epoch in (1, 2):  # the second compares its losses with the first's
        fasa.update(features.mean((2, 3)) / epoch, labels, logits[:, 0].exp() * epoch)
        fasa.adapt()
    return [
        *(seesaw.cum_samples, eqlv2.pos_grad, eqlv2.neg_grad, calibration.prototypes),
        *(fasa.mean, fasa.variance, fasa.seen, fasa.probability, fasa.last_loss),
    ]


def _gathering(device: str) -> None:
    """The contrastive loss through all_gather and its backward pass, in a group of one process."""
    import torch

    from lt_det.models.losses import balanced_contrastive_loss as module

    torch.manual_seed(0)
    z = torch.randn(32, 16).to(device).requires_grad_()
    centres = torch.randn(5, 16).to(device).requires_grad_()
    labels = torch.randint(5, (32,)).to(device)
    w = module.class_membership(labels, 5)
    loss = module.BalancedContrastiveLoss()
    plain = torch.autograd.grad(loss(z, w, centres), (z, centres))
    backend = 'nccl' if torch.device(device).type == 'cuda' else 'gloo'
    address = f'tcp://127.0.0.1:{_free_port()}'
    torch.distributed.init_process_group(backend, address, rank=0, world_size=1)
    module.get_world_size = lambda: 2  # otherwise nothing is gathered
    gathered = torch.autograd.grad(loss(z, w, centres), (z, centres))
    torch.testing.assert_close(gathered, plain)
    torch.distributed.destroy_process_group()
