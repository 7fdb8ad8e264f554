"""NumPy's side of a row in a process of its own, where OpenBLAS can be told which kernels to use.

Reads pickled requests on standard input and answers on standard output (peers.py): it times itself, so
that the pipe is not part of what is measured.
"""
import pickle
import sys

import numpy as np
import threadpoolctl


def matmul(a, b, out):
    return np.matmul(a, b, out=out)


def linear_two_pass(X, y, theta):
    """Value and gradient of the half squared error: what one writes in NumPy, two passes over X."""
    residual = X @ theta - y
    return 0.5 * np.dot(residual, residual), X.T @ residual


CALLS = {"matmul": matmul, "linear_two_pass": linear_two_pass}


def main():
    from harness import Contestant, settle  # run as a script, with benchmarks/ first on the path

    controller = threadpoolctl.ThreadpoolController()

    def set_threads(n_threads):
        controller.limit(limits=n_threads, user_api="blas")

    replies = sys.stdout.buffer
    contestant = None
    while True:
        try:
            request, *arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        if request == "architecture":
            reply = [library.get("architecture") for library in controller.info()]
        elif request == "load":
            name, arrays = arguments
            call = CALLS[name]
            contestant = Contestant("", lambda call=call, arrays=arrays: call(*arrays), 1, set_threads)
            reply = None
        else:  # "sample"
            contestant.n_threads, n_calls, warm = arguments
            reply = contestant.sample(n_calls, warm)
            settle()
        pickle.dump(reply, replies)
        replies.flush()


if __name__ == "__main__":
    main()
