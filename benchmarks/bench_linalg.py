"""Matrix products and dense layers, against NumPy's and torch's."""
import statistics

import numpy as np

from benchmarks.harness import QUICK, agree
from fasttrain import kernels, reference

COVERS = {"matmul", "dense_forward", "dense_backward"}

SHAPES = [
    (32, 64, 64), (200, 100, 100), (64, 784, 128), (128, 784, 256), (256, 784, 256),
    (512, 512, 512), (1024, 1024, 1024),
]
if QUICK:
    SHAPES = SHAPES[:4]
LARGE = 256 if QUICK else 2048
N_RANDOM, N_AGAIN = (3, 1) if QUICK else (100, 12)
# Rounding of a product of k terms of size about 1, in float32 and float64.
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}
CEILING = {np.float32: "fma_f32", np.float64: "fma_f64"}


def product_row(table, peers, shape, dtype, *, with_torch=True, seconds=None):
    """One row of c (m, n) = a (m, k) b (k, n)."""
    m, k, n = shape
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    ours, theirs = np.empty((m, n), dtype), np.empty((m, n), dtype)
    agree(kernels.matmul(a, b, ours), np.matmul(a, b, out=theirs), 0, TOLERANCE[dtype] * k)

    def torch_call(torch):
        ta, tb, tc = torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(np.empty_like(theirs))
        agree(torch.mm(ta, tb, out=tc).numpy(), ours, 0, TOLERANCE[dtype] * k)
        return lambda: torch.mm(ta, tb, out=tc)

    contestants = peers.numpy_blas("matmul", a, b, theirs)
    if with_torch:
        contestants += peers.torch(torch_call)
    return table.row(
        " x ".join(map(str, shape)), lambda: kernels.matmul(a, b, ours), contestants,
        ceiling=(CEILING[dtype], 2.0 * m * k * n), seconds=seconds,
    )


def bench_matmul_f32(bench, peers):
    table = bench.table("matmul, float32, m x k x n")
    rows = [product_row(table, peers, shape, np.float32) for shape in SHAPES]
    of_level = {"v4": 1.9, "v3": 1.0}
    bench.target(
        "matmul f32, geometric mean of the shapes, over NumPy",
        lambda: table.ratio("NumPy"), at_least=of_level.get(bench.level), limit=lambda: table.limit("NumPy"),
    )
    bench.target(
        "matmul f32, FMA peak, least of the 784 shapes",
        lambda: min(row.share() for row in rows if "784" in row.work), at_least=0.85, form="{:.0%}",
    )


def bench_matmul_f32_large(bench, peers):
    table = bench.table("matmul, float32, large")
    row = product_row(table, peers, (LARGE, LARGE, LARGE), np.float32)
    at_least = 1.4 if bench.level == "v4" else None
    bench.target(
        f"matmul f32 {row.work}, over NumPy", row.ratio("NumPy"), at_least=at_least,
        limit=lambda: table.limit("NumPy"),
    )


def bench_matmul_f64(bench, peers):
    table = bench.table("matmul, float64, m x k x n")
    for shape in SHAPES:
        product_row(table, peers, shape, np.float64)
    bench.target(
        "matmul f64, geometric mean of the shapes, over NumPy",
        lambda: table.ratio("NumPy"), at_least=1.6 if bench.level == "v4" else None,
        limit=lambda: table.limit("NumPy"),
    )


def bench_matmul_random_shapes(bench, peers):
    """Shapes that nobody tuned for; only the summary is shown, and the slowest."""
    table = bench.table("matmul, float32, random shapes: the five with the least ratio")
    rng = np.random.default_rng(1)
    for shape in rng.integers(1, 1025, (N_RANDOM, 3)).tolist():
        product_row(table, peers, shape, np.float32, with_torch=False, seconds=1.0)
    median = table.ratio("NumPy", statistics.median)
    limit = table.limit("NumPy", statistics.median)
    # the least of a hundred short measurements tells of the machine: the slowest are taken again for longer
    slowest = sorted(table.rows, key=lambda row: row.ratio("NumPy"))[:N_AGAIN]
    for row in slowest:
        table.rows.remove(row)
        shape = [int(side) for side in row.work.split(" x ")]
        product_row(table, peers, shape, np.float32, with_torch=False)
    name = f"matmul f32, {N_RANDOM} random shapes, over NumPy"
    is_v4 = bench.level == "v4"
    bench.target(
        f"{name}: least, the {N_AGAIN} slowest timed anew", table.ratio("NumPy", min), at_least=0.9 if is_v4 else None
    )
    bench.target(f"{name}: median", median, at_least=1.5 if is_v4 else None, limit=lambda: limit)
    table.rows = sorted(table.rows, key=lambda row: row.ratio("NumPy"))[:5]


def bench_matmul_transposed(bench, peers):
    """The two products of a backward pass, which do as many operations as the forward product."""
    rows, n_in, n_out = 64, 784, 128
    rng = np.random.default_rng(2)
    x, weight = rng.normal(size=(rows, n_in)).astype("f"), rng.normal(size=(n_in, n_out)).astype("f")
    grad = rng.normal(size=(rows, n_out)).astype("f")
    y, grad_weight, grad_x = np.empty_like(grad), np.empty_like(weight), np.empty_like(x)
    amount = 2.0 * rows * n_in * n_out
    table = bench.table(f"matmul, float32, transposed operands of {rows} x {n_in} x {n_out}")

    def plain():
        return kernels.matmul(x, weight, y)

    def by_rows():
        return kernels.matmul(x, grad, grad_weight, transpose_a=True)

    def by_columns():
        return kernels.matmul(grad, weight, grad_x, transpose_b=True)

    agree(by_rows(), x.T @ grad, 0, 1e-3)
    agree(by_columns(), grad @ weight.T, 0, 1e-3)
    for work, call, arrays in (
        ("dW = X^T dY", by_rows, (x.T, grad, np.empty_like(weight))),
        ("dX = dY W^T", by_columns, (grad, weight.T, np.empty_like(x))),
    ):
        plain_product = peers.alone("plain product", plain)
        row = table.row(
            work, call, plain_product + peers.numpy_blas("matmul", *arrays), ceiling=("fma_f32", amount)
        )
        slower = 1.0 / row.ratio("plain product")
        bench.target(f"matmul f32, {work}, time over the plain product's", slower, at_most=1.15)


def bench_dense(bench, peers):
    """A layer forward and backward, with the activation in the product's end."""
    table = bench.table("dense layer, float32, relu")
    rng = np.random.default_rng(3)
    for rows, n_in, n_out in SHAPES[2:4]:
        x, weight = rng.normal(size=(rows, n_in)).astype("f"), rng.normal(size=(n_in, n_out)).astype("f")
        bias, grad = rng.normal(size=n_out).astype("f"), rng.normal(size=(rows, n_out)).astype("f")
        y = np.empty_like(grad)
        out = {
            "grad_x": np.empty_like(x), "grad_weight": np.empty_like(weight), "grad_bias": np.empty_like(bias)
        }

        def forward(x=x, weight=weight, bias=bias, y=y):
            return kernels.dense_forward(x, weight, bias, y, activation="relu")

        def reference_forward(x=x, weight=weight, bias=bias):
            return reference.dense_forward(x, weight, bias, activation="relu")

        def backward(x=x, weight=weight, grad=grad, y=y, out=out):
            return kernels.dense_backward(grad, x, weight, y, activation="relu", **out)

        def reference_backward(x=x, weight=weight, grad=grad, y=y):
            return reference.dense_backward(grad, x, weight, y, activation="relu")

        def torch_forward(torch, x=x, weight=weight, bias=bias):
            tensors = [torch.from_numpy(array) for array in (bias, x, weight)]
            return lambda: torch.addmm(*tensors).relu_()

        def torch_backward(torch, x=x, weight=weight, grad=grad, y=y):
            tx, tw, tg, ty = (torch.from_numpy(array) for array in (x, weight, grad, y))

            def gradients():
                delta = torch.where(ty > 0, tg, 0)
                return delta @ tw.T, tx.T @ delta, delta.sum(0)

            return gradients

        agree(forward(), reference_forward(), 1e-4, 1e-3)
        agree(backward(), reference_backward(), 1e-3, 1e-2)
        shape, amount = f"{rows} x {n_in} x {n_out}", 2.0 * rows * n_in * n_out
        for work, call, reference_call, torch_call, n_products in (
            ("forward", forward, reference_forward, torch_forward, 1),
            ("backward", backward, reference_backward, torch_backward, 2),
        ):
            table.row(
                f"{work} {shape}", call, peers.reference(reference_call) + peers.torch(torch_call),
                ceiling=("fma_f32", n_products * amount),
            )
