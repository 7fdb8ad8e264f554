"""How to minimise: update rules that change the caller's arrays in place."""
from fasttrain.optim._base import Optimizer
from fasttrain.optim.adam import Adam, AdamW
from fasttrain.optim.adam_kin import Adamax, NAdam, RAdam
from fasttrain.optim.adaptive import Adadelta, Adagrad, RMSprop
from fasttrain.optim.lion import Lion
from fasttrain.optim.schedule_free import ScheduleFreeAdamW
from fasttrain.optim.sgd import SGD

__all__ = [
    "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "NAdam", "Optimizer", "RAdam", "RMSprop",
    "ScheduleFreeAdamW",
]
