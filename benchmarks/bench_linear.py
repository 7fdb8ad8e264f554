"""Linear models: loss and gradient in one pass over X, against the two passes that NumPy needs."""
import numpy as np

from benchmarks.harness import QUICK, agree
from benchmarks.numpy_worker import linear_two_pass
from fasttrain import kernels, reference

COVERS = {"linear_value_and_grad"}

N_ROWS, N_FEATURES = (20_000, 100) if QUICK else (1_000_000, 100)


def problem(n_outputs=None):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_ROWS, N_FEATURES), dtype=np.float32)
    theta = rng.standard_normal((N_FEATURES,) if n_outputs is None else (N_FEATURES, n_outputs))
    return X, 0.1 * theta.astype(np.float32), rng


def close(actual, expected):
    """A value and a gradient, whose entries are sums over all rows."""
    agree(actual[0], expected[0], 1e-4)
    agree(actual[1], expected[1], 1e-3, 1e-4 * float(np.abs(expected[1]).max()))


def bench_least_squares(bench, peers):
    X, theta, rng = problem()
    y = rng.standard_normal(N_ROWS, dtype=np.float32)
    grad = np.empty_like(theta)

    def ours():
        return kernels.linear_value_and_grad(X, y, theta, grad=grad)

    def torch_call(torch):
        tX, ty, ttheta = (torch.from_numpy(array) for array in (X, y, theta))

        def call():
            residual = tX @ ttheta - ty
            return 0.5 * (residual @ residual), tX.T @ residual

        return call

    close(ours(), linear_two_pass(X, y, theta))
    table = bench.table(f"linear_value_and_grad, float32, {N_ROWS:,} x {N_FEATURES}")
    contestants = peers.numpy_blas("linear_two_pass", X, y, theta) + peers.torch(torch_call)
    row = table.row("half_squared_error", ours, contestants, ceiling=("read", X.nbytes))
    name = f"linear_value_and_grad f32, {N_ROWS:,} x {N_FEATURES}"
    bench.target(
        f"{name}, over NumPy's two passes", row.ratio("NumPy"), at_least=2.2, limit=lambda: table.limit("NumPy")
    )
    bench.target(f"{name}, read bandwidth", row.share, at_least=0.85, form="{:.0%}")


def bench_logistic_and_softmax(bench, peers):
    table = bench.table(f"linear_value_and_grad, float32, {N_ROWS:,} x {N_FEATURES}, other losses")
    for loss, n_outputs in (("binary_cross_entropy", None), ("cross_entropy", 10)):
        X, theta, rng = problem(n_outputs)
        grad = np.empty_like(theta)
        labels = rng.integers(0, n_outputs or 2, N_ROWS)
        y = labels if n_outputs else labels.astype(np.float32)

        def ours(X=X, y=y, theta=theta, loss=loss, grad=grad):
            return kernels.linear_value_and_grad(X, y, theta, loss=loss, grad=grad)

        def reference_call(X=X, y=y, theta=theta, loss=loss):
            return reference.linear_value_and_grad(X, y, theta, loss=loss)

        close(ours(), reference_call())
        table.row(loss, ours, peers.reference(reference_call), ceiling=("read", X.nbytes))
