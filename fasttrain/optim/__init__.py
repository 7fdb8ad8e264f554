"""How to minimise: update rules that change the caller's arrays in place, and L-BFGS for full batches."""
from fasttrain.optim.adam import Adam
from fasttrain.optim.lbfgs import LBFGSResult, minimize_lbfgs
from fasttrain.optim.sgd import SGD

__all__ = ["SGD", "Adam", "LBFGSResult", "minimize_lbfgs"]
