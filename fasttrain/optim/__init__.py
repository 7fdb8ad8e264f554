"""How to minimise: update rules that change the caller's arrays in place, schedules, averages of parameters, L-BFGS."""
from fasttrain.optim._base import Optimizer
from fasttrain.optim.adafactor import Adafactor
from fasttrain.optim.adam import Adam, AdamW
from fasttrain.optim.adam_kin import Adamax, NAdam, RAdam
from fasttrain.optim.adaptive import Adadelta, Adagrad, RMSprop
from fasttrain.optim.averaging import AveragedParameters
from fasttrain.optim.lamb import LAMB
from fasttrain.optim.lbfgs import LBFGSResult, minimize_lbfgs
from fasttrain.optim.lion import Lion
from fasttrain.optim.muon import Muon
from fasttrain.optim.schedule_free import ScheduleFreeAdamW
from fasttrain.optim.schedules import (
    Constant,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LinearWarmup,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from fasttrain.optim.sgd import SGD

__all__ = [
    "LAMB", "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "AveragedParameters", "Constant",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts", "ExponentialLR", "LBFGSResult", "LinearWarmup", "Lion", "MultiStepLR", "Muon",
    "NAdam", "OneCycleLR", "Optimizer", "PolynomialLR", "RAdam", "RMSprop", "ReduceLROnPlateau", "ScheduleFreeAdamW",
    "SequentialLR", "StepLR", "minimize_lbfgs",
]
