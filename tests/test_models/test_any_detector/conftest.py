from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope='module', autouse=True)
def one_thread() -> Iterator[None]:
    """Layers as small as these are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
