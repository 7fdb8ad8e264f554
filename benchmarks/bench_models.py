"""Whole epochs of training, against torch's and scikit-learn's, and the memory that one takes."""
import subprocess
import sys
import warnings

import numpy as np

import fasttrain
from benchmarks.harness import QUICK, agree
from fasttrain.nn import Network, Trainer

LARGE = (784, 128, 10)
SMALL = (20, 32, 2)
N_LARGE, N_SMALL = (1_000, 1_000) if QUICK else (60_000, 10_000)
LR = 1e-3


def problem(sizes, n_rows):
    """Rows in [0, 1) and the classes that a random linear map gives them."""
    rng = np.random.default_rng(0)
    X = rng.random((n_rows, sizes[0]), dtype=np.float32)
    y = np.argmax((X - 0.5) @ rng.standard_normal((sizes[0], sizes[-1]), dtype=np.float32), axis=1)
    return X, y


def trainer(sizes, batch_size, shuffle=True):
    network = Network(sizes)
    network.initialize(0)
    return Trainer(network, learning_rate=LR, batch_size=batch_size, shuffle=shuffle)


def torch_epoch(sizes, X, y, batch_size):
    """For peers.torch: an epoch, after a few batches of both from the same parameters."""

    def prepare(torch):
        tX, ty = torch.from_numpy(X), torch.from_numpy(y)
        model = torch.nn.Sequential(
            torch.nn.Linear(*sizes[:2]), torch.nn.ReLU(), torch.nn.Linear(*sizes[1:])
        )
        ours = trainer(sizes, batch_size, shuffle=False)
        with torch.no_grad():
            for layer, weight, bias in zip(
                (model[0], model[2]), ours.network.weights, ours.network.biases, strict=True
            ):
                layer.weight.copy_(torch.from_numpy(weight.T.copy()))
                layer.bias.copy_(torch.from_numpy(bias.copy()))
        optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
        loss_of = torch.nn.CrossEntropyLoss()

        def steps(order):
            for start in range(0, len(order), batch_size):
                rows = order[start:start + batch_size]
                optimizer.zero_grad()
                loss_of(model(tX[rows]), ty[rows]).backward()
                optimizer.step()

        n_few = min(5 * batch_size, len(X))
        steps(torch.arange(n_few))
        ours.run_epoch(X[:n_few], y[:n_few])
        for layer, weight in zip((model[0], model[2]), ours.network.weights, strict=True):
            agree(weight, layer.weight.detach().numpy().T, 1e-3, 1e-4)
        return lambda: steps(torch.randperm(len(X)))

    return prepare


def classifier_options(sizes, batch_size):
    return {
        "hidden_layer_sizes": sizes[1:-1], "batch_size": batch_size, "max_iter": 1, "random_state": 0,
        "learning_rate_init": LR,
    }


def fit(classifier, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one epoch does not converge
        return classifier.fit(X, y)


def sklearn_fit(sizes, X, y, batch_size):
    def prepare():
        from sklearn.neural_network import MLPClassifier

        # its first epoch ends at a similar loss: the same objective, from other random numbers
        theirs = fit(MLPClassifier(**classifier_options(sizes, batch_size)), X, y)
        ours = fit(fasttrain.MLPClassifier(**classifier_options(sizes, batch_size)), X, y)
        agree(ours.loss_curve_, theirs.loss_curve_, 0.1)
        return lambda: fit(MLPClassifier(**classifier_options(sizes, batch_size)), X, y)

    return prepare


def epoch_rows(bench, peers, sizes, n_rows, batch_sizes):
    """Tables of the engine against torch's loop, and of the classifiers."""
    name = "-".join(map(str, sizes))
    X, y = problem(sizes, n_rows)
    engine = bench.table(f"an epoch of an MLP {name}, {n_rows:,} rows, Adam, float32: nn.Trainer")
    for batch_size in batch_sizes:
        contestants = peers.torch(torch_epoch(sizes, X, y, batch_size))
        ours = trainer(sizes, batch_size)
        engine.row(f"batch {batch_size}", lambda ours=ours: ours.run_epoch(X, y), contestants)
    classifier = bench.table(f"an epoch of an MLP {name}, {n_rows:,} rows, Adam, float32: MLPClassifier")
    for batch_size in batch_sizes:
        contestants = peers.sklearn(sklearn_fit(sizes, X, y, batch_size))
        options = classifier_options(sizes, batch_size)
        classifier.row(
            f"batch {batch_size}",
            lambda options=options: fit(fasttrain.MLPClassifier(**options), X, y), contestants,
        )
    return name, engine, classifier


def bench_large_mlp(bench, peers):
    name, engine, classifier = epoch_rows(bench, peers, LARGE, N_LARGE, (64, 128, 256))
    bench.target(f"MLP {name} epoch, geometric mean, over torch", engine.ratio("torch"), at_least=2.5)
    bench.target(
        f"MLP {name} epoch, geometric mean, over scikit-learn", classifier.ratio("scikit-learn"), at_least=3.0
    )


def bench_small_mlp(bench, peers):
    name, engine, classifier = epoch_rows(bench, peers, SMALL, N_SMALL, (32,))
    bench.target(f"MLP {name} epoch, batch 32, over torch", engine.ratio("torch"), at_least=15.0)
    bench.target(
        f"MLP {name} epoch, batch 32, over scikit-learn", classifier.ratio("scikit-learn"), at_least=15.0
    )


# Peak resident memory over what the process had before the data, after a warm-up on a few rows.
MEMORY_CODE = """
import resource
import sys
import warnings
import numpy as np
import fasttrain
from fasttrain.nn import Network, Trainer

what, n_rows, n_in, n_hidden, n_out = sys.argv[1], *map(int, sys.argv[2:])
warnings.simplefilter("ignore")


def status(name):
    try:
        with open("/proc/self/status") as file:
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith(name))
    except OSError:  # not Linux: no current figure, and the peak in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def epoch(X, y):
    if what == "Trainer":
        network = Network((n_in, n_hidden, n_out))
        network.initialize(0)
        Trainer(network, batch_size=128).run_epoch(X, y)
    else:
        fasttrain.MLPClassifier((n_hidden,), batch_size=128, max_iter=1, random_state=0).fit(X, y)


def data(n_rows):
    X = np.empty((n_rows, n_in), np.float32)
    X.fill(0.5)
    X[:, 0] = np.arange(n_rows) % n_out
    return X, np.arange(n_rows) % n_out


epoch(*data(512))
before = status("VmRSS")
X, y = data(n_rows)
epoch(X, y)
model = 4 * ((n_in + 1) * n_hidden + (n_hidden + 1) * n_out)
print((status("VmHWM") - before) / (X.nbytes + y.nbytes + model))
"""


def bench_memory(bench):
    for what in ("Trainer", "MLPClassifier"):
        arguments = map(str, [what, 5_000 if QUICK else 60_000, *LARGE])
        command = [sys.executable, "-c", MEMORY_CODE, *arguments]
        child = subprocess.run(command, capture_output=True, text=True, check=True)
        bench.target(
            f"peak memory of an MLP epoch ({what}), over data and model", float(child.stdout), at_most=1.1
        )
