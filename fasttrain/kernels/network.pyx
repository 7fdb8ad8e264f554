"""The engine: a network is a flat program over one parameter buffer and one arena.

A program is a list of steps; each has its kind, its sizes and its places in the parameter buffer.  A session
copies the list and adds the places in its own arena, for one batch size and element type.  Training walks
two phases per batch, or three, in one parallel region for the whole epoch:

  first    pieces of the first step's output: some rows of one panel of its columns.
  rows     pieces of the batch's rows: forward through all steps (but the first where it has had its own
           phase), loss, backward to every step's delta (the gradient by its output).  Rows do not depend
           on each other.
  updates  pieces of the parameters: the gradient of a block of weights, its update, and the block's
           packed copies for the next batch, while all of it is in cache.

An epoch of several batches works on copies of the parameters and moments in which wide weights lie panel by
panel, as the products read them.  A panel of the first step is then usually read in the phase `first` and
written in the phase `updates` by the same thread, out of its own cache: a line that one core writes after
another has read it costs more than ten that it has for itself.  To that end every share of the update phase
has the same part of each step.  The rows of a batch are gathered while the one before it is updated, or else,
where there is no phase `first`, when they are used.

Between phases one thread does what is serial: the batch's loss, the scalars of the update, the next batch.
Pieces are cut by sizes alone and their sums are added in order, so the bits do not depend on the number of
threads.  A step kind is one forward, one backward and one update; one whose parameters are no matrix leaves them
in plain rows.
"""
import numpy as np

from fasttrain.kernels.rules import FAMILIES, state_names

cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport NAN, isfinite
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from fasttrain.kernels.checks cimport (
    check_contiguous,
    check_disjoint,
    check_option,
    check_shape,
    check_writeable,
    real_array,
    real_array_like,
    row_stride,
)
from fasttrain.kernels.linalg cimport depth_blocks, worth_packing
from fasttrain.kernels.rules cimport (
    Family,
    Options,
    Progress,
    options_of,
    scalars_of,
)
from fasttrain.kernels.runtime cimport (
    ft_crew,
    ft_crew_advance,
    ft_crew_finish,
    ft_crew_join,
    ft_crew_leave,
    ft_crew_start,
    ft_crew_take,
    ft_crew_wait,
    table,
    threads_for,
)
from fasttrain.kernels.table cimport (
    FT_FIRST_STEP,
    FT_GELU,
    FT_IDENTITY,
    FT_MATH_SIGMOID,
    FT_MOMENTUM,
    FT_SILU,
    ft_ops_f32,
    ft_ops_f64,
    ft_packing,
    ft_update_scalars,
)
from fasttrain.kernels.vector_math import ACTIVATIONS

cnp.import_array()

cdef extern from "random.h" nogil:
    enum:
        FT_STREAM_INITIALIZE, FT_STREAM_SHUFFLE
    double ft_random_uniform(uint64_t seed, uint32_t stream, uint32_t step, uint64_t position)
    void ft_random_permutation(uint64_t seed, uint32_t stream, uint32_t step, uint32_t n, uint32_t* rows)

ctypedef fused real:
    float
    double

LOSSES = ("half_squared_error", "binary_cross_entropy", "cross_entropy")
cdef enum:
    HALF_SQUARED_ERROR, BINARY_CROSS_ENTROPY, CROSS_ENTROPY

# Multiply-adds of a batch that pay for one more thread: with less, a thread that has lost its core costs more than
# the others gain.  And those of a piece of rows (about 10 microseconds).
cdef double THREAD_GRAIN = 1.5e6
cdef double PIECE_GRAIN = 4e5
# Rows of a piece at least, so that a register tile of weights is used several times.
cdef Py_ssize_t MIN_PIECE_ROWS = 16
# Weights whose gradient and update are one piece; its rows are a multiple of the widest register panel.
cdef Py_ssize_t UPDATE_WEIGHTS = 8192
cdef Py_ssize_t UPDATE_ROWS = 32
# Batches and rows of an epoch that pay for parameters in panels, and bytes of them at most, since the copies take
# time and memory: measured for 784-128-10, where 3 to 8 batches of 16 to 256 rows break even, and for
# 784-1024-1024-10, where 8 to 32 do.
cdef Py_ssize_t PANEL_BATCHES = 8, PANEL_ROWS = 256, PANEL_BYTES = 32 << 20
# Weights from which the first step has its own phase, and bytes of a batch's rows at most, which every thread reads.
cdef Py_ssize_t FIRST_WEIGHTS = 16384, FIRST_BYTES = 1 << 20
# Rows of a piece of that phase at most.
cdef Py_ssize_t FIRST_ROWS = 96
# Rows of a piece when predicting.
cdef Py_ssize_t PREDICT_ROWS = 96

ctypedef struct program_step:
    int activation
    Py_ssize_t n_in, n_out
    Py_ssize_t weight, bias                 # places in the parameter buffer
    Py_ssize_t width                        # columns of a panel of the weights in training; n_out: plain rows
    Py_ssize_t packed, turned               # places of the packed weights and their transpose, or -1
    Py_ssize_t output, output_stride        # place in the arena: (batch, n_out)
    Py_ssize_t saved                        # where the backward pass finds what it needs: output or pre-activation
    Py_ssize_t delta                        # place of the gradient by the output
    Py_ssize_t first_piece, n_pieces        # of the update phase: rows of a panel of the weights
    Py_ssize_t piece_rows, panel_pieces     # rows of a piece, pieces of a panel
    Py_ssize_t n_ordered                    # pieces that have their place in the order

ctypedef struct session:
    program_step* steps
    int n_steps, loss, rule
    bint l2_per_batch, train_biases, failed
    bint by_columns                         # the first step has its own phase
    Py_ssize_t n_rows, batch, n_in, n_out, n_parameters
    const char* x                           # (n_rows, n_in)
    Py_ssize_t x_stride
    const int64_t* labels                   # (n_rows,), or
    const char* targets                     # (n_rows, n_out)
    const char* row_weight                  # (n_rows,) or NULL
    const uint32_t* rows                    # the epoch's order, or NULL for the data's own
    char* collected                         # (n_parameters,): gradients go there instead of updating, or NULL
    char* states[3]                         # (n_parameters,) each: what the update rule keeps, or NULL
    char* panels                            # of parameters and states, panel_size elements each, or NULL
    Py_ssize_t panel_size
    char* arena
    char* pack
    Py_ssize_t arena_size, pack_size        # in elements
    # places of the gathered rows, their targets and weights; by columns there are two of each, slot_size apart
    Py_ssize_t input, input_stride, target, weights, slot_size
    int64_t* batch_labels                   # (slots, batch)
    double* values                          # one partial sum per piece
    Py_ssize_t n_update_pieces
    Py_ssize_t* update_order                # the pieces of the update phase in the order of its shares
    char* gradients                         # of the pieces of the update phase that may be in hand at once
    Py_ssize_t gradient_size                # of each, in elements
    bint gradient_by_piece                  # there are fewer pieces than threads
    ft_crew crew
    # the batch in hand; written by one thread between two phases
    Py_ssize_t start, count, slot, n_row_pieces, n_first_chunks
    double weight_sum, scale, objective, weight_total, decay
    Family family
    Options options
    Progress progress                       # updates done so far
    ft_update_scalars of_weights, of_biases
    double l2


# ---- the kernels of an element type ---------------------------------------------------------------------

cdef inline const ft_ops_f32* f32() noexcept nogil:
    return &table.f32


cdef inline const ft_ops_f64* f64() noexcept nogil:
    return &table.f64


cdef void _gemm(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const real* a, Py_ssize_t a_row_stride,
                Py_ssize_t a_column_stride, const real* b, Py_ssize_t b_row_stride, Py_ssize_t b_panel_stride,
                real* c, Py_ssize_t c_row_stride, const real* bias) noexcept nogil:
    """c = a b [+ bias] on this thread, in blocks of depth."""
    cdef Py_ssize_t block_depth = f32().block_depth if real is float else f64().block_depth
    cdef Py_ssize_t n_blocks = depth_blocks(k, block_depth)
    cdef Py_ssize_t block, start, depth
    for block in range(n_blocks):
        start = k * block // n_blocks
        depth = k * (block + 1) // n_blocks - start
        if real is float:
            f32().gemm_block(m, n, depth, a + start * a_column_stride, a_row_stride, a_column_stride,
                             b + start * b_row_stride, b_row_stride, b_panel_stride, c, c_row_stride, block > 0,
                             bias if block == 0 else NULL)
        else:
            f64().gemm_block(m, n, depth, a + start * a_column_stride, a_row_stride, a_column_stride,
                             b + start * b_row_stride, b_row_stride, b_panel_stride, c, c_row_stride, block > 0,
                             bias if block == 0 else NULL)


cdef inline Py_ssize_t _panel(real* of_type) noexcept nogil:
    return f32().tile_columns if real is float else f64().tile_columns


cdef inline void _pack_panels(Py_ssize_t k, Py_ssize_t n, const real* b, Py_ssize_t b_row_stride,
                              Py_ssize_t b_column_stride, real* packed) noexcept nogil:
    if real is float:
        f32().pack_panels(k, n, b, b_row_stride, b_column_stride, packed)
    else:
        f64().pack_panels(k, n, b, b_row_stride, b_column_stride, packed)


cdef void _pack_block(const real* parameters, const program_step* step, real* pack, Py_ssize_t row, Py_ssize_t end,
                      Py_ssize_t column, Py_ssize_t width) noexcept nogil:
    """Bring rows row .. end - 1 of one panel of a step's weights, `width` columns from `column` on, into the step's
    packed copies; row is a multiple of UPDATE_ROWS.  Weights with a copy `packed` lie in plain rows."""
    cdef Py_ssize_t panel = _panel(pack), i, place
    cdef const real* weight = parameters + step.weight + column * step.n_in + row * width
    if step.packed >= 0:
        for i in range((width + panel - 1) // panel):
            place = i * panel
            _pack_panels(end - row, min(panel, width - place), weight + place, width, 1,
                         pack + step.packed + place * step.n_in + row * panel)
    if step.turned >= 0:
        for i in range((end - row + panel - 1) // panel):
            place = i * panel
            _pack_panels(width, min(panel, end - row - place), weight + place * width, 1, width,
                         pack + step.turned + (row + place) * step.n_out + column * panel)


cdef inline void _activate(int activation, Py_ssize_t n_rows, Py_ssize_t n_columns, const real* z,
                           Py_ssize_t z_stride, real* y, Py_ssize_t y_stride) noexcept nogil:
    if real is float:
        f32().activation_forward(activation, n_rows, n_columns, z, z_stride, y, y_stride)
    else:
        f64().activation_forward(activation, n_rows, n_columns, z, z_stride, y, y_stride)


cdef Py_ssize_t _loss(int loss, Py_ssize_t n_rows, Py_ssize_t n_columns, const real* prediction, Py_ssize_t stride,
                      const int64_t* labels, const real* target, const real* row_weight, double scale,
                      real* grad, double* value) noexcept nogil:
    """Loss of some rows: added to value; grad (with the prediction's strides) gets scale times its gradient."""
    if loss == CROSS_ENTROPY:
        if real is float:
            return f32().cross_entropy(n_rows, n_columns, prediction, stride, labels, NULL, row_weight, 0.0, -1,
                                       scale, grad, stride, value)
        else:
            return f64().cross_entropy(n_rows, n_columns, prediction, stride, labels, NULL, row_weight, 0.0, -1,
                                       scale, grad, stride, value)
    if loss == BINARY_CROSS_ENTROPY:
        if real is float:
            return f32().bce_logits(n_rows, n_columns, prediction, stride, target, n_columns, row_weight, NULL,
                                    scale, grad, stride, value)
        else:
            return f64().bce_logits(n_rows, n_columns, prediction, stride, target, n_columns, row_weight, NULL,
                                    scale, grad, stride, value)
    if real is float:
        return f32().squared_error(n_rows, n_columns, prediction, stride, target, n_columns, row_weight,
                                   0.5 / n_columns, scale, grad, stride, value)
    else:
        return f64().squared_error(n_rows, n_columns, prediction, stride, target, n_columns, row_weight,
                                   0.5 / n_columns, scale, grad, stride, value)


# ---- the program and its layout -------------------------------------------------------------------------

cdef class Program:
    """Steps of a network, in order.

    Parameters
    ----------
    steps : list of tuples (n_in, n_out, activation, weight, bias)
        Sizes, name of the activation, and the places of the weights (n_in, n_out) and biases (n_out,) in the
        parameter buffer.
    """
    cdef program_step* steps
    cdef readonly int n_steps
    cdef readonly Py_ssize_t n_in, n_out, n_parameters
    cdef double work                        # multiply-adds of a row, forward

    def __cinit__(self, list steps):
        cdef int i
        self.n_steps = len(steps)
        self.steps = <program_step*> calloc(self.n_steps, sizeof(program_step))
        if self.steps == NULL:
            raise MemoryError("no memory for a network's program")
        for i in range(self.n_steps):
            n_in, n_out, activation, weight, bias = steps[i]
            self.steps[i].n_in, self.steps[i].n_out = n_in, n_out
            self.steps[i].activation = check_option(activation, "activation", ACTIVATIONS)
            self.steps[i].weight, self.steps[i].bias = weight, bias
            self.n_parameters = max(self.n_parameters, weight + n_in * n_out, bias + n_out)
            self.work += <double> n_in * n_out
        self.n_in, self.n_out = self.steps[0].n_in, self.steps[self.n_steps - 1].n_out

    def __dealloc__(self):
        free(self.steps)


cdef inline Py_ssize_t _n_panels(const program_step* step) noexcept nogil:
    return (step.n_out + step.width - 1) // step.width


cdef inline Py_ssize_t _row_length(Py_ssize_t n, Py_ssize_t itemsize) noexcept nogil:
    """Elements between rows of an arena matrix: whole cache lines, an odd number of them, so that a column does
    not fall into a few sets of the cache."""
    cdef Py_ssize_t lines = (n * itemsize + 63) // 64
    return (lines | 1 if lines > 1 else lines) * 64 // itemsize


cdef int _lay_out(Program program, session* s, Py_ssize_t batch, Py_ssize_t itemsize, bint training,
                  bint gather, bint in_panels, int threads) except -1:
    """Places of everything in the arena and the pack buffer."""
    cdef Py_ssize_t place = 0, pack = 0, panel, rows
    cdef const ft_packing* packing
    cdef int i
    cdef program_step* step
    if itemsize == 4:
        panel, packing = table.f32.tile_columns, &table.f32.packing
    else:
        panel, packing = table.f64.tile_columns, &table.f64.packing
    s.n_steps, s.n_in, s.n_out, s.batch = program.n_steps, program.n_in, program.n_out, batch
    s.n_parameters = program.n_parameters
    s.steps = <program_step*> malloc(program.n_steps * sizeof(program_step))
    if s.steps == NULL:
        raise MemoryError("no memory for a network's program")
    memcpy(s.steps, program.steps, program.n_steps * sizeof(program_step))
    for i in range(s.n_steps):
        s.steps[i].width = panel if in_panels and s.steps[i].n_out > panel else s.steps[i].n_out
    step = &s.steps[0]
    s.by_columns = (threads > 1 and step.width < step.n_out and step.n_in * step.n_out >= FIRST_WEIGHTS
                    and batch * step.n_in * itemsize <= FIRST_BYTES)
    if gather:
        s.input, s.input_stride = place, _row_length(s.n_in, itemsize)
        place += batch * s.input_stride
        s.target = place
        place += _row_length(batch * s.n_out, itemsize)
        s.weights = place
        place += _row_length(batch, itemsize)
        s.slot_size = place
        if s.by_columns:
            place *= 2
    s.n_update_pieces = s.gradient_size = 0
    for i in range(s.n_steps):
        step = &s.steps[i]
        step.output_stride = _row_length(step.n_out, itemsize)
        step.output = step.saved = place
        place += batch * step.output_stride
        if training and (step.activation == FT_GELU or step.activation == FT_SILU):
            step.saved = place
            place += batch * step.output_stride
        step.delta = step.output
        if training and i < s.n_steps - 1:
            step.delta = place
            place += batch * step.output_stride
        step.packed = step.turned = -1
        if step.width == step.n_out and worth_packing(batch, step.n_out, step.n_in, step.n_out * itemsize, panel,
                                                      packing):
            step.packed = pack
            pack += (step.n_out + panel - 1) // panel * panel * step.n_in
        if training and i > 0:
            step.turned = pack
            pack += (step.n_in + panel - 1) // panel * panel * step.n_out
        # rows in equal parts, but for the rounding
        rows = (step.n_in * step.width + UPDATE_WEIGHTS - 1) // UPDATE_WEIGHTS
        rows = ((step.n_in + rows - 1) // rows + UPDATE_ROWS - 1) // UPDATE_ROWS * UPDATE_ROWS
        step.first_piece, step.piece_rows = s.n_update_pieces, rows
        step.panel_pieces = (step.n_in + rows - 1) // rows
        step.n_pieces = step.panel_pieces * _n_panels(step)
        s.n_update_pieces += step.n_pieces
        s.gradient_size = max(s.gradient_size, _row_length(min(rows, step.n_in) * step.width, itemsize))
    s.arena_size, s.pack_size = place, pack
    return 0


cdef void _order_updates(session* s) noexcept:
    """Merge the steps' pieces, each at the same part of its own step, so that every share has its part of each."""
    cdef Py_ssize_t position, piece
    cdef double part, least
    cdef int i, next_step
    for position in range(s.n_update_pieces):
        least, next_step = 2.0, 0
        for i in range(s.n_steps):
            piece = s.steps[i].n_ordered
            part = (piece + 0.5) / s.steps[i].n_pieces
            if piece < s.steps[i].n_pieces and part < least:
                least, next_step = part, i
        s.update_order[position] = s.steps[next_step].first_piece + s.steps[next_step].n_ordered
        s.steps[next_step].n_ordered += 1


cdef char* _allocate(Py_ssize_t n_bytes) except NULL:
    """Zeroed memory that starts on a cache line, to be given back with _release."""
    cdef char* base = <char*> calloc(n_bytes + 128, 1)
    if base == NULL:
        raise MemoryError(f"no memory for a network's arena of {n_bytes} bytes")
    cdef char* start = <char*> ((<size_t> base + 128) & ~<size_t> 63)
    (<char**> start)[-1] = base
    return start


cdef void _release(char* start) noexcept:
    if start != NULL:
        free((<char**> start)[-1])


cdef void _close(session* s) noexcept:
    free(s.steps)
    free(<void*> s.rows)
    free(s.values)
    free(s.update_order)
    free(s.batch_labels)
    _release(s.panels)
    _release(s.arena)
    _release(s.pack)
    _release(s.gradients)


# ---- forward and backward of some rows --------------------------------------------------------------------

cdef void _apply(const real* parameters, const session* s, const program_step* step, real* arena, const real* x,
                 Py_ssize_t x_stride, Py_ssize_t row, Py_ssize_t n_rows, Py_ssize_t column,
                 Py_ssize_t end) noexcept nogil:
    """Columns column .. end - 1 of a step's output for n_rows rows that start at `row` of the arena; x is the first
    of them, and column a multiple of the register panel."""
    cdef Py_ssize_t panel = _panel(arena), stride = step.output_stride, split
    cdef real* z = arena + step.saved + row * stride + column
    cdef real* y = arena + step.output + row * stride + column
    cdef const real* bias = parameters + step.bias + column
    cdef const real* weight = parameters + step.weight
    if step.packed >= 0:
        _gemm(n_rows, end - column, step.n_in, x, x_stride, 1, <const real*> s.pack + step.packed + column * step.n_in,
              panel, panel * step.n_in, z, stride, bias)
    elif step.width == step.n_out:
        _gemm(n_rows, end - column, step.n_in, x, x_stride, 1, weight + column, step.n_out, panel, z, stride, bias)
    else:
        # whole panels, and a last one whose rows are shorter
        split = min(end, step.n_out - step.n_out % panel)
        if column < split:
            _gemm(n_rows, split - column, step.n_in, x, x_stride, 1, weight + column * step.n_in, panel,
                  panel * step.n_in, z, stride, bias)
        if split < end:
            _gemm(n_rows, end - split, step.n_in, x, x_stride, 1, weight + split * step.n_in, step.n_out - split,
                  panel, z + split - column, stride, bias + split - column)
    if step.activation != FT_IDENTITY:
        _activate(step.activation, n_rows, end - column, z, stride, y, stride)


cdef void _forward(const real* parameters, const session* s, real* arena, const real* x, Py_ssize_t x_stride,
                   Py_ssize_t row, Py_ssize_t n_rows, int first_step) noexcept nogil:
    """The steps from first_step on; x is the first step's input, as of _apply."""
    cdef int i
    for i in range(first_step, s.n_steps):
        if i > 0:
            x_stride = s.steps[i - 1].output_stride
            x = arena + s.steps[i - 1].output + row * x_stride
        _apply(parameters, s, &s.steps[i], arena, x, x_stride, row, n_rows, 0, s.steps[i].n_out)


cdef void _backward(const session* s, real* arena, Py_ssize_t row, Py_ssize_t n_rows) noexcept nogil:
    """The delta of every step but the last, whose delta the loss has written."""
    cdef Py_ssize_t panel = _panel(arena)
    cdef const program_step* step
    cdef const program_step* below
    cdef real* delta
    cdef int i
    for i in range(s.n_steps - 1, 0, -1):
        step = &s.steps[i]
        below = &s.steps[i - 1]
        delta = arena + below.delta + row * below.output_stride
        _gemm(n_rows, step.n_in, step.n_out, arena + step.delta + row * step.output_stride, step.output_stride, 1,
              <const real*> s.pack + step.turned, panel, panel * step.n_out, delta, below.output_stride, NULL)
        if below.activation != FT_IDENTITY:
            if real is float:
                f32().activation_backward(below.activation, n_rows, below.n_out, delta, below.output_stride,
                                          arena + below.saved + row * below.output_stride, below.output_stride,
                                          delta, below.output_stride)
            else:
                f64().activation_backward(below.activation, n_rows, below.n_out, delta, below.output_stride,
                                          arena + below.saved + row * below.output_stride, below.output_stride,
                                          delta, below.output_stride)


# ---- the phases of training --------------------------------------------------------------------------------

cdef void _gather(const session* s, real* arena, Py_ssize_t start, Py_ssize_t slot, Py_ssize_t row,
                  Py_ssize_t end) noexcept nogil:
    """Bring rows row .. end - 1 of the batch that starts at `start` of the epoch's order into a slot."""
    cdef Py_ssize_t i, source
    cdef real* to = arena + slot * s.slot_size
    for i in range(row, end):
        source = s.rows[start + i]
        memcpy(to + s.input + i * s.input_stride, <const real*> s.x + source * s.x_stride, s.n_in * sizeof(real))
        if s.labels != NULL:
            s.batch_labels[slot * s.batch + i] = s.labels[source]
        else:
            memcpy(to + s.target + i * s.n_out, <const real*> s.targets + source * s.n_out, s.n_out * sizeof(real))
        if s.row_weight != NULL:
            (to + s.weights)[i] = (<const real*> s.row_weight)[source]


cdef inline const real* _input(const session* s, const real* arena, Py_ssize_t* stride) noexcept nogil:
    """The first row of the batch in hand."""
    if s.rows != NULL:
        stride[0] = s.input_stride
        return arena + s.slot * s.slot_size + s.input
    stride[0] = s.x_stride
    return <const real*> s.x + s.start * s.x_stride


cdef void _first_piece(const real* parameters, session* s, Py_ssize_t piece) noexcept nogil:
    cdef real* arena = <real*> s.arena
    cdef const program_step* step = &s.steps[0]
    cdef Py_ssize_t chunk = piece % s.n_first_chunks, column = piece // s.n_first_chunks * step.width, x_stride
    cdef Py_ssize_t row = s.count * chunk // s.n_first_chunks, end = s.count * (chunk + 1) // s.n_first_chunks
    cdef const real* x = _input(s, <const real*> arena, &x_stride)
    _apply(parameters, s, step, arena, x + row * x_stride, x_stride, row, end - row, column,
           min(column + step.width, step.n_out))


cdef void _rows_piece(const real* parameters, session* s, Py_ssize_t piece) noexcept nogil:
    cdef Py_ssize_t row = s.count * piece // s.n_row_pieces, end = s.count * (piece + 1) // s.n_row_pieces
    cdef Py_ssize_t n = end - row, x_stride
    cdef const program_step* last = &s.steps[s.n_steps - 1]
    cdef real* arena = <real*> s.arena
    cdef const real* x = _input(s, <const real*> arena, &x_stride) + row * x_stride
    cdef const int64_t* labels = NULL
    cdef const real* target = NULL
    cdef const real* row_weight = NULL
    if s.rows != NULL:
        if not s.by_columns:
            _gather(s, arena, s.start, s.slot, row, end)
        labels = s.batch_labels + s.slot * s.batch + row
        target = arena + s.slot * s.slot_size + s.target + row * s.n_out
        if s.row_weight != NULL:
            row_weight = arena + s.slot * s.slot_size + s.weights + row
    else:
        if s.labels != NULL:
            labels = s.labels + s.start + row
        else:
            target = <const real*> s.targets + (s.start + row) * s.n_out
        if s.row_weight != NULL:
            row_weight = <const real*> s.row_weight + s.start + row
    _forward(parameters, s, arena, x, x_stride, row, n, s.by_columns)
    cdef real* output = arena + last.output + row * last.output_stride
    s.values[piece] = 0.0
    _loss(s.loss, n, s.n_out, output, last.output_stride, labels, target, row_weight, s.scale, output,
          &s.values[piece])
    _backward(s, arena, row, n)


cdef inline void _update(session* s, real* parameters, const real* gradient, Py_ssize_t place, Py_ssize_t n,
                         bint weights) noexcept nogil:
    """Update n parameters from `place` on with their gradient (n,), or collect that."""
    cdef real* states[3]
    if s.collected != NULL:
        memcpy(<real*> s.collected + place, gradient, n * sizeof(real))
        return
    cdef const ft_update_scalars* scalars = &s.of_weights if weights else &s.of_biases
    cdef int i
    for i in range(3):
        states[i] = <real*> s.states[i] + place if s.states[i] != NULL else NULL
    if real is float:
        f32().update[s.rule](n, parameters + place, gradient, states, False, scalars)
    else:
        f64().update[s.rule](n, parameters + place, gradient, states, False, scalars)


cdef void _update_piece(real* parameters, session* s, int thread, Py_ssize_t position) noexcept nogil:
    """The gradient of some rows of a panel of weights, and their update; and, with a panel's first rows, its biases."""
    cdef Py_ssize_t piece = s.update_order[position]
    cdef real* arena = <real*> s.arena
    cdef real* gradient = <real*> s.gradients + (piece if s.gradient_by_piece else thread) * s.gradient_size
    cdef const real* x
    cdef const real* delta
    cdef Py_ssize_t x_stride, row, end, column, width, place, size, panel = _panel(arena)
    cdef Py_ssize_t next_start = s.start + s.count, next_count = min(s.batch, s.n_rows - next_start)
    cdef const program_step* step
    cdef int i = 0
    if s.by_columns and s.rows != NULL:
        _gather(s, arena, next_start, 1 - s.slot, next_count * position // s.n_update_pieces,
                next_count * (position + 1) // s.n_update_pieces)
    while piece >= s.steps[i].first_piece + s.steps[i].n_pieces:
        i += 1
    step = &s.steps[i]
    row = (piece - step.first_piece) % step.panel_pieces * step.piece_rows
    end = min(row + step.piece_rows, step.n_in)
    column = (piece - step.first_piece) // step.panel_pieces * step.width
    width = min(step.width, step.n_out - column)
    delta = arena + step.delta + column
    if i > 0:
        x, x_stride = arena + s.steps[i - 1].output, s.steps[i - 1].output_stride
    else:
        x = _input(s, <const real*> arena, &x_stride)
    place, size = step.weight + column * step.n_in + row * width, (end - row) * width
    _gemm(end - row, width, s.count, x + row, 1, x_stride, delta, step.output_stride, panel,
          gradient, width, NULL)
    s.values[piece] = 0.0
    if s.l2 > 0.0:
        if real is float:
            s.values[piece] = f32().sum_squares(size, parameters + place)
        else:
            s.values[piece] = f64().sum_squares(size, parameters + place)
    _update(s, parameters, gradient, place, size, True)
    _pack_block(parameters, step, <real*> s.pack, row, end, column, width)
    if row == 0 and s.train_biases:
        _column_sums(s.count, width, delta, step.output_stride, gradient)
        _update(s, parameters, gradient, step.bias + column, width, False)


cdef void _column_sums(Py_ssize_t n_rows, Py_ssize_t n_columns, const real* x, Py_ssize_t stride,
                       real* sums) noexcept nogil:
    if real is float:
        f32().column_sums(n_rows, n_columns, x, stride, sums, 0)
    else:
        f64().column_sums(n_rows, n_columns, x, stride, sums, 0)


# ---- between the phases, on one thread -----------------------------------------------------------------------

cdef void _open_batch(const real* parameters, session* s, Py_ssize_t start, Py_ssize_t piece_rows,
                      int threads) noexcept nogil:
    cdef Py_ssize_t i, n_panels = _n_panels(&s.steps[0])
    cdef double total = 0.0
    s.start = start
    s.count = s.batch if s.n_rows - start > s.batch else s.n_rows - start
    s.n_row_pieces = (s.count + piece_rows - 1) // piece_rows
    if s.by_columns:
        s.slot = 1 - s.slot
        # rows that are few enough for the cache, and pieces for all threads
        s.n_first_chunks = max(
            (s.count + FIRST_ROWS - 1) // FIRST_ROWS,
            min((threads + n_panels - 1) // n_panels, (s.count + MIN_PIECE_ROWS - 1) // MIN_PIECE_ROWS),
        )
    if s.row_weight == NULL:
        total = s.count
    else:
        for i in range(start, start + s.count):
            total += (<const real*> s.row_weight)[s.rows[i] if s.rows != NULL else i]
    s.weight_sum = total
    s.scale = 1.0 / total if total > 0.0 else 0.0


cdef void _close_rows(session* s) noexcept nogil:
    """The batch's loss is known: stop here if it is not finite, else prepare the update."""
    cdef double value = 0.0
    cdef Py_ssize_t piece
    for piece in range(s.n_row_pieces):
        value += s.values[piece]
    if not isfinite(value):
        s.failed = True
        return
    s.objective += value
    s.weight_total += s.weight_sum
    s.decay = s.l2 * s.scale if s.l2_per_batch else s.l2
    if s.l2 > 0.0:
        s.options.weight_decay = s.decay
    s.rule = scalars_of(s.family, &s.options, &s.progress, &s.of_weights)
    if s.rule == FT_MOMENTUM and s.progress.step == 1.0:
        s.of_weights.flags |= FT_FIRST_STEP
    s.of_biases = s.of_weights
    s.of_biases.weight_decay, s.of_biases.step_decay, s.of_biases.decay_factor = 0.0, 0.0, 1.0


cdef void _close_update(session* s) noexcept nogil:
    cdef double squares = 0.0
    cdef Py_ssize_t piece
    for piece in range(s.n_update_pieces):
        squares += s.values[piece]
    s.objective += 0.5 * s.decay * squares * s.weight_sum


cdef enum:
    FIRST, ROWS, UPDATES


cdef void _member(real* parameters, session* s, Py_ssize_t n_batches, Py_ssize_t piece_rows,
                  int threads) noexcept nogil:
    """One thread's way through the epoch; see threads.h for the crew."""
    cdef int thread = ft_crew_join(&s.crew), n_kinds = 3 if s.by_columns else 2, kind
    cdef uint64_t phase = 0, n_phases = n_kinds * <uint64_t> n_batches
    cdef int64_t piece, n_pieces
    while phase < n_phases:
        kind = <int> (phase % n_kinds) + 3 - n_kinds
        while True:
            # s holds the batch of this phase for as long as a piece of it can be taken
            if kind == FIRST:
                n_pieces = _n_panels(&s.steps[0]) * s.n_first_chunks
            elif kind == ROWS:
                n_pieces = s.n_row_pieces
            else:
                n_pieces = s.n_update_pieces
            piece = ft_crew_take(&s.crew, thread, phase, n_pieces)
            if piece < 0:
                break
            if kind == FIRST:
                _first_piece(<const real*> parameters, s, piece)
            elif kind == ROWS:
                _rows_piece(<const real*> parameters, s, piece)
            else:
                _update_piece(parameters, s, thread, piece)
            if ft_crew_finish(&s.crew, n_pieces):
                if kind == ROWS:
                    _close_rows(s)
                elif kind == UPDATES:
                    _close_update(s)
                    if phase + 1 < n_phases:
                        _open_batch(<const real*> parameters, s, s.start + s.count, piece_rows, threads)
                ft_crew_advance(&s.crew, phase)
        ft_crew_wait(&s.crew, phase)
        if s.failed:
            break
        phase += 1
    ft_crew_leave(&s.crew, thread)


cdef void _pack_all(const real* parameters, session* s) noexcept nogil:
    cdef const program_step* step
    cdef Py_ssize_t column, j
    cdef int i
    for i in range(s.n_steps):
        step = &s.steps[i]
        for j in range(_n_panels(step)):
            column = j * step.width
            _pack_block(parameters, step, <real*> s.pack, 0, step.n_in, column, min(step.width, step.n_out - column))


cdef void _reorder(const session* s, real* rows, real* panels, bint back) noexcept nogil:
    """Bring parameters from plain rows into panels, or back."""
    cdef const program_step* step
    cdef Py_ssize_t column, width, row, place, plain, j
    cdef int i
    for i in range(s.n_steps):
        step = &s.steps[i]
        if back:
            memcpy(rows + step.bias, panels + step.bias, step.n_out * sizeof(real))
        else:
            memcpy(panels + step.bias, rows + step.bias, step.n_out * sizeof(real))
        for j in range(_n_panels(step)):
            column = j * step.width
            width = min(step.width, step.n_out - column)
            for row in range(step.n_in):
                place = step.weight + column * step.n_in + row * width
                plain = step.weight + row * step.n_out + column
                if back:
                    memcpy(rows + plain, panels + place, width * sizeof(real))
                else:
                    memcpy(panels + place, rows + plain, width * sizeof(real))


cdef void _run(real* parameters, session* s, Py_ssize_t n_batches, Py_ssize_t piece_rows, int threads) noexcept nogil:
    cdef real* own[4]
    cdef real* used[4]
    cdef int i
    own[0] = parameters
    for i in range(3):
        own[i + 1] = <real*> s.states[i]
    for i in range(4):
        used[i] = own[i]
        if s.panels != NULL and own[i] != NULL:
            used[i] = <real*> s.panels + i * s.panel_size
            _reorder(s, own[i], used[i], False)
    for i in range(3):
        s.states[i] = <char*> used[i + 1]
    _pack_all(<const real*> used[0], s)
    _open_batch(<const real*> used[0], s, 0, piece_rows, threads)
    if s.by_columns and s.rows != NULL:
        _gather(s, <real*> s.arena, 0, s.slot, 0, s.count)
    ft_crew_start(&s.crew, threads)
    if threads == 1:
        _member(used[0], s, n_batches, piece_rows, threads)
    else:
        with parallel(num_threads=threads):
            _member(used[0], s, n_batches, piece_rows, threads)
    for i in range(4):
        if used[i] != own[i]:
            _reorder(s, own[i], used[i], True)


# ---- what Python calls ------------------------------------------------------------------------------------

cdef cnp.ndarray _flat(object value, str name, Py_ssize_t size, cnp.ndarray like, bint writeable):
    cdef cnp.ndarray array
    array = real_array(value, name, 1) if like is None else real_array_like(value, name, 1, like, "parameters")
    check_shape(array, name, size)
    check_contiguous(array, name)
    if writeable:
        check_writeable(array, name)
    return array


cdef int _take_data(Program program, int loss, session* s, cnp.ndarray parameters, object X, object y,
                    object sample_weight) except -1:
    """Check the data against the program, and put it into the session."""
    cdef cnp.ndarray x = real_array_like(X, "X", 2, parameters, "parameters"), target, row_weight
    cdef Py_ssize_t i, n = cnp.PyArray_DIM(x, 0)
    cdef const int64_t* labels
    check_shape(x, "X", -1, program.n_in)
    if n == 0:
        raise ValueError("X must have at least one row, got shape " + str(X.shape))
    if n >= 1 << 32:
        raise ValueError(f"X must have fewer than 2**32 rows, got {n}")
    s.x, s.x_stride, s.n_rows, s.loss = <const char*> cnp.PyArray_DATA(x), row_stride(x, "X"), n, loss
    if loss == CROSS_ENTROPY:
        if not isinstance(y, np.ndarray) or y.dtype != np.int64 or y.ndim != 1:
            raise TypeError("y must be a numpy.ndarray of int64 labels with one dimension for cross_entropy")
        target = y
        check_shape(target, "y", n)
        check_contiguous(target, "y")
        labels = <const int64_t*> cnp.PyArray_DATA(target)
        for i in range(n):
            if labels[i] < 0 or labels[i] >= program.n_out:
                raise ValueError(f"y must hold labels from 0 to {program.n_out - 1}, got {labels[i]} in row {i}")
        s.labels = labels
    else:
        target = real_array_like(y, "y", 2, parameters, "parameters")
        check_shape(target, "y", n, program.n_out)
        check_contiguous(target, "y")
        if not np.isfinite(np.sum(y)) and not np.isfinite(y).all():
            raise ValueError("y must not contain NaN or infinity")
        if loss == BINARY_CROSS_ENTROPY and not (np.min(y) >= 0.0 and np.max(y) <= 1.0):
            raise ValueError(f"y must lie in [0, 1] for binary_cross_entropy, got [{np.min(y)}, {np.max(y)}]")
        s.targets = <const char*> cnp.PyArray_DATA(target)
    if sample_weight is not None:
        row_weight = real_array_like(sample_weight, "sample_weight", 1, parameters, "parameters")
        check_shape(row_weight, "sample_weight", n)
        check_contiguous(row_weight, "sample_weight")
        if not (np.min(sample_weight) >= 0.0 and np.isfinite(np.sum(sample_weight, dtype=np.float64))):
            raise ValueError("sample_weight must be finite and not negative")
        s.row_weight = <const char*> cnp.PyArray_DATA(row_weight)
    return 0


cdef int _train(Program program, session* s, cnp.ndarray theta, Py_ssize_t batch_size, bint shuffle, uint64_t seed,
                uint32_t epoch, object n_threads) except -1:
    """Run the batches of a session that has its data and its rule."""
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(theta), n_batches, piece_rows
    cdef double row_work
    cdef int threads, i, n_states = 0
    cdef bint in_panels
    for i in range(3):
        n_states += s.states[i] != NULL
    if batch_size >= s.n_rows:
        batch_size, shuffle = s.n_rows, False  # one batch: its order is of no matter
    n_batches = (s.n_rows + batch_size - 1) // batch_size
    row_work = 3.0 * program.work
    # a crew counts the pieces of a phase in 28 bits
    piece_rows = max(MIN_PIECE_ROWS, <Py_ssize_t> (PIECE_GRAIN / row_work), batch_size >> 20)
    threads = threads_for(n_threads, row_work * batch_size, THREAD_GRAIN)
    try:
        in_panels = (n_batches >= PANEL_BATCHES and s.n_rows >= PANEL_ROWS
                     and program.n_parameters * itemsize <= PANEL_BYTES)
        _lay_out(program, s, batch_size, itemsize, True, shuffle, in_panels, threads)
        if in_panels and any(s.steps[i].width < s.steps[i].n_out for i in range(s.n_steps)):
            s.panel_size = _row_length(program.n_parameters, itemsize)
            s.panels = _allocate((1 + n_states) * s.panel_size * itemsize)
        s.arena = _allocate(s.arena_size * itemsize)
        s.pack = _allocate(s.pack_size * itemsize)
        s.gradient_by_piece = s.n_update_pieces < threads
        s.gradients = _allocate(min(threads, s.n_update_pieces) * s.gradient_size * itemsize)
        s.values = <double*> calloc(max(s.n_update_pieces, (batch_size + piece_rows - 1) // piece_rows), sizeof(double))
        s.update_order = <Py_ssize_t*> malloc(s.n_update_pieces * sizeof(Py_ssize_t))
        if s.values == NULL or s.update_order == NULL:
            raise MemoryError("no memory for the pieces of a batch")
        _order_updates(s)
        if shuffle:
            s.rows = <uint32_t*> malloc(s.n_rows * sizeof(uint32_t))
            s.batch_labels = <int64_t*> malloc(2 * batch_size * sizeof(int64_t))
            if s.rows == NULL or s.batch_labels == NULL:
                raise MemoryError(f"no memory for the order of {s.n_rows} rows")
        with nogil:
            if shuffle:
                ft_random_permutation(seed, FT_STREAM_SHUFFLE, epoch, <uint32_t> s.n_rows, <uint32_t*> s.rows)
            if itemsize == 4:
                _run[float](<float*> cnp.PyArray_DATA(theta), s, n_batches, piece_rows, threads)
            else:
                _run[double](<double*> cnp.PyArray_DATA(theta), s, n_batches, piece_rows, threads)
    finally:
        _close(s)
    return 0


def train_epoch(Program program, parameters, states, X, y, sample_weight=None, *, str loss, str optimizer,
                dict options, dict progress, Py_ssize_t batch_size, bint shuffle, uint64_t seed, uint32_t epoch,
                double l2, bint l2_per_batch, bint train_biases, n_threads=None):
    """One pass over the data: shuffle, gather, forward, loss, backward and update for every batch, without the GIL.

    Parameters
    ----------
    program : Program
    parameters : ndarray (n_parameters,)
        Updated in place.
    states : sequence of ndarray (n_parameters,)
        What the rule keeps, in its order.
    optimizer, options, progress
        One of ``rules.FAMILIES``, its ``rules.OPTIONS``, of which weight_decay is set by l2, and what it has counted.
    X, y, sample_weight
        As :meth:`fasttrain.nn.Trainer.run_epoch` says.

    Returns
    -------
    (objective, progress, failed)
        Mean objective over the epoch, what the rule has counted after it, and whether a batch's loss was not finite:
        then the parameters are those before that batch.
    """
    cdef session s
    cdef cnp.ndarray theta = _flat(parameters, "parameters", program.n_parameters, None, True)
    cdef cnp.ndarray state
    cdef int i
    memset(&s, 0, sizeof(session))
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    s.family = <Family> check_option(optimizer, "optimizer", FAMILIES)
    options_of(s.family, options, &s.options)
    s.progress = progress
    if l2 > 0.0 and s.options.weight_decay > 0.0:
        raise ValueError("l2 and the optimizer's weight_decay exclude each other")
    if l2 > 0.0 and s.options.decoupled:
        raise ValueError("l2 is a penalty; an optimizer of decoupled decay needs its own weight_decay instead")
    _take_data(program, check_option(loss, "loss", LOSSES), &s, theta, X, y, sample_weight)
    names = state_names(optimizer, options)
    if len(states) != len(names):
        raise ValueError(f"states must hold {', '.join(names) or 'nothing'}, got {len(states)} arrays")
    for i, value in enumerate(states):
        state = _flat(value, names[i], program.n_parameters, theta, True)
        s.states[i] = <char*> cnp.PyArray_DATA(state)
    s.l2, s.l2_per_batch, s.train_biases = l2, l2_per_batch, train_biases
    _train(program, &s, theta, batch_size, shuffle, seed, epoch, n_threads)
    return (s.objective / s.weight_total if s.weight_total > 0.0 else 0.0), s.progress, bool(s.failed)


def check_data(Program program, parameters, X, y, sample_weight=None, *, str loss):
    """Raise for data that training would refuse."""
    cdef session s
    memset(&s, 0, sizeof(session))
    _take_data(program, check_option(loss, "loss", LOSSES), &s,
               _flat(parameters, "parameters", program.n_parameters, None, False), X, y, sample_weight)


def value_and_grad(Program program, parameters, X, y, sample_weight=None, *, grad, str loss, n_threads=None):
    """The mean loss over the rows, weighted by sample_weight, and its gradient by all parameters.

    Parameters
    ----------
    program : Program
    parameters : ndarray (n_parameters,)
    X, y, sample_weight
        As :meth:`fasttrain.nn.Trainer.run_epoch` says.
    grad : ndarray (n_parameters,)
        The gradient is written here, in the places of the parameters.

    Returns
    -------
    float
        The loss; where it is not finite, grad is undefined.
    """
    cdef session s
    cdef cnp.ndarray theta = _flat(parameters, "parameters", program.n_parameters, None, True)
    cdef cnp.ndarray gradient = _flat(grad, "grad", program.n_parameters, theta, True)
    memset(&s, 0, sizeof(session))
    check_disjoint(gradient, "grad", theta, "parameters")
    _take_data(program, check_option(loss, "loss", LOSSES), &s, theta, X, y, sample_weight)
    s.collected = <char*> cnp.PyArray_DATA(gradient)
    s.train_biases = True
    _train(program, &s, theta, s.n_rows, False, 0, 0, n_threads)
    return s.objective / s.weight_total if s.weight_total > 0.0 else NAN if s.failed else 0.0


cdef void _predict_piece(const real* parameters, const session* s, real* arena, Py_ssize_t piece, bint decision,
                         real* out, Py_ssize_t out_stride, double* value) noexcept nogil:
    """Rows of one piece through the network: into out, or, where value is given, their loss."""
    cdef Py_ssize_t row = piece * PREDICT_ROWS
    cdef Py_ssize_t n = PREDICT_ROWS if s.n_rows - row > PREDICT_ROWS else s.n_rows - row, i
    cdef const program_step* last = &s.steps[s.n_steps - 1]
    cdef real* result = arena + last.output
    _forward(parameters, s, arena, <const real*> s.x + row * s.x_stride, s.x_stride, 0, n, 0)
    if value != NULL:
        value[0] = 0.0
        _loss(s.loss, n, s.n_out, result, last.output_stride,
              s.labels + row if s.labels != NULL else NULL,
              <const real*> s.targets + row * s.n_out if s.targets != NULL else NULL,
              <const real*> s.row_weight + row if s.row_weight != NULL else NULL, 0.0, <real*> NULL, value)
        return
    if not decision and s.loss == CROSS_ENTROPY:
        if real is float:
            f32().softmax(n, s.n_out, result, last.output_stride, out + row * out_stride, out_stride)
        else:
            f64().softmax(n, s.n_out, result, last.output_stride, out + row * out_stride, out_stride)
        return
    for i in range(n):
        if not decision and s.loss == BINARY_CROSS_ENTROPY:
            if real is float:
                f32().math[FT_MATH_SIGMOID](s.n_out, result + i * last.output_stride, out + (row + i) * out_stride)
            else:
                f64().math[FT_MATH_SIGMOID](s.n_out, result + i * last.output_stride, out + (row + i) * out_stride)
        else:
            memcpy(out + (row + i) * out_stride, result + i * last.output_stride, s.n_out * sizeof(real))


cdef void _predict_member(const real* parameters, session* s, bint decision, real* out, Py_ssize_t out_stride,
                          Py_ssize_t n_pieces) noexcept nogil:
    cdef int thread = ft_crew_join(&s.crew)
    cdef Py_ssize_t piece = ft_crew_take(&s.crew, thread, 0, n_pieces)
    while piece >= 0:
        _predict_piece(parameters, s, <real*> s.arena + thread * s.arena_size, piece, decision, out, out_stride,
                       s.values + piece if out == NULL else NULL)
        piece = ft_crew_take(&s.crew, thread, 0, n_pieces)
    ft_crew_leave(&s.crew, thread)


cdef void _predict(const real* parameters, session* s, bint decision, real* out, Py_ssize_t out_stride,
                   Py_ssize_t n_pieces, int threads) noexcept nogil:
    _pack_all(parameters, s)
    ft_crew_start(&s.crew, threads)
    if threads == 1:
        _predict_member(parameters, s, decision, out, out_stride, n_pieces)
    else:
        with parallel(num_threads=threads):
            _predict_member(parameters, s, decision, out, out_stride, n_pieces)


cdef object _infer(Program program, int loss, session* s, cnp.ndarray theta, bint decision, cnp.ndarray out,
                   object n_threads):
    """Run the session's rows through the network, into `out`, or into the sum of losses, which is returned."""
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(theta), n_pieces = (s.n_rows + PREDICT_ROWS - 1) // PREDICT_ROWS
    cdef Py_ssize_t piece
    cdef int threads = threads_for(n_threads, program.work * s.n_rows, THREAD_GRAIN)
    cdef void* target = cnp.PyArray_DATA(out) if out is not None else NULL
    cdef Py_ssize_t out_stride = row_stride(out, "out") if out is not None else 0
    cdef double total = 0.0
    try:
        _lay_out(program, s, min(PREDICT_ROWS, s.n_rows), itemsize, False, False, False, threads)
        s.arena = _allocate(s.arena_size * itemsize * threads)
        s.pack = _allocate(s.pack_size * itemsize)
        s.values = <double*> calloc(n_pieces + 1, sizeof(double))
        if s.values == NULL:
            raise MemoryError(f"no memory for the sums of {s.n_rows} rows")
        with nogil:
            if itemsize == 4:
                _predict[float](<const float*> cnp.PyArray_DATA(theta), s, decision, <float*> target, out_stride,
                                n_pieces, threads)
            else:
                _predict[double](<const double*> cnp.PyArray_DATA(theta), s, decision, <double*> target, out_stride,
                                 n_pieces, threads)
        for piece in range(n_pieces):
            total += s.values[piece]
    finally:
        _close(s)
    return total


def predict(Program program, parameters, X, out=None, *, str loss, bint decision=False, n_threads=None):
    """Outputs of the network: (n_rows, n_out) probabilities by the loss, or its logits with `decision`."""
    cdef session s
    cdef cnp.ndarray theta = _flat(parameters, "parameters", program.n_parameters, None, False)
    cdef cnp.ndarray x = real_array_like(X, "X", 2, theta, "parameters"), result
    memset(&s, 0, sizeof(session))
    check_shape(x, "X", -1, program.n_in)
    s.x, s.x_stride, s.n_rows = <const char*> cnp.PyArray_DATA(x), row_stride(x, "X"), cnp.PyArray_DIM(x, 0)
    s.loss = check_option(loss, "loss", LOSSES)
    if out is None:
        out = np.empty((s.n_rows, program.n_out), dtype=X.dtype)
    result = real_array_like(out, "out", 2, theta, "parameters")
    check_shape(result, "out", s.n_rows, program.n_out)
    check_writeable(result, "out")
    check_disjoint(result, "out", x, "X")
    check_disjoint(result, "out", theta, "parameters")
    if s.n_rows:
        _infer(program, s.loss, &s, theta, decision, result, n_threads)
    return out


def evaluate(Program program, parameters, X, y, sample_weight=None, *, str loss, n_threads=None):
    """Mean loss over the rows, weighted by `sample_weight`, without a penalty."""
    cdef session s
    cdef cnp.ndarray theta = _flat(parameters, "parameters", program.n_parameters, None, False)
    memset(&s, 0, sizeof(session))
    _take_data(program, check_option(loss, "loss", LOSSES), &s, theta, X, y, sample_weight)
    total_weight = float(s.n_rows) if sample_weight is None else float(np.sum(sample_weight, dtype=np.float64))
    if total_weight == 0.0:
        raise ValueError("sample_weight must not be all zero")
    return _infer(program, s.loss, &s, theta, False, None, n_threads) / total_weight


def uniform(out, double low, double high, *, uint64_t seed, uint32_t step=0):
    """Fill `out` with numbers uniform in [low, high), keyed by (seed, step, position)."""
    cdef cnp.ndarray array = real_array(out, "out", 1)
    cdef Py_ssize_t i, n = cnp.PyArray_SIZE(array)
    check_contiguous(array, "out")
    check_writeable(array, "out")
    cdef float* single = <float*> cnp.PyArray_DATA(array)
    cdef double* wide = <double*> cnp.PyArray_DATA(array)
    cdef bint is_single = cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT32
    cdef double value
    for i in range(n):
        value = low + (high - low) * ft_random_uniform(seed, FT_STREAM_INITIALIZE, step, i)
        if is_single:
            single[i] = <float> value
        else:
            wide[i] = value
    return out


def permutation(uint32_t n, *, uint64_t seed, uint32_t step=0):
    """The order of n rows in the epoch `step`, as uint32."""
    rows = np.empty(n, dtype=np.uint32)
    cdef cnp.ndarray array = rows
    ft_random_permutation(seed, FT_STREAM_SHUFFLE, step, n, <uint32_t*> cnp.PyArray_DATA(array))
    return rows
