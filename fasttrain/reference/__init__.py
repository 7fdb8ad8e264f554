"""The kernels in plain NumPy: the specification that tests and benchmarks compare with."""
