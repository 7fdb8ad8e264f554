"""The command line, as it is run."""
import os
import re
import subprocess
import sys

import pytest

from fasttrain.__main__ import _digits, _model, main


def run(*arguments, folder, **environment):
    return subprocess.run(
        [sys.executable, "-m", "fasttrain", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_demo(tmp_path):
    result = run("demo", "--seed", "1", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    out = result.stdout
    assert "1077 to train, 360 to validate, 360 to test" in out
    assert "64 - 128 - 10" in out
    assert "\r" not in out
    epochs = re.findall(r"^epoch +(\d+)/40  loss \d\.\d{5}  validation accuracy 0\.\d{4}$", out, re.MULTILINE)
    assert epochs[0] == "1"
    assert epochs[-1] == "40"
    assert 5 <= len(epochs) <= 15
    for title in ("precision", "recall", "f1-score", "support", "macro avg", "Confusion matrix"):
        assert title in out
    assert float(re.search(r"^Test accuracy (0\.\d{4})$", out, re.MULTILINE)[1]) >= 0.95
    assert re.search(r"Training took \d+\.\d\d s for 40 epochs", out)
    pictures = tmp_path / "fasttrain-demo"
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        assert "pip install 'fasttrain[plot]'" in out
        assert not pictures.exists()
    else:
        for name in ("learning-curve.png", "confusion-matrix.png"):
            assert (pictures / name).read_bytes().startswith(b"\x89PNG")
            assert f"Wrote fasttrain-demo{os.sep}{name}" in out


def test_demo_gives_the_same_numbers_for_any_number_of_threads(tmp_path):
    outputs = []
    for n_threads in ("1", "3"):
        result = run(
            "demo", "--epochs", "3", "--output", "pictures", folder=tmp_path, FASTTRAIN_NUM_THREADS=n_threads
        )
        assert result.returncode == 0, result.stderr
        outputs.append(re.sub(r"\d+\.\d\d s", "", result.stdout))
    assert outputs[0] == outputs[1]


@pytest.mark.filterwarnings("ignore:Maximum iterations:UserWarning")
def test_demo_reaches_97_percent_as_a_mean_over_ten_seeds():
    scores = []
    for seed in range(10):
        X_train, _, X_test, y_train, _, y_test = _digits(seed)
        model = _model(seed, 40, [128], verbose=False).fit(X_train, y_train)
        scores.append(model.score(X_test, y_test))
    assert sum(scores) / len(scores) >= 0.97


def test_demo_says_where_it_cannot_write(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    (tmp_path / "file").write_text("in the way")
    assert main(["demo", "--epochs", "1", "--output", str(tmp_path / "file")]) == 1
    assert "cannot write to" in capsys.readouterr().err


def test_info(tmp_path):
    result = run("info", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    for word in ("fasttrain", "numpy", "cpu_level", "n_threads", "compiler"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "command"),
        (["train"], "invalid choice"),
        (["demo", "--epochs", "0"], "must be at least 1"),
        (["demo", "--seed", "-1"], "must lie between"),
        (["demo", "--hidden", "x"], "invalid"),
    ],
)
def test_bad_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert re.fullmatch(r"fasttrain \d+\.\d+\S*\n", capsys.readouterr().out)
