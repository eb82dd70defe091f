"""The steps of ``gpu.py``, in the order in which they run when time is short."""

from typing import NamedTuple


class Step(NamedTuple):
    """A step: the module here whose ``run(context)`` it is, and seconds after which it is cut."""

    title: str
    module: str
    limit: float


STEPS = {
    0: Step('versions and data', 'preparation', 60),
    1: Step('CPU and GPU agree in float32', 'agreement', 80),
    3: Step('training in mixed precision', 'mixed_precision', 90),
    4: Step('cost of training', 'training_cost', 120),
    5: Step('cost of inference', 'inference', 80),
    8: Step('switches of the backbone', 'backbone', 90),
    7: Step('several processes', 'distributed', 60),
    2: Step('waits for the device', 'syncs', 30),
    9: Step('the same twice', 'determinism', 50),
    6: Step('BALLAD', 'ballad', 60),
}
