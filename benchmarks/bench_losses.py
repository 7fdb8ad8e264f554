"""Losses with their gradients, in one pass, against NumPy's several and torch's autograd."""
import numpy as np

from benchmarks.harness import QUICK, agree
from fasttrain import kernels, reference

COVERS = {
    "bce_value_and_grad", "cross_entropy_value_and_grad", "half_squared_error_value_and_grad",
    "mse_value_and_grad", "softmax",
}

N_ROWS = 2_000 if QUICK else 100_000
N_CLASSES = 10


def torch_loss(name, prediction, target):
    """For peers.torch: forward and backward of a loss of torch.nn.functional."""

    def prepare(torch):
        function = getattr(torch.nn.functional, name)
        tp, tt = torch.from_numpy(prediction.copy()).requires_grad_(), torch.from_numpy(target)

        def call():
            tp.grad = None
            loss = function(tp, tt)
            loss.backward()
            return loss.item(), tp.grad

        return call

    return prepare


def bench_losses(bench, peers):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((N_ROWS, N_CLASSES), dtype=np.float32)
    real = rng.standard_normal((N_ROWS, N_CLASSES), dtype=np.float32)
    share = rng.random((N_ROWS, N_CLASSES), dtype=np.float32)
    bits = (share < 0.5).astype(np.float32)
    labels = rng.integers(0, N_CLASSES, N_ROWS)
    table = bench.table(f"losses with gradients, float32, {N_ROWS:,} x {N_CLASSES}")
    for name, prediction, target, options, torch_name in (
        ("mse_value_and_grad", z, real, {}, "mse_loss"),
        ("half_squared_error_value_and_grad", z, real, {}, None),
        ("bce_value_and_grad", z, bits, {"from_logits": True}, "binary_cross_entropy_with_logits"),
        ("bce_value_and_grad", share, bits, {"from_logits": False}, "binary_cross_entropy"),
        ("cross_entropy_value_and_grad", z, labels, {}, "cross_entropy"),
    ):
        grad = np.empty_like(prediction)

        def ours(name=name, prediction=prediction, target=target, options=options, grad=grad):
            return getattr(kernels, name)(prediction, target, grad, **options)

        def reference_call(name=name, prediction=prediction, target=target, options=options, grad=grad):
            return getattr(reference, name)(prediction, target, **options)

        # at most 1e-9 of a probability near 0 or 1 is lost in float32 before 1 / (p (1 - p)) magnifies it
        agree(ours(), reference_call(), 1e-4, 1e-9)
        contestants = peers.reference(reference_call)
        if torch_name is not None:
            contestants += peers.torch(torch_loss(torch_name, prediction, target))
        table.row(" ".join([name, *(f"{k}={v}" for k, v in options.items())]), ours, contestants)


def bench_softmax(bench, peers):
    table = bench.table(f"softmax, float32, {N_ROWS:,} rows")
    for n_classes in (10, 1000 if not QUICK else 100):
        shape = (10 * N_ROWS // n_classes, n_classes)
        x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        out = np.empty_like(x)

        def ours(x=x, out=out):
            return kernels.softmax(x, out)

        def reference_call(x=x):
            return reference.softmax(x)

        def torch_softmax(torch, x=x):
            tx = torch.from_numpy(x)
            return lambda: torch.softmax(tx, dim=1)

        agree(ours(), reference_call(), 1e-5, 1e-8)
        contestants = peers.reference(reference_call) + peers.torch(torch_softmax)
        table.row(" x ".join(map(str, x.shape)), ours, contestants)
