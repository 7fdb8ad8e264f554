"""Elementary functions and activations of whole arrays."""
import numpy as np

from benchmarks.harness import QUICK, agree
from fasttrain import kernels, reference

COVERS = {
    "activation_backward", "activation_forward", "erf", "erfc", "exp", "expm1", "log", "log1p", "sigmoid",
    "tanh",
}
FUNCTIONS = sorted(COVERS - {"activation_backward", "activation_forward"})
ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "softplus", "elu")

N = 2_000 if QUICK else 100_000
SHAPE = (20, 100) if QUICK else (256, 512)
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


def bench_functions(bench, peers):
    for dtype in (np.float32, np.float64):
        table = bench.table(f"elementary functions, {np.dtype(dtype).name}, {N:,} elements")
        for name in FUNCTIONS:
            x = np.random.default_rng(0).normal(size=N).astype(dtype)
            if name.startswith("log"):
                x = np.abs(x)
            out = np.empty_like(x)

            def ours(name=name, x=x, out=out):
                return getattr(kernels, name)(x, out)

            def reference_call(name=name, x=x, out=out):
                return getattr(reference, name)(x)

            def torch_call(torch, name=name, x=x):
                function, tx = getattr(torch, name), torch.from_numpy(x)
                return lambda: function(tx)

            agree(ours(), reference_call(), TOLERANCE[dtype], TOLERANCE[dtype])
            # NumPy has no error function; its reference is a Python loop
            contestants = [] if name in ("erf", "erfc") else peers.reference(reference_call)
            table.row(name, ours, contestants + peers.torch(torch_call), seconds=2.0)


def bench_activations(bench, peers):
    rng = np.random.default_rng(0)
    z, grad = rng.normal(size=SHAPE).astype("f"), rng.normal(size=SHAPE).astype("f")
    y, delta = np.empty_like(z), np.empty_like(z)
    for direction in ("forward", "backward"):
        table = bench.table(f"activation_{direction}, float32, {SHAPE[0]} x {SHAPE[1]}")
        for activation in ACTIVATIONS:
            # two derivatives need z, the others are functions of y
            needs_z = activation in ("gelu", "silu")
            saved = z if needs_z else kernels.activation_forward(z, activation=activation)

            def ours(direction=direction, activation=activation, saved=saved):
                if direction == "forward":
                    return kernels.activation_forward(z, y, activation=activation)
                return kernels.activation_backward(grad, saved, delta, activation=activation)

            def reference_call(direction=direction, activation=activation, saved=saved):
                if direction == "forward":
                    return reference.activation_forward(z, activation=activation)
                return reference.activation_backward(grad, saved, activation=activation)

            def torch_call(torch, direction=direction, activation=activation):
                function = getattr(torch.nn.functional, activation)
                tz = torch.from_numpy(z).requires_grad_(direction == "backward")
                if direction == "forward":
                    return lambda: function(tz)
                ty, tg = function(tz), torch.from_numpy(grad)
                return lambda: torch.autograd.grad(ty, tz, tg, retain_graph=True)

            agree(ours(), reference_call(), 1e-4, 1e-5)
            contestants = peers.reference(reference_call) + peers.torch(torch_call)
            table.row(activation, ours, contestants, seconds=2.0)
