"""fasttrain.show_config()."""
import numpy as np
import pytest

import fasttrain


def test_dict_and_print_tell_the_same(capsys):
    config = fasttrain.show_config(mode="dict")
    assert config["fasttrain"] == fasttrain.__version__
    assert config["numpy"] == np.__version__
    assert config["n_threads"] == fasttrain.get_num_threads()
    assert config["cpu_level"] in config["available_cpu_levels"]
    assert fasttrain.show_config() is None
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == list(config)
    assert any(line.split() == ["cpu_level:", config["cpu_level"]] for line in lines)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match=r"mode must be 'print' or 'dict', got 'json'"):
        fasttrain.show_config(mode="json")
