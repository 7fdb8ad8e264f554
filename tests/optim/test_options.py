"""Bad input: gradients, options when the optimizer is made and later, arguments of a step. Nothing changes."""
import math

import numpy as np
import pytest

from fasttrain import optim
from tests.optim.rules import Unchanged, arrays_of, assert_same, every_rule, fullest_cases, make

SHAPES = [(2, 3), (4,), (6,)]
BAD_GRADS = {
    "missing": (lambda g: g[:-1], ValueError, "grads must hold 3 arrays, as params does, got 2"),
    "too many": (lambda g: iter([*g, g[0]]), ValueError, "grads must hold 3 arrays, as params does, got 4"),
    "one array": (lambda g: g[0], TypeError, "grads must be a list of 3 arrays"),
    "dict": (lambda g: dict(enumerate(g)), TypeError, "grads must be a list of 3 arrays.*got dict"),
    "shape": (lambda g: [*g[:2], g[2][:-1]], ValueError, r"grads\[2\] must have the shape of params\[2\], \(6,\)"),
    "dimensions": (lambda g: [*g[:2], g[2].reshape(2, 3)], ValueError, r"grads\[2\] must have the shape"),
    "float32": (
        lambda g: [g[0], g[1].astype(np.float32), g[2]], TypeError,
        r"grads\[1\] must have dtype float64, as params\[1\] has float64, got float32",
    ),
    "integers": (lambda g: [*g[:2], g[2].astype(int)], TypeError, r"grads\[2\] must have dtype .*got int64"),
    "strided": (lambda g: [*g[:2], np.repeat(g[2], 2)[::2]], ValueError, r"grads\[2\] must be C-contiguous"),
    "fortran": (lambda g: [np.asfortranarray(g[0]), *g[1:]], ValueError, r"grads\[0\] must be C-contiguous"),
    "none": (lambda g: [*g[:2], None], TypeError, r"grads\[2\] must be a numpy.ndarray or export.*got NoneType"),
    "masked": (lambda g: [np.ma.masked_array(g[0]), *g[1:]], TypeError, r"grads\[0\] must not be a masked array"),
}


@pytest.mark.parametrize("kind", BAD_GRADS)
@fullest_cases
def test_bad_gradients_change_nothing(name, kind):
    spoil, error, match = BAD_GRADS[kind]
    params = arrays_of(SHAPES, np.float64, 0)
    optimizer = make(name, params)
    optimizer.step(arrays_of(SHAPES, np.float64, 1))
    for options in ({}, {"max_norm": 1.0}):
        with Unchanged(optimizer, params), pytest.raises(error, match=match):
            optimizer.step(spoil(arrays_of(SHAPES, np.float64, 2)), **options)


def test_gradients_of_other_dtypes_are_named():
    with pytest.raises(TypeError, match="grads must have dtype float32, float16 or bfloat16, as params has bfloat16"):
        optim.Adam(np.zeros(3, np.uint16), dtype="bfloat16").step(np.zeros(3))
    with pytest.raises(TypeError, match="grads must have dtype float64, as params has float64, got bfloat16"):
        optim.Adam(np.zeros(3), dtype="bfloat16").step(np.zeros(3, np.uint16))
    with pytest.raises(TypeError, match=r"grads must be a numpy\.ndarray or export.*got list"):
        optim.Adam(np.zeros(3)).step([np.zeros(3)])


# option: values that every rule with it refuses
BAD_OPTIONS = {
    "lr": [(-1.0, ValueError, "at least 0"), (math.nan, ValueError, "finite"), (math.inf, ValueError, "finite"),
           (True, TypeError, "a real number"), (np.True_, TypeError, "a real number"),
           (None, TypeError, "a real number"), ("0.1", TypeError, "a real number"), (1j, TypeError, "a real number"),
           (np.zeros(2), TypeError, "a real number")],
    "weight_decay": [(-0.1, ValueError, "at least 0"), (math.nan, ValueError, "finite"), (True, TypeError, "real")],
    "betas": [((0.9, 1.0), ValueError, r"\[1\] must be in \[0, 1\)"), (0.9, TypeError, "a pair"),
              ((-0.1, 0.9), ValueError, r"\[0\] must be at least 0"), ((0.9,), TypeError, "a pair"),
              ((math.nan, 0.9), ValueError, r"\[0\] must be finite"), ((0.9, True), TypeError, "real"),
              (None, TypeError, "a pair"), ("ab", TypeError, "a pair")],
    "eps": [(-1e-8, ValueError, "at least 0"), (math.inf, ValueError, "finite"), (False, TypeError, "real")],
    "momentum": [(-0.1, ValueError, "at least 0"), (math.inf, ValueError, "finite"), ("0.9", TypeError, "real")],
    "dampening": [(math.nan, ValueError, "finite"), (None, TypeError, "real")],
    "nesterov": [(1, TypeError, "True or False"), (True, ValueError, "needs a positive momentum and dampening 0")],
    "maximize": [(1, TypeError, "True or False"), ("no", TypeError, "True or False")],
    "amsgrad": [(1, TypeError, "True or False")],
    "decoupled_weight_decay": [("no", TypeError, "True or False")],
    "bias_correction": [(0, TypeError, "True or False")],
    "centered": [(None, TypeError, "True or False")],
    "eps_mode": [("below", ValueError, "must be one of"), (None, TypeError, "must be one of")],
    "initial_lr": [(0.0, ValueError, "positive"), (-1.0, ValueError, "at least 0|positive"), (True, TypeError, "real"),
                   (math.nan, ValueError, "finite")],
    "momentum_decay": [(-0.1, ValueError, "at least 0")],
    "lr_decay": [(-0.1, ValueError, "at least 0"), (math.inf, ValueError, "finite")],
    "alpha": [(1.0, ValueError, r"in \[0, 1\)"), (-0.1, ValueError, "at least 0")],
    "rho": [(1.0, ValueError, r"in \[0, 1\)"), (math.nan, ValueError, "finite")],
    "warmup_steps": [(-1, ValueError, "at least 0"), (True, TypeError, "real")],
    "r": [(-1, ValueError, "at least 0")],
    "weight_lr_power": [(math.nan, ValueError, "finite")],
    "initial_accumulator_value": [(-0.1, ValueError, "non-negative"), (True, ValueError, "non-negative number")],
}


@every_rule
def test_bad_options_are_refused_when_made_and_later(rule):
    params = arrays_of(SHAPES, np.float64, 0)
    optimizer = rule([{"params": params[:2]}, {"params": params[2:]}])
    optimizer.step(arrays_of(SHAPES, np.float64, 1))
    names = set(optimizer.param_groups[0]) - {"params"}
    assert names <= set(BAD_OPTIONS)
    for name in sorted(names):
        for value, error, problem in BAD_OPTIONS[name]:
            match = f"{name}.*({problem})"
            if rule is not optim.AdamW or name != "decoupled_weight_decay":  # which is what AdamW means
                with pytest.raises(error, match=match):
                    rule(np.zeros(3), **{name: value})
            with pytest.raises(error, match=match):
                rule([{"params": [np.zeros(3)]}, {"params": [np.zeros(2)], name: value}])
            if name == "initial_accumulator_value":  # read once
                continue
            with Unchanged(optimizer, params), pytest.raises(error, match=match):
                optimizer.set_options(**{name: value})
            group = optimizer.param_groups[1]
            good, group[name] = group[name], value
            kept = [param.copy() for param in params]
            for options in ({}, {"max_norm": 1.0}):
                with pytest.raises(error, match=match):
                    optimizer.step(arrays_of(SHAPES, np.float64, 2), **options)
            group[name] = good
            assert_same(params, kept)
    assert optimizer.n_steps == 1


def test_options_that_exclude_each_other():
    theta = np.zeros(3)
    for options in ({"nesterov": True}, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}):
        with pytest.raises(ValueError, match="nesterov=True needs a positive momentum and dampening 0, got"):
            optim.SGD(theta, **options)
    with pytest.raises(ValueError, match="initial_lr is of the decoupled decay"):
        optim.Adam(theta, initial_lr=0.1)
    with pytest.raises(ValueError, match=r"betas\[0\] must be above 0, got 0"):
        optim.ScheduleFreeAdamW(theta, betas=(0, 0.9))


@every_rule
def test_groups_that_were_broken_later(rule):
    params = arrays_of(SHAPES, np.float64, 0)
    optimizer = rule(params)
    (group,) = optimizer.param_groups
    grads = arrays_of(SHAPES, np.float64, 1)
    for name in sorted(set(group) - {"params", "initial_accumulator_value"}):
        kept = group.pop(name)
        with pytest.raises(ValueError, match=rf"param_groups\[0\] lacks the option '{name}'"):
            optimizer.step(grads)
        group[name] = kept
    for spoil in (optimizer.param_groups.clear, lambda: optimizer.param_groups.append(group)):
        spoil()
        with pytest.raises(ValueError, match=r"param_groups must hold the 1 group\(s\) that the optimizer was made"):
            optimizer.step(grads)
        optimizer.param_groups[:] = [group]
    assert_same(params, arrays_of(SHAPES, np.float64, 0))
    with pytest.raises(ValueError, match="has no option learning_rate"):
        optimizer.set_options(learning_rate=0.1)
    optimizer.step(grads)
    assert optimizer.n_steps == 1


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        *[({name: value}, ValueError, f"{name} must be a positive number, got")
          for name in ("grad_scale", "max_norm", "max_value")
          for value in (0, -1.0, math.nan, math.inf, True, "1", np.ones(2))
          if name != "max_norm" or value is not math.inf],
        ({"grad_scale": None}, ValueError, "grad_scale must be a positive number"),
        *[({"check_finite": value}, ValueError, "check_finite must be True, False or 'skip'")
          for value in ("yes", 1, None, 0)],
    ],
)
def test_bad_arguments_of_a_step_change_nothing(arguments, error, match):
    params = arrays_of(SHAPES, np.float64, 0)
    optimizer = optim.AdamW(params)
    with Unchanged(optimizer, params), pytest.raises(error, match=match):
        optimizer.step(arrays_of(SHAPES, np.float64, 1), **arguments)


@every_rule
def test_bad_thread_counts(rule):
    params = arrays_of(SHAPES, np.float64, 0)
    for value, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError), ("2", TypeError)):
        with pytest.raises(error, match="n_threads"):
            rule(params, n_threads=value)
        optimizer = rule(params)
        optimizer.n_threads = value
        for options in ({}, {"max_norm": 1.0}):
            with Unchanged(optimizer, params), pytest.raises(error, match="n_threads"):
                optimizer.step(arrays_of(SHAPES, np.float64, 1), **options)


def test_options_are_no_attributes():
    optimizer = optim.SGD(np.zeros(3), momentum=0.9)
    with pytest.raises(AttributeError, match=r"momentum is an option of the groups: set_options\(momentum=...\)"):
        optimizer.momentum = 0.5
    optimizer.lr = 0.5
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.param_groups[0]["momentum"] == 0.9
