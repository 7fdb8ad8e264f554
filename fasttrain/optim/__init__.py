"""How to minimise: update rules that change the caller's arrays in place."""
from fasttrain.optim.adam import Adam
from fasttrain.optim.sgd import SGD

__all__ = ["SGD", "Adam"]
