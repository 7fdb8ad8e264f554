"""The examples of README.md and docs/ run as shown, and the README's commands are what it says they are."""
import doctest
import re
from pathlib import Path

import pytest

import fasttrain.metrics

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [page for page in (README, *sorted((ROOT / "docs").glob("*.md"))) if page.exists()]
pytestmark = pytest.mark.skipif(not PAGES, reason="README.md and docs/ are not beside tests/")
needs_readme = pytest.mark.skipif(not README.exists(), reason="README.md is not beside tests/")


def blocks(page, language):
    """(heading, text) of the fenced blocks; the heading is that of the section."""
    if not page.exists():
        return []
    found, heading = [], ""
    for part in re.finditer(r"^#+ ([^\n]+)$|^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        if part[1]:
            heading = part[1]
        elif part[2] == language:
            found.append((heading, part[3]))
    return found


@pytest.mark.parametrize(
    ("page", "heading", "text"),
    [pytest.param(page, *block, id=f"{page.name}: {block[0]}") for page in PAGES for block in blocks(page, "python")],
)
def test_examples(page, heading, text, tmp_path, monkeypatch):
    for module in re.findall(r"^>>> (?:import|from) (torch|safetensors)\b", text, re.MULTILINE):
        pytest.importorskip(module, reason=f"the example imports {module}")
    monkeypatch.chdir(tmp_path)  # some write files
    example = doctest.DocTestParser().get_doctest(text, {}, heading, str(page), 0)
    assert example.examples
    report = []
    doctest.DocTestRunner(optionflags=doctest.FAIL_FAST).run(example, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)[^)]*\)", page.read_text()):
        path = page.parent / target
        # the wheel is tested beside the pages alone
        assert path.exists() or not (ROOT / "CHANGELOG.md").exists(), target


@needs_readme
def test_gradient_descent_and_numpy_give_the_same_theta():
    ours, theirs = (text for heading, text in blocks(README, "python") if heading.startswith("Gradient descent"))
    assert ours.splitlines()[-1] == theirs.splitlines()[-1]


@needs_readme
def test_there_are_two_commands_that_start_from_nothing():
    commands = [line for _, text in blocks(README, "sh") for line in text.splitlines()]
    assert len(commands) == 2
    assert all(command.startswith("python3 -m venv ") for command in commands)
    assert commands[0].endswith("fasttrain demo")
    assert commands[1].endswith("pytest")


@pytest.mark.skipif(not (ROOT / "docs").exists(), reason="docs/ is not beside tests/")
def test_names_beside_those_of_other_libraries_exist():
    rows = re.findall(r"^\| `[A-Z].*?\| (.*?) \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(names) > 20
    assert not names - set(fasttrain.metrics.__all__)
