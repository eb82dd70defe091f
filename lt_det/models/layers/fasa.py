"""FASA: virtual features of rare classes from the statistics of real ones."""

from __future__ import annotations

import math

import torch
from mmengine.dist import all_reduce
from torch import Tensor
from torch.nn import functional as F

from ...frequency import ClassFrequency
from ...frequency_module import FrequencyModule
from ...values import check_values


class FASA(FrequencyModule):
    """Feature augmentation and sampling adaptation (Zang et al., ICCV 2021, arXiv 2102.12867).

    Keeps for every class the running mean and variance of the features of its RoIs, over all
    processes, ``new = decay * batch + (1 - decay) * old``, and draws virtual features from normal
    distributions with these; variances are unbiased, and 0 for a single RoI. Classes are drawn in
    proportion to ``(1 / n_c) ** power``, n_c training instances, among those that have been seen.
    After each epoch, from the second on, the probability of a class is multiplied by ``up`` where
    its loss has fallen and by ``down`` where it has risen.

    Ours, where the paper does otherwise: a fixed number of features per iteration (the paper draws
    each class on its own, one per iteration on average), the loss of the epoch's real RoIs (the
    paper's: of the validation set), each class for itself (the paper's: in clusters).

    Args:
        num_classes: C.
        num_features: D.
        num_virtual: V, virtual features per iteration.
        decay: Share of a batch in the running statistics.
        power: Of the inverse frequency.
        up, down: Factors of the probabilities.
        begin: Epoch, from 0, that first uses virtual features.

    Attributes:
        mean, variance: Buffers (C, D).
        seen: Buffer (C,), whether there are statistics.
        probability: Buffer (C,), as adapted so far. Loaded with another ``power`` than it was saved
            with, it keeps the adaptation and gets the present power.

    Raises:
        BadInputError: A number outside its range.
    """

    data_buffers = (
        *FrequencyModule.data_buffers,
        *('mean', 'variance', 'seen', 'probability', 'base_power', 'loss_sum', 'last_loss'),
        'adapted',
    )

    def __init__(
        self,
        num_classes: int,
        num_features: int,
        num_virtual: int = 4,
        decay: float = 0.1,
        power: float = 1.0,
        up: float = 1.1,
        down: float = 0.9,
        begin: int = 1,
    ) -> None:
        super().__init__(num_classes)
        check_values(
            'fasa',
            num_virtual=(num_virtual, 'a whole number >= 1'),
            decay=(decay, 'a number in (0, 1]'),
            power=(power, 'a number >= 0'),
            up=(up, 'a number > 0'),
            down=(down, 'a number > 0'),
            begin=(begin, 'a whole number >= 0'),
        )
        self.num_virtual = num_virtual
        self.decay = decay
        self.power = power
        self.up = up
        self.down = down
        self.begin = begin
        self.epoch = 0
        self.register_buffer('mean', torch.zeros(num_classes, num_features))
        self.register_buffer('variance', torch.zeros(num_classes, num_features))
        self.register_buffer('seen', torch.zeros(num_classes, dtype=torch.bool))
        self.register_buffer('probability', torch.full([num_classes], 1 / num_classes))
        self.register_buffer('base_power', torch.tensor(float(power)))  # of probability
        # of this epoch: summed loss and number of RoIs; mean loss of the last
        self.register_buffer('loss_sum', torch.zeros(2, num_classes))
        self.register_buffer('last_loss', torch.zeros(num_classes))
        # the epoch that probability is of: a run resumed inside an epoch does not adapt again
        self.register_buffer('adapted', torch.zeros((), dtype=torch.int64))

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        super().set_class_frequency(frequency)
        self.probability.copy_(self._base_probability(self.power))
        self.base_power.fill_(self.power)

    def _base_probability(self, power: float) -> Tensor:
        """Probabilities (C,) before any adaptation."""
        weight = self.instance_count.clamp(min=1).double() ** -power
        return weight / weight.sum()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        if prefix + 'probability' in state_dict:  # older checkpoints lack these
            state_dict.setdefault(prefix + 'base_power', torch.tensor(float(self.power)))
            state_dict.setdefault(prefix + 'adapted', torch.zeros((), dtype=torch.int64))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        saved = self.base_power.item()
        if self.has_frequency and not math.isclose(saved, self.power, rel_tol=1e-3):
            change = self._base_probability(self.power) / self._base_probability(saved)
            self.probability.copy_(self.probability * change)
            self.base_power.fill_(self.power)

    def set_epoch(self, epoch: int) -> None:
        """Adapt the probabilities at the start of an epoch (called by ModuleEpochHook)."""
        if epoch > self.adapted.item():
            self.adapt()
        self.adapted.fill_(epoch)
        self.epoch = epoch

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor, losses: Tensor) -> None:
        """Take over the statistics of a batch.

        RoIs with a feature or loss that is not finite, as in a step that mixed precision skips, do
        not count.

        Args:
            features: (R, D).
            labels: (R,), C for background.
            losses: (R,).
        """
        finite = features.isfinite().all(1) & losses.isfinite()
        labels = labels.where(finite, self.num_classes)
        ones = features.new_ones(len(features), 1, dtype=torch.float32)
        rows = torch.cat([features.float(), losses.float()[:, None], ones], 1)
        total = self._sum_by_class(rows, labels)
        all_reduce(total)
        count = total[:, -1:]
        mean = total[:, :-2] / count.clamp(min=1)
        deviation = features - F.pad(mean, (0, 0, 0, 1))[labels]
        variance = self._sum_by_class(deviation.float().square(), labels)
        all_reduce(variance)
        variance /= (count - 1).clamp(min=1)
        # the first statistics of a class are taken as they are
        share = torch.where(self.seen[:, None], self.decay, 1.0) * (count > 0)
        for old, new in ((self.mean, mean), (self.variance, variance)):
            old.copy_(share * new + (1 - share) * old)
        self.seen |= count[:, 0] > 0
        # of all processes, since a checkpoint has what one of them knows
        self.loss_sum += total[:, -2:].T

    @torch.no_grad()
    def sample(self) -> tuple[Tensor, Tensor, Tensor]:
        """Draw virtual features.

        Returns:
            Features (V, D), labels (V,) and weights (V,), 0 where nothing was seen to draw from.
        """
        # the small number keeps the draw defined before any class is seen
        probability = self.probability * self.seen + 1e-12
        labels = torch.multinomial(probability, self.num_virtual, replacement=True)
        noise = torch.randn_like(self.mean[labels])
        features = self.mean[labels] + self.variance[labels].sqrt() * noise
        return features, labels, self.seen[labels].to(features)

    @torch.no_grad()
    def adapt(self) -> None:
        """Raise or lower probabilities by how the losses of the epoch compare to the last."""
        loss_sum, count = self.loss_sum
        loss = loss_sum / count.clamp(min=1)
        comparable = (count > 0) & (self.last_loss > 0)
        factor = torch.ones_like(loss)
        factor[comparable & (loss < self.last_loss)] = self.up
        factor[comparable & (loss > self.last_loss)] = self.down
        self.probability.mul_(factor).clamp_(max=1)
        self.last_loss.copy_(torch.where(count > 0, loss, self.last_loss))
        self.loss_sum.zero_()

    def _sum_by_class(self, rows: Tensor, labels: Tensor) -> Tensor:
        """Sums (C, n) of rows (R, n) by label (R,); those of the background are dropped."""
        total = rows.new_zeros(self.num_classes + 1, rows.shape[1])
        return total.index_add_(0, labels, rows)[:-1].contiguous()
