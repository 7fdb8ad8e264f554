"""What a fit checks before it trains: one pass over the features."""
import numpy as np

from benchmarks.harness import QUICK
from fasttrain import kernels, reference

COVERS = {"all_finite"}

N_ROWS = 1_000 if QUICK else 60_000


def bench_all_finite(bench, peers):
    table = bench.table("all_finite, float32")
    for shape in ((N_ROWS, 784), (20, 3)):
        x = np.random.default_rng(0).random(shape, dtype=np.float32)

        def ours(x=x):
            return kernels.all_finite(x)

        def reference_call(x=x):
            return reference.all_finite(x)

        def torch_call(torch, x=x):
            tx = torch.from_numpy(x)
            return lambda: bool(torch.isfinite(tx).all())

        assert ours() is reference_call() is True
        contestants = peers.reference(reference_call) + peers.torch(torch_call)
        table.row(
            " x ".join(map(str, shape)), ours, contestants, ceiling=("read", x.nbytes) if len(x) == N_ROWS else None
        )
