"""L-BFGS: LogisticRegression against scikit-learn's, and the minimiser against scipy's on the same functions."""
import gzip
import warnings
from pathlib import Path

import numpy as np

import fasttrain
from benchmarks.harness import QUICK, agree
from fasttrain.kernels import linear_value_and_grad
from fasttrain.optim import minimize_lbfgs

FASHION = Path(__file__).parents[2] / "shared" / "data" / "fashion-mnist"
N_CLASSES = 10
N_ROWS, N_ITER = (1_000, 10) if QUICK else (60_000, 100)
# Small enough for both to run through all iterations.
TOL = 1e-8


def images():
    """Fashion-MNIST's training images (n_rows, 784) in [0, 1] and classes, or random ones where it is not at hand."""
    if not FASHION.is_dir():
        rng = np.random.default_rng(0)
        X = rng.random((N_ROWS, 784), dtype=np.float32)
        return X, np.argmax(X @ rng.standard_normal((784, N_CLASSES), dtype=np.float32), axis=1)
    with gzip.open(FASHION / "train-images-idx3-ubyte.gz") as file:
        X = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)[:N_ROWS]
    with gzip.open(FASHION / "train-labels-idx1-ubyte.gz") as file:
        y = np.frombuffer(file.read(), np.uint8, offset=8)[:N_ROWS]
    return X.astype(np.float32) / 255, y.astype(np.int64)


def fit(classifier, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no fit here converges
        return classifier.fit(X, y)


def objective(classifier, X, y):
    """The mean loss and the penalty of C=1, in float64."""
    theta = np.vstack([classifier.coef_.T, classifier.intercept_]).astype(np.float64)
    value, _ = linear_value_and_grad(
        X.astype(np.float64), y, theta, loss="cross_entropy", reduction="mean", intercept=True, l2=1 / len(X)
    )
    return value


def bench_logistic_regression(bench, peers):
    X, y = images()
    options = {"max_iter": N_ITER, "tol": TOL}
    ours = fit(fasttrain.LogisticRegression(**options), X, y)
    assert ours.n_iter_ == N_ITER

    def prepare():
        from sklearn.linear_model import LogisticRegression

        theirs = fit(LogisticRegression(**options), X, y)
        assert theirs.n_iter_[0] == N_ITER
        # runs that differ in their rounding go apart: now one, now the other is nearer to the minimum, by up to 5 %
        # after 10 iterations and 1 % after 100
        agree(objective(ours, X, y), objective(theirs, X, y), 0.05 if QUICK else 0.01)
        return lambda: fit(LogisticRegression(**options), X, y)

    table = bench.table(f"LogisticRegression, {N_ROWS:,} x 784, {N_CLASSES} classes, float32, {N_ITER} iterations")
    # rows seen, and for each score and gradient a multiply-add for each feature and class
    operations = 4.0 * ours.t_ * 784 * N_CLASSES
    row = table.row(
        "lbfgs", lambda: fit(fasttrain.LogisticRegression(**options), X, y), peers.sklearn(prepare),
        ceiling=("fma_f32", operations),
    )
    bench.target("LogisticRegression (lbfgs), over scikit-learn", row.ratio("scikit-learn"), at_least=3.0)


def rosenbrock(x):
    grad = np.zeros_like(x)
    inner = x[1:] - x[:-1] ** 2
    grad[1:] += 200 * inner
    grad[:-1] += -400 * x[:-1] * inner - 2 * (1 - x[:-1])
    return float(np.sum(100 * inner**2 + (1 - x[:-1]) ** 2)), grad


def bench_minimize(bench, peers):
    X, y = images()
    X, y = X[:6_000].astype(np.float64), y[:6_000]

    def softmax(theta):
        return linear_value_and_grad(
            X, y, theta.reshape(785, N_CLASSES), loss="cross_entropy", reduction="mean", intercept=True, l2=1e-3
        )

    table = bench.table(f"minimize_lbfgs, float64, {N_ITER} iterations")
    for name, function, x0 in (
        (f"softmax regression, {len(X):,} x 784, {N_CLASSES} classes", softmax, np.zeros((785, N_CLASSES))),
        ("Rosenbrock's function of 10,000", rosenbrock, np.resize([-1.2, 1.0], 10_000)),
    ):

        def ours(function=function, x0=x0):
            return minimize_lbfgs(function, x0, max_iter=N_ITER, gtol=0, ftol=0)

        def scipy_call(function=function, x0=x0):
            from scipy.optimize import minimize

            def flat(x):
                value, grad = function(x)
                return value, grad.ravel()

            options = {"maxcor": 10, "maxiter": N_ITER, "gtol": 0, "ftol": 0}
            return minimize(flat, x0.ravel(), jac=True, method="L-BFGS-B", options=options)

        contestants = peers.scipy("scipy", scipy_call)
        if contestants:
            agree(ours().value, scipy_call().fun, 0.05 if QUICK else 0.01)
        table.row(name, ours, contestants)
