"""Steps of LAMB, Adafactor and Muon: class against torch's class, kernel against the reference."""
import numpy as np

from benchmarks.harness import QUICK, agree
from fasttrain import kernels, optim, reference

COVERS = {"adafactor_update", "lamb_update", "muon_update"}

SHAPES = [(256, 256)] if QUICK else [(64, 64), (784, 256), (1024, 1024), (4096, 4096)]
MUON_SHAPES = [(256, 256)] if QUICK else [(64, 64), (784, 256), (1024, 1024)]
IN_CACHE = 4_000_000  # parameters; below, memory is no bound
LR = 1e-3


def parameter_and_gradient(shape):
    rng = np.random.default_rng(0)
    return rng.standard_normal(shape, dtype=np.float32), rng.standard_normal(shape, dtype=np.float32)


def torch_step(param, grad, make_torch, ours, atol):
    """For peers.torch: a step of torch's optimizer, after it took the first one and came to `ours`."""

    def prepare(torch):
        tensor = torch.nn.Parameter(torch.from_numpy(param.copy()))
        tensor.grad = torch.from_numpy(grad)
        optimizer = make_torch(torch, [tensor])
        optimizer.step()
        agree(ours, tensor.detach().numpy(), 1e-5, atol)
        return optimizer.step

    return prepare


def class_rows(bench, peers, title, shapes, make_ours, make_torch, atol=1e-7, n_arrays=None):
    """A row for each shape; n_arrays are those of param's size that a step reads and writes once."""
    table = bench.table(title)
    for shape in shapes:
        param, grad = parameter_and_gradient(shape)
        start = param.copy()
        step = make_ours(param).step
        step(grad)
        contestants = []
        if make_torch is not None:
            contestants = peers.torch(torch_step(start, grad, make_torch, param.copy(), atol))
        ceiling = ("add", 4.0 * param.size * n_arrays) if n_arrays and param.size >= IN_CACHE else None
        name = " x ".join(f"{n:,}" for n in shape)
        table.row(name, lambda step=step, grad=grad: step(grad), contestants, ceiling=ceiling)
    return table


def bench_lamb_class(bench, peers):
    # the first pass reads four arrays and writes two, and the second reads three and writes one
    class_rows(bench, peers, "optim.LAMB, float32, a step", SHAPES, lambda param: optim.LAMB(param, lr=LR), None,
               n_arrays=10)


def bench_adafactor_class(bench, peers):
    # the gradient is read three times, the parameter twice, and it is written
    table = class_rows(
        bench, peers, "optim.Adafactor, float32, a step", SHAPES, lambda param: optim.Adafactor(param, lr=LR),
        lambda torch, tensors: torch.optim.Adafactor(tensors, lr=LR, foreach=False), n_arrays=6,
    )
    bench.target("optim.Adafactor f32 over torch's", lambda: table.ratio("torch"), at_least=2.0)


def bench_muon_class(bench, peers):
    # torch multiplies in bfloat16, with twice the operations a second where the processor has them: its X is good to
    # some hundredths
    class_rows(
        bench, peers, "optim.Muon, float32, a step", MUON_SHAPES, lambda param: optim.Muon(param, lr=LR),
        lambda torch, tensors: torch.optim.Muon(tensors, lr=LR), atol=0.05 * LR,
    )


def kernel_row(bench, peers, function, shape, *states, **options):
    param, grad = parameter_and_gradient(shape)
    runs = [[param.copy(), grad, *(state.copy() for state in states)] for _ in range(2)]
    calls = [
        lambda run=run, module=module: getattr(module, function)(*run, lr=LR, **options)
        for run, module in zip(runs, (kernels, reference), strict=True)
    ]
    for call in calls:
        call()
    agree(runs[0], runs[1], 1e-4, 1e-5)
    bench.table(f"{function}, float32").row(" x ".join(f"{n:,}" for n in shape), calls[0], peers.reference(calls[1]))


def bench_kernels(bench, peers):
    m, n = 784, 256
    zeros = np.zeros((m, n), np.float32)
    kernel_row(bench, peers, "lamb_update", (m, n), zeros, zeros, step=1)
    kernel_row(bench, peers, "adafactor_update", (m, n), zeros[:, :1], zeros[:1], step=1)
    kernel_row(bench, peers, "muon_update", (m, n), zeros, workspace=np.empty(2 * m * n + 2 * n * n + 64, np.float32))
