"""The one table of rules and their options that the tests of the optimizers run over, and what they share."""
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fasttrain import optim

# Widths around vectors, blocks and pieces; empty and without dimensions.
SHAPES = [(7, 5), (5,), (0,), (), (3, 1, 11), (1,) * 4, (9000,), (257,), (2, 2), (70001,)]
SMALL_SHAPES = [(3, 4), (5,), (), (0, 2), (300,)]


@dataclass(frozen=True)
class Case:
    rule: type[optim.Optimizer]
    options: dict[str, Any] = field(default_factory=dict)
    peer: str | None = None  # the class of torch.optim that does the same with the same options


def _cases(rule, peer, **variants):
    return {
        f"{rule.__name__} {name}".replace("_", " "): Case(rule, options, peer) for name, options in variants.items()
    }


CASES = {
    **_cases(
        optim.SGD, "SGD",
        plain={"lr": 0.05},
        decay={"lr": 0.05, "weight_decay": 0.1},
        maximize={"lr": 0.05, "weight_decay": 0.1, "maximize": True, "momentum": 0.5},
        momentum={"lr": 0.01, "momentum": 0.9},
        dampening={"lr": 0.01, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
        nesterov={"lr": 0.01, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
    ),
    **_cases(
        optim.Adam, "Adam",
        plain={"lr": 0.01},
        l2={"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-5, "weight_decay": 0.1},
        small_betas={"lr": 0.01, "betas": (0.3, 0.5), "weight_decay": 0.1},
        zero_betas={"lr": 0.01, "betas": (0.0, 0.0)},
        amsgrad={"lr": 0.01, "amsgrad": True, "betas": (0.9, 0.9)},
        decoupled={"lr": 0.01, "decoupled_weight_decay": True, "weight_decay": 0.1},
        maximize={"lr": 0.01, "maximize": True, "weight_decay": 0.1, "amsgrad": True},
    ),
    **_cases(
        optim.AdamW, "AdamW",
        plain={"lr": 0.01},
        amsgrad={"lr": 0.01, "weight_decay": 0.1, "amsgrad": True, "betas": (0.5, 0.9)},
        maximize={"lr": 0.01, "weight_decay": 0.1, "maximize": True},
    ),
    **_cases(
        optim.Adam, None,
        textbook={"lr": 0.01, "bias_correction": False},
        uncorrected_eps={"lr": 0.01, "eps_mode": "uncorrected", "eps": 1e-3, "weight_decay": 0.1},
        initial_lr={"lr": 0.01, "decoupled_weight_decay": True, "weight_decay": 0.01, "initial_lr": 0.02},
    ),
    **_cases(
        optim.NAdam, "NAdam",
        plain={"lr": 0.01},
        l2={"lr": 0.01, "weight_decay": 0.1, "momentum_decay": 0.01, "betas": (0.4, 0.99), "maximize": True},
        decoupled={"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "eps": 1e-4},
    ),
    **_cases(
        optim.RAdam, "RAdam",
        plain={"lr": 0.01},
        l2={"lr": 0.01, "weight_decay": 0.1, "betas": (0.4, 0.9), "maximize": True},
        never_rectified={"lr": 0.01, "betas": (0.9, 0.5)},
        decoupled={"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "eps": 1e-4},
    ),
    **_cases(
        optim.Adamax, "Adamax",
        plain={"lr": 0.01},
        l2={"lr": 0.01, "weight_decay": 0.1, "betas": (0.4, 0.9), "eps": 1e-4, "maximize": True},
    ),
    **_cases(
        optim.Adagrad, "Adagrad",
        plain={"lr": 0.1},
        decay={"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.1, "eps": 1e-4, "maximize": True},
        start={"lr": 0.1, "initial_accumulator_value": 0.1},
    ),
    **_cases(
        optim.RMSprop, "RMSprop",
        plain={"lr": 0.01},
        l2={"lr": 0.01, "alpha": 0.4, "weight_decay": 0.1, "eps": 1e-4, "maximize": True},
        momentum={"lr": 0.01, "momentum": 0.9},
        centered={"lr": 0.01, "centered": True, "alpha": 0.9},
        centered_small_alpha={"lr": 0.01, "centered": True, "alpha": 0.3, "eps": 1e-4},
        centered_momentum={"lr": 0.01, "centered": True, "momentum": 0.5, "weight_decay": 0.1},
    ),
    **_cases(optim.RMSprop, None, eps_inside={"lr": 0.01, "eps_mode": "inside", "eps": 1e-2, "centered": True}),
    **_cases(
        optim.Adadelta, "Adadelta",
        plain={},
        l2={"lr": 0.5, "rho": 0.4, "eps": 1e-4, "weight_decay": 0.1, "maximize": True},
    ),
    **_cases(
        optim.Lion, None,
        plain={"lr": 0.01},
        decay={"lr": 0.01, "betas": (0.4, 0.3), "weight_decay": 0.1, "maximize": True},
    ),
    **_cases(
        optim.ScheduleFreeAdamW, None,
        plain={"lr": 0.01},
        warmup={"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.1, "warmup_steps": 5, "r": 1, "eps": 1e-4},
        small_beta={"lr": 0.01, "betas": (0.3, 0.9), "weight_lr_power": 0, "maximize": True},
    ),
}
# One with every array of state of each rule.
FULLEST = [
    "SGD nesterov", "Adam l2", "Adam amsgrad", "AdamW plain", "NAdam l2", "RAdam plain", "Adamax l2", "Adagrad decay",
    "RMSprop plain", "RMSprop momentum", "RMSprop centered", "RMSprop centered momentum", "Adadelta plain",
    "Lion decay", "ScheduleFreeAdamW warmup",
]
RULES = [
    optim.SGD, optim.Adam, optim.AdamW, optim.NAdam, optim.RAdam, optim.Adamax, optim.Adagrad, optim.RMSprop,
    optim.Adadelta, optim.Lion, optim.ScheduleFreeAdamW,
]

every_case = pytest.mark.parametrize("name", CASES)
fullest_cases = pytest.mark.parametrize("name", FULLEST)
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
every_state_dtype = pytest.mark.parametrize("state_dtype", ["float32", "bfloat16", "8bit"])


def arrays_of(shapes, dtype, seed, scale=1.0):
    random = np.random.default_rng(seed)
    return [np.array(scale * random.standard_normal(shape), dtype=dtype) for shape in shapes]


def make(name, params, **more):
    case = CASES[name]
    if more.get("state_dtype") == "8bit" and case.options.get("centered"):
        pytest.skip("centered needs more than 8 bits")
    return case.rule(params, **{**case.options, **more})


def assert_same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_same_state(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(other[name], value, err_msg=name)


class Unchanged:
    """A context at whose end parameters and state must be what they were."""

    def __init__(self, optimizer, params):
        self.optimizer, self.params = optimizer, params

    def __enter__(self):
        self.kept = [np.array(param) for param in self.params]
        self.state = self.optimizer.state_dict()
        return self

    def __exit__(self, kind, error, traceback):
        if kind is None:
            assert_same(self.params, self.kept)
            assert_same_state(self.optimizer.state_dict(), self.state)


def bits_of(values):
    """bfloat16, as uint16, nearest to float32 (which have no NaN here)."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    return np.array((bits + 0x7FFF + (bits >> 16 & 1)) >> 16, np.uint16)


def values_of(bits):
    """float32 of bfloat16."""
    return np.array(np.asarray(bits).astype(np.uint32) << 16, np.uint32).view(np.float32)


