# For the other kernel modules only, by cimport: nothing here is called from Python.
