"""CPU level and threads: which settings win, which are refused, and what a fork leaves."""
import contextvars
import ctypes
import os
import sys
import threading

import numpy as np
import pytest

import fasttrain
from fasttrain import kernels
from fasttrain.kernels import runtime
from tests.helpers import run_python

HAS_OPENMP = runtime.build_info()["openmp"] is not None
PRINT_THREADS = "import fasttrain; print(fasttrain.get_num_threads())"


def threads(n):
    """What get_num_threads() is to say when `n` are asked for."""
    return n if HAS_OPENMP else 1


@pytest.fixture(autouse=True)
def _no_setting_left():
    yield
    fasttrain.set_num_threads(None)


# ---- CPU level -----------------------------------------------------------------------------------------


def test_the_level_is_available_and_the_best_unless_capped():
    levels = kernels.available_cpu_levels()
    assert levels
    assert kernels.cpu_level() == os.environ.get("FASTTRAIN_CPU_LEVEL", levels[-1])


@pytest.mark.parametrize("level", kernels.available_cpu_levels())
def test_every_available_level_can_be_asked_for(level):
    child = run_python("from fasttrain import kernels; print(kernels.cpu_level())", FASTTRAIN_CPU_LEVEL=level)
    assert (child.returncode, child.stdout.strip()) == (0, level), child.stderr


def test_levels_agree_on_a_product():
    rng = np.random.default_rng(0)
    a, b = rng.integers(-4, 5, (33, 17)).astype(np.float32), rng.integers(-4, 5, (17, 29)).astype(np.float32)
    code = """
        import sys
        import numpy as np
        from fasttrain import kernels
        data = np.frombuffer(bytes.fromhex(sys.argv[1]), np.float32)
        a, b = data[:33 * 17].reshape(33, 17), data[33 * 17:].reshape(17, 29)
        print(kernels.matmul(a, b).tobytes().hex())
    """
    data = np.concatenate([a.ravel(), b.ravel()]).tobytes().hex()
    for level in kernels.available_cpu_levels():
        child = run_python(code, data, FASTTRAIN_CPU_LEVEL=level)
        assert child.returncode == 0, child.stderr
        # small integers, so that every order of summation is exact
        np.testing.assert_array_equal(
            np.frombuffer(bytes.fromhex(child.stdout.strip()), np.float32).reshape(33, 29), a @ b
        )


@pytest.mark.parametrize("name", ["v9", "V3", "avx2", "v3 ", "sse"])
def test_an_unknown_level_is_an_import_error_that_names_the_choices(name):
    child = run_python("import fasttrain", FASTTRAIN_CPU_LEVEL=name)
    assert child.returncode != 0
    last_line = child.stderr.strip().splitlines()[-1]
    assert last_line == (
        f"ImportError: FASTTRAIN_CPU_LEVEL={name!r} is not available here; "
        f"choose one of {', '.join(kernels.available_cpu_levels())}"
    )


def test_a_level_of_another_machine_is_an_import_error():
    absent = {"v2", "v3", "v4", "neon", "generic"} - set(kernels.available_cpu_levels())
    for name in sorted(absent):
        child = run_python("import fasttrain", FASTTRAIN_CPU_LEVEL=name)
        assert child.returncode != 0
        assert f"FASTTRAIN_CPU_LEVEL={name!r} is not available here" in child.stderr


def test_an_empty_level_means_the_best():
    code = "from fasttrain import kernels; print(kernels.cpu_level())"
    child = run_python(code, FASTTRAIN_CPU_LEVEL="")
    assert child.stdout.strip() == kernels.available_cpu_levels()[-1], child.stderr


# ---- the order of the thread settings --------------------------------------------------------------------


def test_context_wins_over_setting_and_is_restored():
    fasttrain.set_num_threads(5)
    assert fasttrain.get_num_threads() == threads(5)
    with fasttrain.num_threads(3) as outer:
        assert fasttrain.get_num_threads() == threads(3)
        with fasttrain.num_threads(2):
            assert fasttrain.get_num_threads() == threads(2)
        with outer:  # the same object again
            assert fasttrain.get_num_threads() == threads(3)
        fasttrain.set_num_threads(7)
        assert fasttrain.get_num_threads() == threads(3)
    assert fasttrain.get_num_threads() == threads(7)
    fasttrain.set_num_threads(None)
    with pytest.raises(KeyError), fasttrain.num_threads(2):
        raise KeyError
    assert fasttrain.get_num_threads() == runtime.get_num_threads()


def test_setting_holds_in_all_python_threads_and_context_only_in_its_own():
    seen = {}

    def look(name):
        seen[name] = fasttrain.get_num_threads()

    fasttrain.set_num_threads(6)
    with fasttrain.num_threads(2):
        other = threading.Thread(target=look, args=["other"], **_without_context())
        other.start()
        other.join()
        contextvars.copy_context().run(look, "copied")
    assert seen == {"other": threads(6), "copied": threads(2)}


def _without_context():
    # from 3.14 on, a thread may inherit its creator's context
    return {"context": contextvars.Context()} if sys.version_info >= (3, 14) else {}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"FASTTRAIN_NUM_THREADS": "3", "OMP_NUM_THREADS": "2"}, 3),
        ({"OMP_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"FASTTRAIN_NUM_THREADS": " 3 "}, 3),
        ({"FASTTRAIN_NUM_THREADS": "", "OMP_NUM_THREADS": "2"}, 2),
    ],
)
def test_environment(environment, expected):
    child = run_python(PRINT_THREADS, **environment)
    assert child.stdout.strip() == str(threads(expected)), child.stderr


def test_setting_wins_over_environment():
    code = """
        import fasttrain
        fasttrain.set_num_threads(5)
        print(fasttrain.get_num_threads())
        fasttrain.set_num_threads(None)
        print(fasttrain.get_num_threads())
    """
    child = run_python(code, FASTTRAIN_NUM_THREADS="3")
    assert child.stdout.split() == [str(threads(5)), str(threads(3))], child.stderr


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_bad_environment_is_named(value):
    child = run_python(PRINT_THREADS, FASTTRAIN_NUM_THREADS=value)
    assert child.returncode != 0
    assert f"ValueError: FASTTRAIN_NUM_THREADS must be a positive integer, got {value!r}" in child.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
@pytest.mark.skipif(not HAS_OPENMP, reason="built without OpenMP")
def test_the_default_is_the_cpus_that_the_process_may_use():
    child = run_python(PRINT_THREADS)
    assert 1 <= int(child.stdout) <= len(os.sched_getaffinity(0))
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); " + PRINT_THREADS
    assert run_python(code).stdout.strip() == "1"


@pytest.mark.parametrize("bad", [0, -1, 4097, 1 << 80])
def test_a_count_out_of_range_is_refused(bad):
    for call in (fasttrain.set_num_threads, fasttrain.num_threads):
        with pytest.raises((ValueError, OverflowError), match=r"between 1 and 4096|too large|too big"):
            call(bad)


@pytest.mark.parametrize("bad", [True, 1.5, "2", [2]])
def test_a_count_that_is_no_integer_is_refused(bad):
    for call in (fasttrain.set_num_threads, fasttrain.num_threads):
        with pytest.raises(TypeError, match="n must be a positive integer, got"):
            call(bad)
    with pytest.raises(TypeError, match="n_threads must be a positive integer, got"):
        kernels.matmul(np.ones((1, 1)), np.ones((1, 1)), n_threads=bad)


def test_a_numpy_integer_is_a_count():
    fasttrain.set_num_threads(np.int64(2))
    assert fasttrain.get_num_threads() == threads(2)


def test_a_refused_setting_changes_nothing():
    fasttrain.set_num_threads(3)
    with pytest.raises(ValueError, match="between 1 and 4096, got 0"):
        fasttrain.set_num_threads(0)
    assert fasttrain.get_num_threads() == threads(3)


# ---- forks and Python threads ------------------------------------------------------------------------------

# A product large enough for several threads at any grain.
PARALLEL_PRODUCT = """
    import numpy as np
    a = np.random.default_rng(0).normal(size=(600, 600)).astype(np.float32)

    def product(n_threads=None):
        return fasttrain.kernels.matmul(a, a, n_threads=n_threads)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_works_on_one_thread():
    code = """
    import os
    import sys
    import warnings
    import fasttrain
    import fasttrain.kernels
    """ + PARALLEL_PRODUCT + """
    before = product(2)
    warnings.simplefilter("ignore")  # newer Pythons warn of a fork with threads
    child = os.fork()
    if child == 0:
        fasttrain.set_num_threads(4)
        with fasttrain.num_threads(3):
            same = (product() == before).all() and (product(2) == before).all()
            alone = fasttrain.get_num_threads() == 1
        os._exit(0 if same and alone else 1)
    status = os.waitpid(child, 0)[1]
    assert (product(2) == before).all()
    sys.exit(os.waitstatus_to_exitcode(status))
    """
    child = run_python(code, timeout=60, FASTTRAIN_NUM_THREADS="2")
    assert child.returncode == 0, child.stderr


def test_python_threads_do_not_disturb_each_other():
    a = np.random.default_rng(1).normal(size=(300, 300)).astype(np.float32)
    expected = kernels.matmul(a, a, n_threads=1)
    wrong = []

    def work(n):
        for _ in range(20):
            with fasttrain.num_threads(n):
                out = np.empty_like(expected)
                kernels.matmul(a, a, out)
                if fasttrain.get_num_threads() != threads(n) or not np.array_equal(out, expected):
                    wrong.append(n)

    workers = [threading.Thread(target=work, args=[n]) for n in (1, 2, 3, 1, 2, 3)]
    for worker in workers:
        worker.start()
    for _ in range(100):
        fasttrain.set_num_threads(2)
        fasttrain.set_num_threads(None)
    for worker in workers:
        worker.join()
    assert not wrong


def test_build_info_has_plain_values():
    info = runtime.build_info()
    assert info["cpu_level"] in info["available_cpu_levels"]
    assert info["vector_bytes"] in (16, 32, 64)
    assert info["openmp"] is None or info["openmp"] >= 200805
    assert info["compiler"].split()[0] in ("gcc", "clang")


# ---- crews -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [5, 70])
def test_more_threads_than_cores_and_shares_give_the_same_bits(n_threads):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((512, 300)).astype("f"), rng.standard_normal((300, 512)).astype("f")
    expected = kernels.matmul(a, b, n_threads=1)
    for _ in range(3):
        np.testing.assert_array_equal(kernels.matmul(a, b, n_threads=n_threads), expected)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux's list of threads")
def test_threads_keep_their_affinity():
    a = np.ones((256, 256), np.float32)
    before = os.sched_getaffinity(0)
    for _ in range(100):
        kernels.matmul(a, a, n_threads=2)
    for task in os.listdir("/proc/self/task"):
        try:
            assert os.sched_getaffinity(int(task)) == before
        except ProcessLookupError:  # it has ended meanwhile
            continue


IN_A_REGION = """
import ctypes
import numpy as np
from fasttrain import kernels
a = np.random.default_rng(0).standard_normal((900, 300)).astype("f")
calls = (
    lambda n: kernels.matmul(a, a.T, n_threads=n),
    lambda n: kernels.linear_value_and_grad(a, a[:, 0].copy(), a[0].copy(), n_threads=n)[1],
)
expected, equal = [call(1) for call in calls], []
def body(_):
    equal.extend(np.array_equal(call(n), e) for call, e in zip(calls, expected) for n in (1, 2))
function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(body)
ctypes.CDLL("libgomp.so.1").GOMP_parallel(function, None, 3, 0)
print(equal.count(True), equal.count(False))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux") or not HAS_OPENMP, reason="calls GNU OpenMP")
def test_calls_from_a_region_of_the_same_openmp_are_calls_of_their_own():
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        pytest.skip("libgomp.so.1 is not where the loader looks")
    child = run_python(IN_A_REGION, FASTTRAIN_NUM_THREADS="2")
    assert child.stdout == "12 0\n", child.stderr
