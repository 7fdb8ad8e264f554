"""What was built: no instruction above the machine's floor outside the levels, and a light import."""
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import fasttrain
from fasttrain.kernels import runtime
from tests.helpers import run_python

PACKAGE = Path(fasttrain.__file__).parent
EXTENSIONS = sorted((PACKAGE / "kernels").glob("*.so"))

# Mnemonics of AVX, AVX2, FMA and AVX-512 start with v; of the rest that do, none is AVX.
NOT_AVX = re.compile(r"v(err|erww?|m[a-z]+)$")
BEYOND_FLOOR = re.compile(
    r"(andn|bextr|bls(i|r|msk)|bzhi|pdep|pext|mulx|rorx|sarx|shlx|shrx|lzcnt|movbe|k\w+[bwdq])$"
)


def tool(name):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} (binutils) is not installed")
    return path


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def files_of_functions(extension):
    """Source file of each function by its address, from the symbol table: a file's symbols follow it."""
    files, file = {}, ""
    for line in output(tool("readelf"), "--symbols", "--wide", extension).splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[3] == "FILE":
            file = fields[7]
        elif len(fields) >= 8 and fields[3] == "FUNC" and fields[4] == "LOCAL":
            files[int(fields[1], 16)] = file
    return files


def instructions(extension):
    """(source file or function's name, mnemonic, operands) of every instruction."""
    files = files_of_functions(extension)
    place = ""
    listing = output(tool("objdump"), "--disassemble", "--no-show-raw-insn", "--wide", extension)
    for line in listing.splitlines():
        start = re.match(r"([0-9a-f]+) <(.*)>:$", line)
        if start:
            place = files.get(int(start[1], 16), start[2])
            continue
        instruction = re.match(r"\s*[0-9a-f]+:\t(?:\{\w+\} )?(\S+)\s*(.*)", line)
        if instruction:
            yield place, instruction[1], instruction[2]


@pytest.mark.skipif("neon" in runtime.available_cpu_levels(), reason="only x86-64 has levels above its floor")
@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda path: path.name.split(".")[0])
def test_wide_registers_only_in_their_levels(extension):
    wide = {}
    n_instructions = 0
    for place, mnemonic, operands in instructions(extension):
        n_instructions += 1
        is_avx = mnemonic.startswith("v") and not NOT_AVX.match(mnemonic)
        if "%zmm" in operands or re.search(r"%[xy]mm(1[6-9]|2\d|3[01])|%k[0-7]", operands):
            wide.setdefault(place, set()).add(4)
        elif is_avx or "%ymm" in operands or BEYOND_FLOOR.match(mnemonic):
            wide.setdefault(place, set()).add(3)
    assert n_instructions > 100
    if extension.name.startswith("runtime."):
        # both levels are there, each with its own registers and not those of the next
        assert wide == {"level_v3.c": {3}, "level_v4.c": {3, 4}}
    else:
        assert wide == {}


def test_extensions_are_there_and_export_only_their_init_function():
    assert {"checks", "linalg", "runtime"} <= {path.name.split(".")[0] for path in EXTENSIONS}
    for extension in EXTENSIONS:
        listing = output(tool("nm"), "--dynamic", "--defined-only", extension)
        exported = {line.split()[-1] for line in listing.splitlines()}
        assert exported <= {f"PyInit_{extension.name.split('.')[0]}", "_init", "_fini"}


def test_import_loads_no_heavy_or_optional_module():
    code = """
        import sys
        import numpy
        before = set(sys.modules)
        import fasttrain
        print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
    """
    child = run_python(code)
    assert child.returncode == 0, child.stderr
    loaded = set(child.stdout.split())
    assert "fasttrain" in loaded
    assert not loaded & {"sklearn", "scipy", "torch", "matplotlib", "pandas", "tqdm", "joblib", "cython"}


def test_import_says_and_warns_of_nothing():
    child = run_python("import warnings; warnings.simplefilter('error'); import fasttrain")
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")


def test_the_package_never_imports_its_reference():
    # by files, because pkgutil.walk_packages imports every package on its way
    files = [path for suffix in ("py", "so") for path in PACKAGE.rglob(f"*.{suffix}")]
    names = {".".join((path.relative_to(PACKAGE).parent / path.name.split(".")[0]).parts) for path in files}
    names = sorted(name for name in names if not name.startswith(("reference", "__main__", "plots")))
    code = """
        import importlib
        import sys
        for name in sys.argv[1:]:
            importlib.import_module("fasttrain." + name)
        print("fasttrain.reference" in sys.modules)
    """
    child = run_python(code, *names)
    assert (child.returncode, child.stdout.strip()) == (0, "False"), child.stderr


def test_the_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").is_file()
    for extension in EXTENSIONS:
        assert (extension.parent / (extension.name.split(".")[0] + ".pyi")).is_file()
