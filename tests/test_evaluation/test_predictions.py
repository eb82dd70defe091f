"""What is read from the predictions of a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lt_det.evaluation.predictions import to_numpy


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_scores_of_any_precision(dtype):
    scores = torch.rand(5, requires_grad=True).to(dtype)
    found = to_numpy(scores)
    np.testing.assert_array_equal(found.astype(np.float64), scores.tolist())
    assert found.dtype == np.dtype('float32' if dtype == torch.bfloat16 else str(dtype)[6:])
    labels = torch.tensor([3, 1])
    assert to_numpy(labels).dtype == np.int64
