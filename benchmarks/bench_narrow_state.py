"""What state of 16 and 8 bits costs in training: losses at the end, on real data, beside those with float32 state."""
import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import QUICK
from fasttrain import kernels, optim

COVERS = set()

DATA = Path(__file__).parents[2] / "shared" / "data"
STATE_DTYPES = ("float32", "bfloat16", "8bit")
N_EPOCHS, SEEDS = (1, (0,)) if QUICK else (5, (0, 1))


def fashion_mnist():
    """Images (60000, 784) in [0, 1], labels."""
    with gzip.open(DATA / "fashion-mnist" / "train-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)
    with gzip.open(DATA / "fashion-mnist" / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images.astype(np.float32) / 255, labels.astype(np.int64)


def a9a():
    """Rows (32561, 124) with a column of ones, targets 0 and 1."""
    lines = (DATA / "tabular-a9a" / "a9a").read_text().splitlines()
    X, y = np.zeros((len(lines), 124), np.float32), np.empty(len(lines), np.float32)
    X[:, -1] = 1.0
    for i, line in enumerate(lines):
        label, *entries = line.split()
        y[i] = label == "+1"
        X[i, [int(entry.partition(":")[0]) - 1 for entry in entries]] = 1.0
    return X, y


class Network:
    """784 - 128 relu - 10, cross-entropy."""

    def __init__(self, seed):
        random = np.random.default_rng(seed)
        self.params = [
            (random.standard_normal((784, 128)) * np.sqrt(2 / 784)).astype(np.float32), np.zeros(128, np.float32),
            (random.standard_normal((128, 10)) * np.sqrt(1 / 128)).astype(np.float32), np.zeros(10, np.float32),
        ]

    def value_and_grad(self, X, y):
        weight1, bias1, weight2, bias2 = self.params
        hidden = kernels.dense_forward(X, weight1, bias1, activation="relu")
        loss, slope = kernels.cross_entropy_value_and_grad(kernels.dense_forward(hidden, weight2, bias2), y)
        grad_hidden, grad_weight2, grad_bias2 = kernels.dense_backward(slope, hidden, weight2)
        _, grad_weight1, grad_bias1 = kernels.dense_backward(
            grad_hidden, X, weight1, hidden, activation="relu", need_grad_x=False
        )
        return loss, [grad_weight1, grad_bias1, grad_weight2, grad_bias2]


class Logistic:
    """A linear logit, binary cross-entropy."""

    def __init__(self, seed):
        self.params = [np.zeros(124, np.float32)]

    def value_and_grad(self, X, y):
        loss, slope = kernels.bce_value_and_grad(X @ self.params[0], y)
        return loss, [X.T @ slope]


def final_loss(model, X, y, optimizer, seed):
    """The loss of all rows after batches of 128 at a rate that falls to 0.

    At a constant rate it differs by percents between two seeds, and so between two roundings.
    """
    random = np.random.default_rng(seed)
    lr, n_batches = optimizer.lr, len(X) // 128
    for epoch in range(N_EPOCHS):
        for i, rows in enumerate(np.array_split(random.permutation(len(X)), n_batches)):
            optimizer.lr = lr * (1 - (epoch * n_batches + i) / (N_EPOCHS * n_batches))
            optimizer.step(model.value_and_grad(X[rows], y[rows])[1])
    if isinstance(optimizer, optim.ScheduleFreeAdamW):
        optimizer.eval()
    return model.value_and_grad(X, y)[0]


CASES = {
    "fashion-mnist": (fashion_mnist, Network, {
        "SGD": (optim.SGD, {"lr": 0.05, "momentum": 0.9}), "AdamW": (optim.AdamW, {"lr": 1e-3}),
    }),
    "tabular-a9a": (a9a, Logistic, {
        "SGD": (optim.SGD, {"lr": 0.05, "momentum": 0.9}), "AdamW": (optim.AdamW, {"lr": 1e-2}),
        "AMSGrad": (optim.Adam, {"lr": 1e-2, "amsgrad": True}), "NAdam": (optim.NAdam, {"lr": 1e-2}),
        "RAdam": (optim.RAdam, {"lr": 1e-2}), "Adamax": (optim.Adamax, {"lr": 1e-2}),
        "Adagrad": (optim.Adagrad, {"lr": 0.1}), "RMSprop": (optim.RMSprop, {"lr": 1e-3}),
        "Adadelta": (optim.Adadelta, {}), "Lion": (optim.Lion, {"lr": 1e-3}),
        "ScheduleFreeAdamW": (optim.ScheduleFreeAdamW, {"lr": 1e-2}),
    }),
}


@pytest.mark.parametrize("data", CASES)
def bench_training_with_narrow_state(data, capsys):
    if not (DATA / data).is_dir():
        pytest.skip(f"needs the files of {DATA / data}")
    load, model_of, rules = CASES[data]
    X, y = load()
    for name, (rule, options) in rules.items():
        losses = {}
        for state_dtype in STATE_DTYPES:
            ends = []
            for seed in SEEDS:
                model = model_of(seed)
                optimizer = rule(model.params, state_dtype=state_dtype, **options)
                ends.append(final_loss(model, X, y, optimizer, seed))
            losses[state_dtype] = float(np.mean(ends))
        change = {kind: losses[kind] / losses["float32"] - 1 for kind in STATE_DTYPES[1:]}
        with capsys.disabled():
            print(
                f"\n{data}, {name}, {N_EPOCHS} epochs: loss {losses['float32']:.5f} with float32 state, "
                + ", ".join(f"{value:+.2%} with {kind}" for kind, value in change.items()), end="", flush=True,
            )
        if not QUICK:
            assert max(change.values()) <= 0.01, (data, name, losses)
