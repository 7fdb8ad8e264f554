"""Optimizer classes against torch's, each at its best: fused where it has that, else the better of its two ways."""
import numpy as np

from benchmarks.harness import QUICK, agree
from fasttrain import optim

COVERS = set()

LR = 1e-3
LARGE = 1_000_000 if QUICK else 64_000_000
# Bytes of a parameter that a step reads and writes.
ADAM_BYTES, ONE_STATE_BYTES = 28, 20
BFLOAT16_BYTES, CODED_BYTES, NARROW_BYTES = 20, 16, 10

# Name, torch's class and the ways it has, bytes a parameter, least ratio to torch, least share of the bandwidth.
RULES = [
    ("Adam", {}, ("fused",), ADAM_BYTES, 1.0, 0.95),
    ("AdamW", {}, ("fused",), ADAM_BYTES, 1.0, 0.95),
    ("SGD", {"momentum": 0.9}, ("fused",), ONE_STATE_BYTES, 1.0, 0.9),
    ("Adagrad", {}, ("fused",), ONE_STATE_BYTES, 1.0, 0.9),
    ("RMSprop", {}, ("foreach", None), ONE_STATE_BYTES, 1.0, 0.9),
    ("Lion", {}, (), ONE_STATE_BYTES, None, 0.9),
]
# Without targets: the other rules, where torch has them.
OTHERS = [
    ("NAdam", {}, ("foreach", None), ADAM_BYTES),
    ("RAdam", {}, ("foreach", None), ADAM_BYTES),
    ("Adamax", {}, ("foreach", None), ADAM_BYTES),
    ("Adadelta", {}, ("foreach", None), ADAM_BYTES),
    ("ScheduleFreeAdamW", {}, (), ADAM_BYTES),
]


def draw(*shape):
    rng = np.random.default_rng(0)
    return rng.standard_normal(shape, dtype=np.float32), rng.standard_normal(shape, dtype=np.float32)


def torch_step(params, grads, name, options, way=None, clip=None, check=None):
    """For peers.torch: a step of torch's optimizer over lists of arrays; `check` gets its parameters after one step."""

    def prepare(torch):
        tensors = [torch.nn.Parameter(torch.from_numpy(param.copy())) for param in params]
        for tensor, grad in zip(tensors, grads, strict=True):
            tensor.grad = torch.from_numpy(grad.copy())
        choice = {} if way is None else {way: True}
        optimizer = getattr(torch.optim, name)(tensors, lr=LR, **choice, **options)

        def step():
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(tensors, clip)
            optimizer.step()

        step()
        if check is not None:
            check([tensor.detach().numpy() for tensor in tensors])
        return step if clip is not None else optimizer.step

    return prepare


def same_as(make, params, grads, atol=1e-6, **step_options):
    """A check that our class gives the same parameters by one step."""

    def check(theirs):
        ours = [param.copy() for param in params]
        make(ours).step(grads, **step_options)
        agree(ours, theirs, 1e-5, atol)

    return check


def bench_large(bench, peers):
    param, grad = draw(LARGE)
    table = bench.table(f"Optimizer classes, float32, a step on one array of {LARGE:,}")
    for name, options, ways, n_bytes, at_least, share in [*RULES, *((*other, None, None) for other in OTHERS)]:
        rule = getattr(optim, name)

        def make(params, rule=rule, options=options):
            return rule(params, lr=LR, **options)

        contestants = [
            contestant
            for way in ways
            for contestant in peers.torch(
                torch_step([param], [grad], name, options, way, check=same_as(make, [param], [grad]))
            )
        ]
        step = make(param.copy()).step
        row = table.row(
            name + ("" if not options else ", momentum"), lambda step=step: step(grad), contestants,
            ceiling=("add", float(n_bytes) * LARGE),
        )
        if at_least is not None:
            bench.target(f"optim.{name} f32, {LARGE:,}, over torch's best", row.ratio("torch"), at_least=at_least)
        if share is not None:
            bench.target(
                f"optim.{name} f32, {LARGE:,}, add bandwidth", 100 * row.share(), at_least=100 * share, form="{:.0f}%"
            )


def bench_narrow_state(bench, peers):
    param, grad = draw(LARGE)
    table = bench.table(f"optim.AdamW in fewer bits, against torch's fused in float32, one array of {LARGE:,}")
    half, half_grad = ((array.view(np.uint32) >> 16).astype(np.uint16) for array in (param, grad))
    cases = [
        ("bfloat16 state", param, grad, {"state_dtype": "bfloat16"}, BFLOAT16_BYTES, 1.3),
        ("8-bit state", param, grad, {"state_dtype": "8bit"}, CODED_BYTES, 1.5),
        (
            "8-bit state, bfloat16 parameters and gradients", half, half_grad,
            {"state_dtype": "8bit", "dtype": "bfloat16", "master_weights": False}, NARROW_BYTES, 2.2,
        ),
    ]
    for work, own_param, own_grad, options, n_bytes, at_least in cases:
        optimizer = optim.AdamW(own_param.copy(), lr=LR, **options)

        def check(theirs, own_param=own_param, own_grad=own_grad, options=options):
            # the first step is lr in every element; bfloat16 parameters round it, by half of it on the average
            ours = own_param.copy()
            optim.AdamW(ours, lr=LR, **options).step(own_grad)
            ours = (ours.astype(np.uint32) << 16).view(np.float32) if ours.dtype == np.uint16 else ours
            assert abs(np.mean(np.sign(grad) * (param - ours), dtype=np.float64) / LR - 1) < 0.02

        contestants = peers.torch(torch_step([param], [grad], "AdamW", {}, "fused", check=check))
        row = table.row(
            work, lambda optimizer=optimizer, grad=own_grad: optimizer.step(grad), contestants,
            ceiling=("add", float(n_bytes) * LARGE),
        )
        bench.target(f"optim.AdamW, {LARGE:,}, {work}, over torch's fused", row.ratio("torch"), at_least=at_least)


def bench_many_and_small(bench, peers):
    table = bench.table("optim.Adam, float32, a step")

    def make(params):
        return optim.Adam(params, lr=LR)

    cases = [("200 tensors of 5,000", (200, 5_000), 6.0), ("one tensor of 1,000", (1, 1_000), 5.0)]
    for work, shape, at_least in cases:
        params, grads = ([row.copy() for row in array] for array in draw(*shape))
        contestants = peers.torch(torch_step(params, grads, "Adam", {}, "fused", check=same_as(make, params, grads)))
        if shape[0] == 1:
            optimizer, given = make(params[0].copy()), grads[0]
        else:
            optimizer, given = make([param.copy() for param in params]), grads
        row = table.row(work, lambda optimizer=optimizer, given=given: optimizer.step(given), contestants)
        bench.target(f"optim.Adam f32, {work}, over torch's fused", row.ratio("torch"), at_least=at_least)


def bench_clipping(bench, peers):
    param, grad = draw(LARGE)
    table = bench.table(f"Clipping by the global norm and a step of AdamW, float32, one array of {LARGE:,}")

    def make(params):
        return optim.AdamW(params, lr=LR)

    # torch adds up the norm of 64 M numbers in float32, and where a clipped gradient is as small as eps that shows: 1 %
    # of a step
    check = same_as(make, [param], [grad], atol=LR / 100, max_norm=1.0)
    contestants = peers.torch(torch_step([param], [grad], "AdamW", {}, "fused", clip=1.0, check=check))
    optimizer = make(param.copy())
    row = table.row(
        "clip and step", lambda: optimizer.step(grad, max_norm=1.0), contestants,
        ceiling=("add", (ADAM_BYTES + 4.0) * LARGE),
    )
    bench.target(
        f"clipping + AdamW, {LARGE:,}, over torch's clip_grad_norm_ + fused", row.ratio("torch"), at_least=1.15
    )
