"""How to minimise: update rules that change the caller's arrays in place, and schedules of the learning rate."""
from fasttrain.optim.adam import Adam
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
    "SGD",
    "Adam",
    "Constant",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LinearWarmup",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
