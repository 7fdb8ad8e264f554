"""Optimizer steps: class against torch's fused class, kernel against torch's fused function."""
import numpy as np

from benchmarks.harness import QUICK, agree
from fasttrain import kernels, optim, reference

COVERS = {
    "adadelta_update", "adagrad_update", "adam_update", "adamax_update", "average_update", "lion_update",
    "nadam_update", "radam_update", "rmsprop_update", "schedule_free_update", "sgd_update",
}

# Parameters, and the least ratio to torch's fused Adam.
SIZES = [(100_000, 2.2), (5_000, 6.0)] if QUICK else [(64_000_000, 1.0), (100_000, 2.2), (5_000, 6.0)]
# Arrays of which an update reads and writes each element once; four are read, three written.
ADAM_ARRAYS = 7
SGD_ARRAYS = 5
IN_CACHE = 4_000_000  # parameters; below, memory is no bound
LR = 1e-3


def parameter_and_gradient(n):
    rng = np.random.default_rng(0)
    return rng.standard_normal(n, dtype=np.float32), rng.standard_normal(n, dtype=np.float32)


def torch_step(param, grad, make_torch, make_ours):
    """For peers.torch: a step of torch's optimizer, after a step of both from the same parameters."""

    def prepare(torch):
        tensor = torch.nn.Parameter(torch.from_numpy(param.copy()))
        tensor.grad = torch.from_numpy(grad)
        optimizer = make_torch(torch, [tensor])
        optimizer.step()
        ours = param.copy()
        make_ours(ours).step(grad)
        agree(ours, tensor.detach().numpy(), 1e-5, 1e-7)
        return optimizer.step

    return prepare


def class_rows(bench, peers, title, make_torch, make_ours, n_arrays):
    table = bench.table(title)
    for n, _ in SIZES:
        param, grad = parameter_and_gradient(n)
        contestants = peers.torch(torch_step(param, grad, make_torch, make_ours))
        step = make_ours(param).step
        ceiling = ("add", 4.0 * n * n_arrays) if n >= IN_CACHE else None
        table.row(f"{n:,} parameters", lambda step=step, grad=grad: step(grad), contestants, ceiling=ceiling)
    return table.rows


def bench_adam_class(bench, peers):
    rows = class_rows(
        bench, peers, "optim.Adam, float32, a step",
        lambda torch, tensors: torch.optim.Adam(tensors, lr=LR, fused=True),
        lambda param: optim.Adam(param, lr=LR), ADAM_ARRAYS,
    )
    for row, (_, at_least) in zip(rows, SIZES, strict=True):
        bench.target(f"optim.Adam f32, {row.work}, over torch's fused", row.ratio("torch"), at_least=at_least)


def bench_sgd_class(bench, peers):
    class_rows(
        bench, peers, "optim.SGD with momentum, float32, a step",
        lambda torch, tensors: torch.optim.SGD(tensors, lr=LR, momentum=0.9, fused=True),
        lambda param: optim.SGD(param, lr=LR, momentum=0.9), SGD_ARRAYS,
    )


def torch_fused_adam_function(param, grad):
    def prepare(torch):
        tensors = [[torch.from_numpy(array)] for array in (param.copy(), grad, 0 * param, 0 * param)]
        steps = [torch.tensor(1.0)]
        options = {
            "lr": LR, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0, "eps": 1e-8, "amsgrad": False,
            "maximize": False,
        }
        return lambda: torch._fused_adam_(*tensors, [], steps, **options)

    return prepare


def bench_adam_kernel(bench, peers):
    table = bench.table("adam_update, float32")
    for n, _ in SIZES[-2:]:
        param, grad = parameter_and_gradient(n)
        states = [[param.copy(), np.zeros_like(param), np.zeros_like(param)] for _ in range(2)]

        def ours(state=states[0], grad=grad):
            return kernels.adam_update(state[0], grad, *state[1:], step=1, lr=LR)

        def reference_call(state=states[1], grad=grad):
            return reference.adam_update(state[0], grad, *state[1:], step=1, lr=LR)

        ours()
        reference_call()
        agree(states[0], states[1], 1e-5, 1e-7)
        row = table.row(
            f"{n:,} parameters", ours,
            peers.reference(reference_call) + peers.torch(torch_fused_adam_function(param, grad)),
        )
    name = f"adam_update f32, {n:,} parameters, over torch._fused_adam_"
    bench.target(name, row.ratio("torch"), at_least=1.3)


def bench_sgd_kernel(bench, peers):
    table = bench.table("sgd_update with momentum, float32")
    for n, _ in SIZES[-2:]:
        param, grad = parameter_and_gradient(n)
        states = [[param.copy(), np.zeros_like(param)] for _ in range(2)]

        def ours(state=states[0], grad=grad):
            return kernels.sgd_update(state[0], grad, state[1], lr=LR, momentum=0.9)

        def reference_call(state=states[1], grad=grad):
            return reference.sgd_update(state[0], grad, state[1], lr=LR, momentum=0.9)

        ours()
        reference_call()
        agree(states[0], states[1], 1e-5, 1e-7)
        table.row(f"{n:,} parameters", ours, peers.reference(reference_call))


# The other kernels: arrays of state, what they need beside lr, and the class of optim and torch's with its best
# settings, where torch has one.
OTHER_KERNELS = {
    "nadam_update": (2, {"step": 1, "mu_product": 1.0}, "NAdam", {}),
    "radam_update": (2, {"step": 1}, "RAdam", {}),
    "adamax_update": (2, {"step": 1}, "Adamax", {}),
    "adagrad_update": (1, {"step": 1}, "Adagrad", {"fused": True}),
    "rmsprop_update": (1, {}, "RMSprop", {}),
    "adadelta_update": (2, {}, "Adadelta", {}),
    "lion_update": (1, {}, None, {}),
    "schedule_free_update": (2, {"step": 1, "weight_sum": 0.0, "lr_max": 0.0}, None, {}),
}


def bench_other_kernels(bench, peers):
    table = bench.table("other update kernels, float32, beside torch's classes")
    for name, (n_states, options, peer, settings) in OTHER_KERNELS.items():
        for n, _ in SIZES[-2:]:
            param, grad = parameter_and_gradient(n)
            arrays = [[param.copy(), grad, *(np.zeros_like(param) for _ in range(n_states))] for _ in range(2)]

            def ours(name=name, arrays=arrays[0], options=options):
                return getattr(kernels, name)(*arrays, lr=LR, **options)

            def reference_call(name=name, arrays=arrays[1], options=options):
                return getattr(reference, name)(*arrays, lr=LR, **options)

            assert ours() == reference_call()
            agree(arrays[0], arrays[1], 0.0)
            contestants = peers.reference(reference_call)
            if peer is not None:
                contestants += peers.torch(torch_step(
                    param, grad,
                    lambda torch, tensors, peer=peer, settings=settings: getattr(torch.optim, peer)(
                        tensors, lr=LR, **settings
                    ),
                    lambda param, peer=peer: getattr(optim, peer)(param, lr=LR),
                ))
            table.row(f"{name}, {n:,} parameters", ours, contestants)


def torch_lerp(average, value, decay):
    def prepare(torch):
        tensors = torch.from_numpy(average.copy()), torch.from_numpy(value)
        return lambda: tensors[0].lerp_(tensors[1], 1.0 - decay)

    return prepare


def bench_average_kernel(bench, peers):
    table = bench.table("average_update, float32, beside torch's lerp_")
    for n, _ in SIZES[-2:]:
        value, average = parameter_and_gradient(n)
        averages = [average.copy(), average.copy()]

        def ours(average=averages[0], value=value):
            return kernels.average_update(average, value, decay=0.999)

        def reference_call(average=averages[1], value=value):
            return reference.average_update(average, value, decay=0.999)

        ours()
        reference_call()
        agree(averages[0], averages[1], 0.0)
        table.row(
            f"{n:,} parameters", ours,
            peers.reference(reference_call) + peers.torch(torch_lerp(average, value, 0.999)),
        )
