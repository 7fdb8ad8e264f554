"""The README's examples run as shown, and its commands are what it says they are."""
import doctest
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="README.md is not beside tests/")


def blocks(language):
    """(heading, text) of the fenced blocks; the heading is that of the section."""
    if not README.exists():
        return []
    found, heading = [], ""
    for part in re.finditer(r"^#+ ([^\n]+)$|^```(\w+)\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL):
        if part[1]:
            heading = part[1]
        elif part[2] == language:
            found.append((heading, part[3]))
    return found


@pytest.mark.parametrize(("heading", "text"), blocks("python"))
def test_examples(heading, text):
    example = doctest.DocTestParser().get_doctest(text, {}, heading, str(README), 0)
    assert example.examples
    report = []
    doctest.DocTestRunner(optionflags=doctest.FAIL_FAST).run(example, out=report.append)
    assert not report, "".join(report)


def test_gradient_descent_and_numpy_give_the_same_theta():
    ours, theirs = (text for heading, text in blocks("python") if heading.startswith("Gradient descent"))
    assert ours.splitlines()[-1] == theirs.splitlines()[-1]


def test_there_are_two_commands_that_start_from_nothing():
    commands = [line for _, text in blocks("sh") for line in text.splitlines()]
    assert len(commands) == 2
    assert all(command.startswith("python3 -m venv ") for command in commands)
    assert commands[0].endswith("fasttrain demo")
    assert commands[1].endswith("pytest")
