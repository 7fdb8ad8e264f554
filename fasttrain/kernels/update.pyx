"""The pass of an optimizer over its parameters: one parallel region for all of them.

A step works on a list of targets, each a parameter with its gradient and its state.  Targets are cut into pieces of a
fixed number of elements, numbered through the whole list, and one parallel region walks the numbers: a list of many
small arrays costs one fork and join, and which thread takes a piece changes no bit, because every element is updated
by itself, and a block of 8-bit state never lies in two pieces.

Update holds the targets of an optimizer, whose parameters and state were checked once; a step then checks only the
gradients, and that the parameters' memory is still where it was.  The functions of optim.pyx build one target on the
stack.
"""
cimport cython
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport INFINITY, isfinite, sqrt
from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from fasttrain.kernels.checks cimport (
    check_contiguous,
    check_disjoint,
    check_option,
    check_writeable,
    param_array,
    param_array_like,
)
from fasttrain.kernels.memory cimport BFLOAT16, FLOAT16, FLOAT32, FLOAT64, Element, array_of_memory
from fasttrain.kernels.rules cimport (
    RMSPROP,
    Family,
    Options,
    Progress,
    options_of,
    progress_start,
    scalars_of,
)
from fasttrain.kernels.runtime cimport (
    ft_crew,
    ft_crew_join,
    ft_crew_leave,
    ft_crew_start,
    ft_crew_take,
    table,
    threads_for,
)
from fasttrain.kernels.table cimport (
    FT_AVERAGE,
    FT_BFLOAT16,
    FT_BLOCK,
    FT_FIRST_STEP,
    FT_HALF,
    FT_LION,
    FT_MOMENTUM,
    FT_NATIVE,
    FT_RMSPROP,
    FT_RMSPROP_CENTERED,
    FT_RMSPROP_CENTERED_MOMENTUM,
    FT_RMSPROP_MOMENTUM,
    FT_SGD,
    FT_SIGNED_CODE,
    FT_UNSIGNED_CODE,
    FT_UNSIGNED_STATE,
    FT_WHOLE_STATE,
    ft_update_scalars,
    ft_update_target,
)

import numpy as np

from fasttrain.kernels.rules import FAMILIES, STATES, VARIANTS

cnp.import_array()

# A parameter with its gradient and its state.
cdef struct Target:
    ft_update_target memory
    const char* grad
    Py_ssize_t size, first_piece
    int item        # bytes of an element of the arithmetic: 4 or 8
    int group
    int rule        # whose state memory.state holds; -1 at first
    bint fresh      # the state has been made since the last step
    bint general    # some of the memory is not of the rule's type, or masked

# One step, for all targets.  Of each group: its rule, and two sets of scalars, the second for fresh state.
cdef struct Step:
    const Target* targets
    Py_ssize_t n_targets, n_pieces
    const int* rules
    const ft_update_scalars* scalars
    bint fetch      # from memory, not from cache

# Elements of a piece.  Small: a few microseconds of work in cache, so little of the whole that the threads
# finish together.  Large, from a million elements on: reading memory, long runs are worth a fifth of the
# bandwidth.  Powers of two, so that pieces start on the cache lines that the array starts on, and with a block of
# 8-bit state.
cdef Py_ssize_t SMALL_PIECE = 8192, LARGE_PIECE = 65536, LARGE_SIZE = 1048576
# Parameter bytes for which one more thread pays for its start: rules without a division do less for each.
cdef double LIGHT_GRAIN = 524288, HEAVY_GRAIN = 131072
# Parameter bytes from which on a step finds its arrays in memory.
cdef double FETCH_BYTES = 2097152

STATE_DTYPES = ("float32", "bfloat16", "8bit")


# ---- the parallel pass -------------------------------------------------------------------------------------------

cdef inline Py_ssize_t _piece_size(Py_ssize_t size) noexcept nogil:
    return SMALL_PIECE if size < LARGE_SIZE else LARGE_PIECE


cdef Py_ssize_t n_pieces_of(Py_ssize_t size) noexcept nogil:
    return (size + _piece_size(size) - 1) // _piece_size(size)


cdef double grain_of(int rule) noexcept nogil:
    return LIGHT_GRAIN if rule in (FT_SGD, FT_MOMENTUM, FT_LION, FT_AVERAGE) else HEAVY_GRAIN


cdef void _update_piece(const Step* step, const Target* target, Py_ssize_t piece) noexcept nogil:
    cdef Py_ssize_t piece_size = _piece_size(target.size), start = piece * piece_size
    cdef Py_ssize_t n = min(piece_size, target.size - start), offset = start * target.item
    cdef int rule = step.rules[target.group], k
    cdef const ft_update_scalars* scalars = &step.scalars[2 * target.group + target.fresh]
    cdef const ft_update_target* memory = &target.memory
    cdef void* state[3]
    if target.general or memory.grad_format != FT_NATIVE or scalars.clip < INFINITY:
        if target.item == 4:
            table.f32.update_general[rule](start, n, memory, target.grad, scalars)
        else:
            table.f64.update_general[rule](start, n, memory, target.grad, scalars)
        return
    for k in range(3):
        state[k] = <char*> memory.state[k] + offset if memory.state[k] != NULL else NULL
    if target.item == 4:
        table.f32.update[rule](
            n, <float*> (<char*> memory.param + offset), <const float*> (target.grad + offset), <float**> state,
            step.fetch, scalars,
        )
    else:
        table.f64.update[rule](
            n, <double*> (<char*> memory.param + offset), <const double*> (target.grad + offset), <double**> state,
            step.fetch, scalars,
        )


cdef inline Py_ssize_t _target_of(const Target* targets, Py_ssize_t n_targets, Py_ssize_t piece) noexcept nogil:
    # the last target whose first piece is not beyond `piece`; an empty one shares its number with the next
    cdef Py_ssize_t low = 0, high = n_targets, middle
    while high - low > 1:
        middle = (low + high) // 2
        if targets[middle].first_piece <= piece:
            low = middle
        else:
            high = middle
    return low


cdef void _update_member(const Step* step, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t i, piece = ft_crew_take(crew, thread, 0, step.n_pieces)
    while piece >= 0:
        i = _target_of(step.targets, step.n_targets, piece)
        _update_piece(step, &step.targets[i], piece - step.targets[i].first_piece)
        piece = ft_crew_take(crew, thread, 0, step.n_pieces)
    ft_crew_leave(crew, thread)


cdef void run_step(const Step* step, int n_threads) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef ft_crew crew
    if n_threads == 1:
        for i in range(step.n_targets):
            for piece in range(n_pieces_of(step.targets[i].size)):
                _update_piece(step, &step.targets[i], piece)
        return
    ft_crew_start(&crew, n_threads)
    with parallel(num_threads=n_threads):
        _update_member(step, &crew)


# ---- the norm of all gradients -----------------------------------------------------------------------------------

cdef void _square_piece(const Target* target, Py_ssize_t piece, double* sums) noexcept nogil:
    cdef Py_ssize_t piece_size = _piece_size(target.size), start = piece * piece_size
    cdef Py_ssize_t n = min(piece_size, target.size - start)
    cdef double total
    if target.memory.grad_format != FT_NATIVE:
        total = table.sum_squares_16(target.memory.grad_format, n, <const uint16_t*> target.grad + start)
    elif target.item == 4:
        total = table.f32.sum_squares(n, <const float*> target.grad + start)
    else:
        total = table.f64.sum_squares(n, <const double*> target.grad + start)
    sums[target.first_piece + piece] = total


cdef void _square_member(const Target* targets, Py_ssize_t n_targets, Py_ssize_t n_pieces, double* sums,
                         ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t i, piece = ft_crew_take(crew, thread, 0, n_pieces)
    while piece >= 0:
        i = _target_of(targets, n_targets, piece)
        _square_piece(&targets[i], piece - targets[i].first_piece, sums)
        piece = ft_crew_take(crew, thread, 0, n_pieces)
    ft_crew_leave(crew, thread)


cdef void _square_all(const Target* targets, Py_ssize_t n_targets, Py_ssize_t n_pieces, double* sums,
                      int n_threads) noexcept nogil:
    """Sums of squares of every piece (n_pieces,)."""
    cdef Py_ssize_t piece, i
    cdef ft_crew crew
    if n_threads == 1:
        for i in range(n_targets):
            for piece in range(n_pieces_of(targets[i].size)):
                _square_piece(&targets[i], piece, sums)
        return
    ft_crew_start(&crew, n_threads)
    with parallel(num_threads=n_threads):
        _square_member(targets, n_targets, n_pieces, sums, &crew)


cdef double _norm(const Target* targets, Py_ssize_t n_targets, Py_ssize_t n_pieces, double n_bytes,
                  object n_threads) except? -1.0:
    """The norm of all gradients, added up in piece order."""
    cdef int threads = threads_for(n_threads, n_bytes, LIGHT_GRAIN)
    cdef double* sums = <double*> malloc(max(n_pieces, 1) * sizeof(double))
    cdef double total = 0.0
    cdef Py_ssize_t piece
    if sums == NULL:
        raise MemoryError(f"no memory for the sums of {n_pieces} pieces")
    with nogil:
        _square_all(targets, n_targets, n_pieces, sums, threads)
        for piece in range(n_pieces):
            total += sums[piece]
    free(sums)
    return sqrt(total)


def from_bfloat16(cnp.ndarray bits):
    """The float32 of bfloat16, whose bits are uint16."""
    return (np.asarray(bits, dtype=np.uint32) << np.uint32(16)).view(np.float32)


def to_bfloat16(cnp.ndarray values):
    """The bits of float32, C-contiguous, rounded to the nearest bfloat16."""
    cdef cnp.ndarray bits = np.empty((<object> values).shape, dtype=np.uint16)
    table.to_bfloat16(cnp.PyArray_SIZE(values), <const float*> cnp.PyArray_DATA(values),
                      <uint16_t*> cnp.PyArray_DATA(bits))
    return bits


def _wide_parts(cnp.ndarray grad):
    """The elements in float64, by pieces that need little memory."""
    flat = grad.reshape(-1)
    for start in range(0, flat.size, SMALL_PIECE):
        part = flat[start:start + SMALL_PIECE]
        if part.dtype == np.uint16:
            part = from_bfloat16(part)
        yield part.astype(np.float64)


def _norm_of_huge(list grads, list names):
    """The norm where squares are too large, by way of the largest, and the name of the first gradient that holds NaN
    or infinity, which leaves no norm."""
    largest = 0.0
    for grad, name in zip(grads, names):
        for part in _wide_parts(grad):
            magnitude = float(np.abs(part).max())
            if not isfinite(magnitude):
                return magnitude, name
            largest = max(largest, magnitude)
    total = sum(float(np.square(part / largest).sum()) for grad in grads for part in _wide_parts(grad))
    return largest * sqrt(total), None


# ---- one array ---------------------------------------------------------------------------------------------------

cdef int update_one(Family family, dict given, Progress* progress, object param, object grad, dict states,
                    object n_threads, str param_name="param", str grad_name="grad") except -1:
    cdef cnp.ndarray parameter = param_array(param, param_name), gradient, array
    cdef Options options
    cdef ft_update_scalars scalars[2]
    cdef Target target
    cdef Step step
    cdef int rule, threads, k
    cdef list taken = []
    gradient = param_array_like(grad, grad_name, parameter, param_name)
    check_disjoint(parameter, param_name, gradient, grad_name)
    options_of(family, given, &options)
    memset(&target, 0, sizeof(Target))
    target.fresh = progress.step == 0.0
    rule = scalars_of(family, &options, progress, &scalars[0])
    scalars[1] = scalars[0]
    if rule == FT_MOMENTUM:
        scalars[1].flags |= FT_FIRST_STEP
    for name, value in states.items():
        if value is not None:
            array = param_array_like(value, name, parameter, param_name)
            check_writeable(array, name)
            check_disjoint(array, name, parameter, param_name)
            check_disjoint(array, name, gradient, grad_name)
            for other in taken:
                check_disjoint(array, name, states[other], other)
            taken.append(name)
    for k, (name, _) in enumerate(STATES[rule]):
        array = states[name]
        if array is None:
            raise ValueError(f"{name} must be given with these options; numpy.zeros_like(param) makes it")
        target.memory.state[k] = cnp.PyArray_DATA(array)
    target.memory.param, target.grad = cnp.PyArray_DATA(parameter), cnp.PyArray_BYTES(gradient)
    target.size, target.item = cnp.PyArray_SIZE(parameter), cnp.PyArray_ITEMSIZE(parameter)
    step.targets, step.n_targets, step.n_pieces = &target, 1, n_pieces_of(target.size)
    step.rules, step.scalars = &rule, scalars
    step.fetch = cnp.PyArray_NBYTES(parameter) >= FETCH_BYTES
    threads = threads_for(n_threads, cnp.PyArray_NBYTES(parameter), grain_of(rule))
    with nogil:
        run_step(&step, threads)
    return 0


# ---- an optimizer's arrays ---------------------------------------------------------------------------------------

# The memory of a parameter or of its state; the arrays of an optimizer overlap nowhere, so that ranges sorted
# by `low` are sorted by `high` too.
cdef struct Range:
    char* low
    char* high
    Py_ssize_t target
    bint is_state


cdef cnp.ndarray _aligned(tuple shape, object dtype):
    # zeros on a cache line, so that no vector of them lies on two
    cdef Py_ssize_t n_bytes = np.dtype(dtype).itemsize
    for size in shape:
        n_bytes *= size
    cdef cnp.ndarray memory = np.zeros(n_bytes + 64, dtype=np.uint8)
    cdef Py_ssize_t start = -<Py_ssize_t> cnp.PyArray_BYTES(memory) & 63
    return memory[start:start + n_bytes].view(dtype).reshape(shape)


cdef str _dtype_name(cnp.ndarray array):
    return "bfloat16" if cnp.PyArray_TYPE(array) == cnp.NPY_UINT16 else str((<object> array).dtype)


cdef int _format_of(Element element, int item) noexcept:
    """How a gradient's elements are stored, for a parameter of arithmetic of `item` bytes; -1: not so."""
    if element == (FLOAT64 if item == 8 else FLOAT32):
        return FT_NATIVE
    if item == 8 or element == FLOAT64:
        return -1
    return FT_HALF if element == FLOAT16 else FT_BFLOAT16


cdef cnp.ndarray _mask_array(object mask, cnp.ndarray param, str name):
    """A copy: what the caller does to the mask later changes nothing."""
    array = np.array(mask, order="C")
    if array.dtype != np.bool_ or not cnp.PyArray_SAMESHAPE(array, param):
        raise ValueError(
            f"the mask of {name} must be boolean of its shape, {(<object> param).shape}, "
            f"got {array.dtype} {array.shape}"
        )
    return array


@cython.final
cdef class Update:
    """Parameters and the state of their rule, checked once, for one fused pass per step.

    Not public: :mod:`fasttrain.optim` is built on it.

    Parameters
    ----------
    family : str
        One of FAMILIES.
    owners : list
        The parameters, arrays or other exporters of memory; any shapes; float64, float32 or bfloat16.
    names, grad_names : list of str
        What errors call each parameter and its gradient.
    groups : list of int
        The group of options of each parameter.
    state_dtype : {"float32", "bfloat16", "8bit"}
        Of the state of float32 and bfloat16 parameters; "float32" also stands for float64 state of float64 ones.
    master_weights : bool
        bfloat16 parameters have a float32 copy, and are that copy rounded; else they are rounded stochastically.
    masks : list of array of bool or None
        Where False, parameter and state stay as they are.
    uint16_is_bfloat16 : bool
    n_threads : int, optional
        Of the steps to come, which are given it again; here it is only checked.
    """

    cdef readonly list params       # the memory of the owners; bfloat16 as uint16
    cdef readonly list states       # of each parameter a dict of arrays, in the order in which they are saved
    cdef list owners, names, grad_names, masks
    cdef str state_dtype
    cdef bint uint16_is_bfloat16
    cdef Family family
    cdef Target* targets
    cdef Range* ranges
    cdef Progress* progress         # of each group
    cdef Options* options
    cdef ft_update_scalars* scalars
    cdef int* rules
    cdef int n_groups
    cdef Py_ssize_t n_targets, n_ranges, n_pieces
    cdef double n_bytes          # of the parameters

    def __cinit__(
        self, str family, list owners, list names, list grad_names, list groups, str state_dtype, bint master_weights,
        list masks, bint uint16_is_bfloat16, object n_threads=None,
    ):
        cdef Py_ssize_t i
        self.family = <Family> check_option(family, "family", FAMILIES)
        check_option(state_dtype, "state_dtype", STATE_DTYPES)
        threads_for(n_threads, 0.0, 1.0)
        self.owners, self.names, self.grad_names = owners, names, grad_names
        self.state_dtype, self.uint16_is_bfloat16 = state_dtype, uint16_is_bfloat16
        self.n_targets, self.n_groups = len(owners), max(groups) + 1
        self.params, self.masks, self.states = [], [], [{} for _ in owners]
        self.targets = <Target*> calloc(self.n_targets, sizeof(Target))
        self.progress = <Progress*> calloc(self.n_groups, sizeof(Progress))
        self.options = <Options*> calloc(self.n_groups, sizeof(Options))
        self.scalars = <ft_update_scalars*> calloc(2 * self.n_groups, sizeof(ft_update_scalars))
        self.rules = <int*> calloc(self.n_groups, sizeof(int))
        if (self.targets == NULL or self.progress == NULL or self.options == NULL or self.scalars == NULL
                or self.rules == NULL):
            raise MemoryError()
        for i in range(self.n_groups):
            progress_start(&self.progress[i])
        for i in range(self.n_targets):
            self._add_target(i, groups[i], master_weights, masks[i])
        self._sort_ranges()
        if master_weights:
            self._make_masters()

    cdef int _add_target(self, Py_ssize_t i, int group, bint master_weights, object mask) except -1:
        cdef Element element
        cdef str name = self.names[i]
        cdef cnp.ndarray param = array_of_memory(self.owners[i], name, &element, self.uint16_is_bfloat16)
        cdef Target* target = &self.targets[i]
        if element == FLOAT16:
            raise TypeError(f"{name} must have dtype float32, float64 or bfloat16, got float16")
        if element == FLOAT64 and self.state_dtype != "float32":
            raise ValueError(
                f"state_dtype={self.state_dtype!r} is for float32 and bfloat16 parameters, but {name} has dtype float64"
            )
        check_contiguous(param, name)
        check_writeable(param, name)
        self.params.append(param)
        self.masks.append(None if mask is None else _mask_array(mask, param, name))
        target.memory.param = cnp.PyArray_DATA(param)
        target.memory.key = (i + 1) * <uint64_t> 0xD1B54A32D192ED03
        target.size = cnp.PyArray_SIZE(param)
        target.first_piece = self.n_pieces
        target.item = 8 if element == FLOAT64 else 4
        target.group, target.rule, target.fresh = group, -1, True
        self.n_pieces += n_pieces_of(target.size)
        self.n_bytes += cnp.PyArray_NBYTES(param)
        if element == BFLOAT16:
            target.general = True
            if not master_weights:
                target.memory.param_format = FT_BFLOAT16
        if mask is not None:
            if self.state_dtype == "8bit":
                raise ValueError("a mask needs state of 'float32' or 'bfloat16', got state_dtype='8bit'")
            target.general = True
            target.memory.mask = <const uint8_t*> cnp.PyArray_DATA(self.masks[i])
        return 0

    cdef int _make_masters(self) except -1:
        cdef Py_ssize_t i
        for i in range(self.n_targets):
            if cnp.PyArray_ITEMSIZE(self.params[i]) == 2:
                self.states[i]["master"] = self._whole(i)
                self.targets[i].memory.copy = self.targets[i].memory.param
                self.targets[i].memory.param = cnp.PyArray_DATA(self.states[i]["master"])
        return 0

    def __dealloc__(self):
        free(self.targets)
        free(self.ranges)
        free(self.progress)
        free(self.options)
        free(self.scalars)
        free(self.rules)

    cdef object _dtype_of(self, Py_ssize_t i):
        return np.dtype(np.float64 if self.targets[i].item == 8 else np.float32)

    cdef cnp.ndarray _whole(self, Py_ssize_t i):
        """The parameter's values, as wide as its arithmetic."""
        cdef cnp.ndarray param = self.params[i]
        if "master" in self.states[i]:
            param = self.states[i]["master"]
        cdef cnp.ndarray values = _aligned((<object> param).shape, self._dtype_of(i))
        if cnp.PyArray_ITEMSIZE(param) == 2:    # without a temporary of its size
            bits = (<object> values).view(np.uint32)
            bits[...] = param
            bits <<= 16
        else:
            values[...] = param
        return values

    cdef int _bind(self) except -1:
        """Let every target have the state of its group's rule: what is missing is made, and starts the state afresh."""
        cdef Py_ssize_t i
        cdef bint changed = False
        for i in range(self.n_targets):
            if self.targets[i].rule != self.rules[self.targets[i].group]:
                self._bind_target(i, self.rules[self.targets[i].group])
                changed = True
        if changed:
            self._sort_ranges()
        return 0

    cdef int _bind_target(self, Py_ssize_t i, int rule) except -1:
        cdef Target* target = &self.targets[i]
        cdef dict arrays = self.states[i]
        cdef cnp.ndarray array
        cdef int k, format
        target.rule, target.fresh = -1, False
        target.general = (
            target.memory.mask != NULL or target.memory.copy != NULL or target.memory.param_format != FT_NATIVE
        )
        for k in range(3):
            target.memory.state[k], target.memory.unit[k], target.memory.state_format[k] = NULL, NULL, FT_NATIVE
        for k, (name, kind) in enumerate(STATES[rule]):
            format = self._state_format(kind)
            if name not in arrays:
                target.fresh = True
                arrays.update(self._new_state(i, name, kind))
            array = arrays[name]
            if (<object> array).dtype != self._kinds_of_state(i, name, kind)[name][1]:
                raise ValueError(
                    f"{name} of {self.names[i]} is kept as {(<object> array).dtype} and cannot be gone on with: "
                    f"centered may only be switched with state_dtype='float32', got {self.state_dtype!r}"
                )
            target.memory.state[k] = cnp.PyArray_DATA(array)
            target.memory.state_format[k] = format
            target.general = target.general or format != FT_NATIVE
            if format == FT_SIGNED_CODE or format == FT_UNSIGNED_CODE:
                target.memory.unit[k] = <float*> cnp.PyArray_DATA(arrays[name + "_unit"])
        target.rule = rule
        return 0

    cdef int _state_format(self, int kind):
        if kind == FT_WHOLE_STATE or self.state_dtype == "float32":
            return FT_NATIVE
        if self.state_dtype == "bfloat16":
            return FT_BFLOAT16
        return FT_UNSIGNED_CODE if kind == FT_UNSIGNED_STATE else FT_SIGNED_CODE

    cdef dict _kinds_of_state(self, Py_ssize_t i, str name, int kind):
        """Of the arrays that hold one of the rule's states: name to (shape, dtype)."""
        cdef tuple shape = (<object> self.params[i]).shape
        cdef int format = self._state_format(kind)
        if format == FT_NATIVE:
            return {name: (shape, self._dtype_of(i))}
        if format == FT_BFLOAT16:
            return {name: (shape, np.dtype(np.uint16))}
        n_blocks = (self.targets[i].size + FT_BLOCK - 1) // FT_BLOCK
        return {name: (shape, np.dtype(np.uint8)), name + "_unit": ((n_blocks,), np.dtype(np.float32))}

    cdef dict _new_state(self, Py_ssize_t i, str name, int kind):
        if name == "z":
            return {name: self._whole(i)}
        return {key: _aligned(shape, dtype) for key, (shape, dtype) in self._kinds_of_state(i, name, kind).items()}

    def check_options(self, list options):
        """Raise for options, one dict for each group, that a step would refuse."""
        self._take_options(options, 1.0, INFINITY)

    def make_states(self, list options):
        """Make the state that a step with these options, one dict for each group, begins with."""
        self._take_options(options, 1.0, INFINITY)
        self._bind()
        for i in range(self.n_targets):
            self.targets[i].fresh = False

    def possible_states(self, list options):
        """Of each parameter, the arrays that its state may have, name to (shape, dtype), and the names of those that
        every step makes.  options: of each group; only what they cannot change any more counts."""
        cdef Py_ssize_t i
        cdef list possible = []
        for i in range(self.n_targets):
            kinds, made = {}, set()
            plainest, richest = VARIANTS[self.family]
            if self.family == RMSPROP and self.state_dtype != "float32":
                # how narrow the mean of squares is depends on centered
                centered = options[self.targets[i].group]["centered"]
                plainest = FT_RMSPROP_CENTERED if centered else FT_RMSPROP
                richest = FT_RMSPROP_CENTERED_MOMENTUM if centered else FT_RMSPROP_MOMENTUM
            if "master" in self.states[i]:
                kinds["master"] = ((<object> self.params[i]).shape, self._dtype_of(i))
            for name, kind in STATES[richest]:
                found = self._kinds_of_state(i, name, kind)
                kinds.update(found)
                if (name, kind) in STATES[plainest]:
                    made.update(found)
            possible.append((kinds, made))
        return possible

    def set_states(self, list states):
        """Take over copies of states that have been checked; of each parameter a dict, maybe without any array."""
        cdef Py_ssize_t i
        for i in range(self.n_targets):
            own = self.states[i]
            for name in [name for name in own if name != "master" and name not in states[i]]:
                del own[name]
            for name, value in states[i].items():
                if name not in own:
                    own[name] = _aligned(value.shape, value.dtype)
                own[name][...] = value
            self.targets[i].rule = -1
        self._sort_ranges()

    @property
    def is_plain(self):
        """Whether parameters and state are all of the rule's type, and nothing is masked."""
        return self.state_dtype == "float32" and not any(self.targets[i].general for i in range(self.n_targets))

    def round_masters(self):
        """Round the float32 copies into their bfloat16 parameters, after they were changed from outside."""
        cdef Py_ssize_t i
        for i in range(self.n_targets):
            if self.targets[i].memory.copy != NULL:
                table.to_bfloat16(
                    self.targets[i].size, <const float*> self.targets[i].memory.param,
                    <uint16_t*> self.targets[i].memory.copy,
                )

    def get_progress(self):
        """Of each group a dict of what its rule counts."""
        return [self.progress[i] for i in range(self.n_groups)]

    def set_progress(self, list progress):
        for i in range(self.n_groups):
            self.progress[i] = progress[i]

    cdef int _sort_ranges(self) except -1:
        cdef list order = []
        cdef Py_ssize_t i
        cdef cnp.ndarray array
        for i in range(self.n_targets):
            for is_state, array in [(False, self.params[i])] + [(True, state) for state in self.states[i].values()]:
                if cnp.PyArray_SIZE(array):
                    order.append((<size_t> cnp.PyArray_BYTES(array), cnp.PyArray_NBYTES(array), i, is_state))
        order.sort()
        free(self.ranges)
        self.n_ranges = len(order)
        self.ranges = <Range*> malloc(max(self.n_ranges, 1) * sizeof(Range))
        if self.ranges == NULL:
            self.n_ranges = 0
            raise MemoryError()
        for i, (low, n_bytes, target, is_state) in enumerate(order):
            self.ranges[i].low = <char*> <size_t> low
            self.ranges[i].high = self.ranges[i].low + <Py_ssize_t> n_bytes
            self.ranges[i].target = target
            self.ranges[i].is_state = is_state
            if i and self.ranges[i - 1].high > self.ranges[i].low:
                # only parameters can overlap: the state was allocated here
                one, two = sorted([self.ranges[i - 1].target, target])
                check_disjoint(self.params[two], self.names[two], self.params[one], self.names[one])
        return 0

    cdef int _check_not_owned(self, cnp.ndarray grad, str name) except -1:
        # grad is C-contiguous
        cdef char* low = cnp.PyArray_BYTES(grad)
        cdef char* high = low + cnp.PyArray_NBYTES(grad)
        cdef Py_ssize_t first = 0, last = self.n_ranges, middle
        while first < last:     # the first range that ends beyond low
            middle = (first + last) // 2
            if self.ranges[middle].high > low:
                last = middle
            else:
                first = middle + 1
        if first < self.n_ranges and self.ranges[first].low < high and low < high:
            owner = self.names[self.ranges[first].target]
            whose = f"the state of {owner}" if self.ranges[first].is_state else owner
            raise ValueError(f"{name} must not overlap {whose} in memory")
        return 0

    cdef int _take_options(self, list options, double grad_factor, double clip) except -1:
        """Rules and scalars of the next step; the progress is left as it is."""
        cdef int i
        cdef Progress progress
        cdef ft_update_scalars* s
        if len(options) != self.n_groups:
            raise ValueError(
                f"param_groups must hold the {self.n_groups} group(s) that the optimizer was made with, "
                f"got {len(options)}"
            )
        for i in range(self.n_groups):
            try:
                options_of(self.family, options[i], &self.options[i])
            except KeyError as error:
                raise ValueError(f"param_groups[{i}] lacks the option {error}") from None
        for i in range(self.n_groups):
            s = &self.scalars[2 * i]
            progress = self.progress[i]
            self.rules[i] = scalars_of(self.family, &self.options[i], &progress, s)
            s.grad_factor *= grad_factor
            s.clip = clip
            self.scalars[2 * i + 1] = s[0]
            self.scalars[2 * i + 1].flags |= FT_FIRST_STEP if self.rules[i] == FT_MOMENTUM else 0
        return 0

    cdef int _take_grads(self, list grads, list taken) except -1:
        """Let the targets point to the gradients' memory, which lives as long as the list `taken` that it goes to."""
        cdef Py_ssize_t i
        cdef cnp.ndarray param, grad
        cdef Target* target
        cdef Element element
        if len(grads) != self.n_targets:
            raise ValueError(f"grads must hold {self.n_targets} arrays, as params does, got {len(grads)}")
        for i in range(self.n_targets):
            target = &self.targets[i]
            param = <cnp.ndarray> self.params[i]
            if self.owners[i] is not param:     # who exported it may have moved it since
                param = array_of_memory(self.owners[i], self.names[i], &element, self.uint16_is_bfloat16)
            if (
                cnp.PyArray_DATA(param) != (target.memory.copy if target.memory.copy != NULL else target.memory.param)
                or cnp.PyArray_SIZE(param) != target.size
            ):
                raise ValueError(f"{self.names[i]} was resized or moved in memory after the optimizer was made")
            check_contiguous(param, self.names[i])
            check_writeable(param, self.names[i])
            grad = array_of_memory(grads[i], self.grad_names[i], &element, self.uint16_is_bfloat16)
            target.memory.grad_format = _format_of(element, target.item)
            if target.memory.grad_format < 0:
                allowed = "float64" if target.item == 8 else "float32, float16 or bfloat16"
                raise TypeError(
                    f"{self.grad_names[i]} must have dtype {allowed}, as {self.names[i]} has {_dtype_name(param)}, "
                    f"got {_dtype_name(grad)}"
                )
            if not cnp.PyArray_SAMESHAPE(grad, param):
                raise ValueError(
                    f"{self.grad_names[i]} must have the shape of {self.names[i]}, {(<object> param).shape}, "
                    f"got {(<object> grad).shape}"
                )
            check_contiguous(grad, self.grad_names[i])
            self._check_not_owned(grad, self.grad_names[i])
            target.grad = cnp.PyArray_BYTES(grad)
            taken.append(grad)
        return 0

    def check_grads(self, list grads):
        """The gradients' memory as arrays; raises for gradients that a step would refuse."""
        cdef list taken = []
        self._take_grads(grads, taken)
        return taken

    def norm(self, list grads, *, n_threads=None):
        """The norm of all gradients together, and the name of the first that holds NaN or infinity, or None."""
        cdef list taken = []
        self._take_grads(grads, taken)
        cdef double norm = _norm(self.targets, self.n_targets, self.n_pieces, self.n_bytes, n_threads)
        if isfinite(norm):
            return norm, None
        return _norm_of_huge(taken, self.grad_names)

    def step(
        self, list options, list grads, *, double grad_factor=1.0, double clip=INFINITY, n_threads=None,
    ):
        """One step with the options of each group; see the classes of fasttrain.optim.

        grads, one for each parameter, are multiplied by grad_factor, then held within +-clip.
        """
        cdef Step step
        cdef int i, threads
        cdef double grain = LIGHT_GRAIN
        cdef list taken = []
        self._take_options(options, grad_factor, clip)
        self._take_grads(grads, taken)
        for i in range(self.n_groups):
            grain = min(grain, grain_of(self.rules[i]))
        threads = threads_for(n_threads, self.n_bytes, grain)
        self._bind()
        step.targets, step.n_targets, step.n_pieces = self.targets, self.n_targets, self.n_pieces
        step.rules, step.scalars, step.fetch = self.rules, self.scalars, self.n_bytes >= FETCH_BYTES
        with nogil:
            run_step(&step, threads)
        for i in range(self.n_targets):
            self.targets[i].fresh = False
        self._advance()

    cdef int _advance(self) except -1:
        cdef int i
        cdef ft_update_scalars scalars
        for i in range(self.n_groups):
            scalars_of(self.family, &self.options[i], &self.progress[i], &scalars)
        return 0
