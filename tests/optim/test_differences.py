"""docs/optimizers.md says what other libraries mean by a rule's name: each formula of theirs against ours.

A row of its table whose right side is an option is the other formula, written out; one whose right side says "as
torch" is shown to be another.
"""
import re
from pathlib import Path

import numpy as np
import pytest

from fasttrain import optim

PAGE = Path(__file__).parents[2] / "docs" / "optimizers.md"
N_STEPS = 6
LR, B1, B2, EPS = 0.1, 0.9, 0.99, 1e-2


def gradient(step):
    return np.random.default_rng(step).standard_normal(9)


def ours(rule, **options):
    param = np.linspace(-1, 1, 9)
    optimizer = getattr(optim, rule)(param, lr=LR, **options)
    for step in range(1, N_STEPS + 1):
        optimizer.step(gradient(step))
    return param


def walk(rule, n_states):
    """The parameters after N_STEPS of rule(param, grad, step, *states) -> param, which changes the states in place."""
    param, states = np.linspace(-1, 1, 9), [np.zeros(9) for _ in range(n_states)]
    for step in range(1, N_STEPS + 1):
        param = rule(param, gradient(step), step, *states)
    return param


def moments(g, m, v):
    m += (1 - B1) * (g - m)
    v += (1 - B2) * (g * g - v)


def keras_sgd(p, g, t, b):
    b *= 0.9
    b -= LR * g
    return p + b


def keras_adam(p, g, t, m, v):
    moments(g, m, v)
    return p - LR * np.sqrt(1 - B2**t) / (1 - B1**t) * m / (np.sqrt(v) + EPS)


def textbook_adam(p, g, t, m, v):
    moments(g, m, v)
    return p - LR * m / (np.sqrt(v) + EPS)


def decayed_adam(decay):
    def rule(p, g, t, m, v):
        moments(g, m, v)
        return p * (1 - decay) - LR * m / (1 - B1**t) / (np.sqrt(v / (1 - B2**t)) + EPS)

    return rule


def optax_amsgrad(p, g, t, m, v, top):
    moments(g, m, v)
    np.maximum(top, v / (1 - B2**t), out=top)
    return p - LR * m / (1 - B1**t) / (np.sqrt(top) + EPS)


def keras_nadam(p, g, t, m, v):
    moments(g, m, v)
    mu = B1 * (1 - 0.5 * 0.96 ** np.arange(1.0, t + 2))
    ahead = mu[t] * m / (1 - mu.prod()) + (1 - mu[t - 1]) * g / (1 - mu[:-1].prod())
    return p - LR * ahead / (np.sqrt(v / (1 - B2**t)) + EPS)


def keras_adamax(p, g, t, m, u):
    m += (1 - B1) * (g - m)
    u[:] = np.maximum(B2 * u, abs(g))
    return p - LR * m / ((1 - B1**t) * (u + EPS))


def keras_adagrad(p, g, t, total):
    total += g * g
    return p - LR * g / np.sqrt(total + EPS)


def keras_rmsprop(p, g, t, v, b):
    v += (1 - B2) * (g * g - v)
    b *= 0.9
    b += LR * g / np.sqrt(v + EPS)
    return p - b


BETAS = {"betas": (B1, B2), "eps": EPS}


@pytest.mark.parametrize(
    ("rule", "options", "theirs", "n_states"),
    [
        ("SGD", {"momentum": 0.9}, keras_sgd, 1),
        ("Adam", {**BETAS, "eps_mode": "uncorrected"}, keras_adam, 2),
        ("Adam", {**BETAS, "bias_correction": False}, textbook_adam, 2),
        ("Adam", {**BETAS, "weight_decay": 0.2, "decoupled_weight_decay": True}, decayed_adam(LR * 0.2), 2),
        ("AdamW", {**BETAS, "weight_decay": 0.2}, decayed_adam(LR * 0.2), 2),
        ("AdamW", {**BETAS, "weight_decay": 0.02, "initial_lr": 2 * LR}, decayed_adam(0.01), 2),
        ("NAdam", {**BETAS, "momentum_decay": 1}, keras_nadam, 2),
        ("RMSprop", {"alpha": B2, "eps": EPS, "momentum": 0.9, "eps_mode": "inside"}, keras_rmsprop, 2),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_options_are_the_other_formula(rule, options, theirs, n_states):
    np.testing.assert_allclose(ours(rule, **options), walk(theirs, n_states), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("rule", "options", "theirs", "n_states"),
    [
        ("Adam", {**BETAS, "weight_decay": 0.2}, decayed_adam(LR * 0.2), 2),
        ("Adam", {**BETAS, "amsgrad": True}, optax_amsgrad, 3),
        ("Adamax", BETAS, keras_adamax, 2),
        ("Adagrad", {"eps": EPS}, keras_adagrad, 1),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_formulas_without_an_option_differ(rule, options, theirs, n_states):
    assert abs(ours(rule, **options) - walk(theirs, n_states)).max() > 1e-5


@pytest.mark.skipif(not PAGE.exists(), reason="docs/ is not beside tests/")
def test_the_page_names_every_rule_and_no_other():
    rows = re.findall(r"^\| ((?:`[A-Z]\w+`(?:, )?)+) \|", PAGE.read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"\w+", row)}
    rules = {
        name for name in optim.__all__
        if isinstance(getattr(optim, name), type) and issubclass(getattr(optim, name), optim.Optimizer)
    }
    assert named == rules - {"Optimizer"}
