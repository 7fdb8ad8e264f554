"""Networks as flat programs over one parameter buffer, and their training."""

from fasttrain.nn.network import Network
from fasttrain.nn.trainer import Trainer

__all__ = ["Network", "Trainer"]
