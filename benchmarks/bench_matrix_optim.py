"""Steps of LAMB, Adafactor and Muon: kernels against the reference and torch's classes, which have no fused form."""
import numpy as np

from benchmarks.harness import QUICK, agree
from fasttrain import kernels, reference

COVERS = {"adafactor_update", "lamb_update", "muon_update"}

SHAPES = [(256, 256)] if QUICK else [(64, 64), (784, 256), (1024, 1024), (4096, 4096)]
MUON_SHAPES = [(256, 256)] if QUICK else [(64, 64), (784, 256), (1024, 1024)]
IN_CACHE = 4_000_000  # parameters; below, memory is no bound
LR = 1e-3


def parameter_and_gradient(shape):
    rng = np.random.default_rng(0)
    return rng.standard_normal(shape, dtype=np.float32), rng.standard_normal(shape, dtype=np.float32)


def torch_step(make, param, grad, ours, atol):
    """For peers.torch: a step of torch's optimizer, after it took the first one and came to `ours`."""

    def prepare(torch):
        tensor = torch.nn.Parameter(torch.from_numpy(param.copy()))
        tensor.grad = torch.from_numpy(grad)
        optimizer = make(torch, [tensor])
        optimizer.step()
        agree(ours, tensor.detach().numpy(), 1e-5, atol)
        return optimizer.step

    return prepare


def rows(bench, peers, title, function, shapes, states_of, options, make_torch=None, atol=1e-7, n_arrays=None):
    """A row for each shape; n_arrays are those of param's size that a step reads and writes once."""
    table = bench.table(title)
    for shape in shapes:
        param, grad = parameter_and_gradient(shape)
        runs = [[param.copy(), grad, *states_of(param)] for _ in range(2)]

        def ours(run=runs[0]):
            return getattr(kernels, function)(*run, **options(run[0]))

        def reference_call(run=runs[1]):
            return getattr(reference, function)(*run, **options(run[0]))

        ours()
        reference_call()
        agree(runs[0], runs[1], 1e-4, 1e-5)
        contestants = peers.reference(reference_call)
        if make_torch is not None:
            contestants += peers.torch(torch_step(make_torch, param, grad, runs[0][0].copy(), atol))
        ceiling = ("add", 4.0 * param.size * n_arrays) if n_arrays and param.size >= IN_CACHE else None
        table.row(" x ".join(f"{n:,}" for n in shape), ours, contestants, ceiling=ceiling)
    return table


def bench_lamb_kernel(bench, peers):
    # the first pass reads four arrays and writes two, and the second reads three and writes one
    rows(
        bench, peers, "lamb_update, float32", "lamb_update", SHAPES,
        lambda param: (np.zeros_like(param), np.zeros_like(param)),
        lambda param: {"step": 1, "lr": LR, "weight_decay": 0.01}, n_arrays=10,
    )


def bench_adafactor_kernel(bench, peers):
    # the gradient is read three times, the parameter twice, and it is written
    table = rows(
        bench, peers, "adafactor_update, float32", "adafactor_update", SHAPES,
        lambda param: (np.zeros((len(param), 1), np.float32), np.zeros((1, param.shape[1]), np.float32)),
        lambda param: {"step": 1, "lr": LR},
        lambda torch, tensors: torch.optim.Adafactor(tensors, lr=LR, foreach=False), n_arrays=6,
    )
    bench.target("adafactor_update f32 over torch's class", lambda: table.ratio("torch"), at_least=2.0)


def bench_muon_kernel(bench, peers):
    workspaces = {}

    def options(param):
        k = min(param.shape)
        size = 2 * param.size + 2 * k * k + 64
        return {"lr": LR, "workspace": workspaces.setdefault(param.shape, np.empty(size, np.float32))}

    # torch multiplies in bfloat16: its X is good to some hundredths
    table = rows(
        bench, peers, "muon_update, float32", "muon_update", MUON_SHAPES, lambda param: (np.zeros_like(param),),
        options, lambda torch, tensors: torch.optim.Muon(tensors, lr=LR), atol=0.05 * LR,
    )
    bench.target("muon_update f32 over torch's class in bfloat16", lambda: table.ratio("torch"), at_least=1.0)
