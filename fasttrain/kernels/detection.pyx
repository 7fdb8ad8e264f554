"""Object detection: overlaps of boxes, and COCO's precision and recall.

Truths and predictions are put in the order of their class and image, by two counting sorts; what has both in
common is a group.  Threads then go through three phases: groups, where predictions find their truths, some
groups to a piece; classes, whose predictions are sorted by score; and classes by area range and limit, where
hits are counted down the scores.  No result depends on which thread took what, and counts are integers.

Within a group the overlaps of one prediction at a time are kept: those that reach the lowest threshold are few,
and all thresholds and area ranges choose among them.
"""
import numpy as np

cimport numpy as cnp
from cython.parallel cimport parallel
from libc.float cimport DBL_EPSILON
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from fasttrain.kernels.checks cimport (
    check_contiguous,
    check_integer,
    check_option,
    check_shape,
    int64_array,
    label_array,
    real_array,
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

cnp.import_array()

cdef enum:
    # of box_iou: boxes of b that stay in the first-level cache, and pairs of a piece and of a thread's least work
    _TILE_BOXES = 256
    _PIECE_PAIRS = 1 << 16
    _GRAIN_PAIRS = 1 << 15
    # groups of a piece, and truths and predictions of a thread's least work
    _PIECE_GROUPS = 32
    _GRAIN_ROWS = 1 << 9
    # runs that are sorted by insertion
    _RUN = 12
    # between the scratch memory of two threads, so that they share no cache line
    _GAP_BYTES = 128

# The state of a prediction at a threshold.
cdef enum:
    _MISS = 0
    _HIT = 1
    _IGNORED = 2

_FORMATS = ("xyxy", "xywh")
# areas of up to this can be added without overflow
cdef double _LARGEST_AREA = 2.0**1022


# ---- boxes -------------------------------------------------------------------------------------------------

ctypedef struct Boxes:
    Py_ssize_t size
    const char* data            # (size, 4)
    bint is_double, is_xywh


# A box as the arithmetic takes it, in double: corners and area, which C reads as (5,).
ctypedef struct Box:
    double left, top, right, bottom, area


cdef inline Box _box(const Boxes* boxes, Py_ssize_t index) noexcept nogil:
    cdef Box box
    cdef const double* wide
    cdef const float* narrow
    if boxes.is_double:
        wide = (<const double*> boxes.data) + 4 * index
        box.left, box.top, box.right, box.bottom = wide[0], wide[1], wide[2], wide[3]
    else:
        narrow = (<const float*> boxes.data) + 4 * index
        box.left, box.top, box.right, box.bottom = narrow[0], narrow[1], narrow[2], narrow[3]
    if boxes.is_xywh:
        box.area = box.right * box.bottom
        box.right += box.left
        box.bottom += box.top
    else:
        box.area = (box.right - box.left) * (box.bottom - box.top)
    return box


cdef inline void _put(Box box, double* columns, Py_ssize_t stride) noexcept nogil:
    columns[0], columns[stride], columns[2 * stride] = box.left, box.top, box.right
    columns[3 * stride], columns[4 * stride] = box.bottom, box.area


cdef inline double _real(const char* values, bint is_double, Py_ssize_t index) noexcept nogil:
    return (<const double*> values)[index] if is_double else (<const float*> values)[index]


cdef Py_ssize_t _first_bad_box(const Boxes* boxes) noexcept nogil:
    cdef Py_ssize_t index
    cdef Box box
    cdef double width, height
    for index in range(boxes.size):
        box = _box(boxes, index)
        width, height = box.right - box.left, box.bottom - box.top
        if boxes.is_xywh:  # far from the origin, corners hide a small size
            width = _real(boxes.data, boxes.is_double, 4 * index + 2)
            height = _real(boxes.data, boxes.is_double, 4 * index + 3)
        # NaN fails every comparison, and infinite corners leave an infinite or no area
        if not (
            width >= 0 and height >= 0 and box.area <= _LARGEST_AREA
            and isfinite(box.left) and isfinite(box.top) and isfinite(box.right) and isfinite(box.bottom)
        ):
            return index
    return -1


cdef cnp.ndarray _describe(Boxes* boxes, object value, str name, bint is_xywh):
    cdef cnp.ndarray array = real_array(value, name, 2)
    check_shape(array, name, -1, 4)
    check_contiguous(array, name)
    boxes.size, boxes.data = cnp.PyArray_DIM(array, 0), cnp.PyArray_BYTES(array)
    boxes.is_double, boxes.is_xywh = cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT64, is_xywh
    cdef Py_ssize_t bad
    with nogil:
        bad = _first_bad_box(boxes)
    if bad >= 0:
        raise ValueError(
            f"{name} must hold finite boxes {'x, y, width, height' if is_xywh else 'left, top, right, bottom'} of "
            f"no negative size and of areas up to 2**1022, got {value[bad].tolist()} in row {bad}"
        )
    return array


cdef cnp.ndarray _flags(object value, str name, Py_ssize_t size):
    cdef cnp.ndarray array = label_array(value, name)
    if not cnp.PyArray_ISBOOL(array):
        raise TypeError(f"{name} must have dtype bool, got {value.dtype}; {name}.astype(bool) converts")
    check_shape(array, name, size)
    return array


# ---- overlaps ----------------------------------------------------------------------------------------------

ctypedef struct Overlap:
    Boxes a, b
    const uint8_t* crowd        # (n_b,) or NULL
    double* out                 # (n_a, n_b)
    Py_ssize_t piece_boxes, n_pieces  # of a


cdef void _overlap_piece(const Overlap* s, Py_ssize_t piece) noexcept nogil:
    cdef Py_ssize_t begin = piece * s.piece_boxes, end = min(s.a.size, begin + s.piece_boxes)
    cdef Py_ssize_t begin_b, size, i, j, tile
    cdef double columns[5 * _TILE_BOXES]
    cdef double crowd[_TILE_BOXES]
    cdef Box box
    for tile in range((s.b.size + _TILE_BOXES - 1) // _TILE_BOXES):
        begin_b = tile * _TILE_BOXES
        size = min(s.b.size - begin_b, <Py_ssize_t> _TILE_BOXES)
        for j in range(size):
            _put(_box(&s.b, begin_b + j), columns + j, _TILE_BOXES)
            crowd[j] = s.crowd != NULL and s.crowd[begin_b + j] != 0
        for i in range(begin, end):
            box = _box(&s.a, i)
            table.box_overlaps(
                size, <const double*> &box, columns, _TILE_BOXES, NULL if s.crowd == NULL else crowd,
                s.out + i * s.b.size + begin_b,
            )


cdef void _overlap_member(const Overlap* s, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef Py_ssize_t piece = ft_crew_take(crew, thread, 0, s.n_pieces)
    while piece >= 0:
        _overlap_piece(s, piece)
        piece = ft_crew_take(crew, thread, 0, s.n_pieces)
    ft_crew_leave(crew, thread)


def box_iou(boxes_a, boxes_b, crowd=None, *, box_format="xyxy", n_threads=None):
    """Intersection over union of each box of a with each box of b.

    ``out[i, j] = I / (A_i + B_j - I)`` with the areas of the two boxes and of their intersection; 0 where that
    is empty.  Where ``crowd[j]``, ``out[i, j] = I / A_i``.

    Parameters
    ----------
    boxes_a : ndarray of shape (n_a, 4)
        float32 or float64, C-contiguous, finite; no size may be negative.
    boxes_b : ndarray of shape (n_b, 4)
        The same; the two dtypes may differ.
    crowd : ndarray of shape (n_b,), optional
        bool, C-contiguous.
    box_format : {'xyxy', 'xywh'}
        A box is left, top, right and bottom, or left, top, width and height.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    ndarray of shape (n_a, n_b)
        float64, computed in float64.

    Raises
    ------
    TypeError
        An argument is not an ndarray of an accepted dtype.
    ValueError
        Another shape, layout or format; a bad box (the first is named).

    Notes
    -----
    Sides have the length of their coordinates' difference: no pixel is added.  Where a box is so small beside its
    coordinates that these have lost digits of its size, the ratio of two that agree may exceed 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import box_iou
    >>> box_iou(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[0.0, 0.0, 2.0, 1.0], [2.0, 0.0, 4.0, 2.0]]))
    array([[0.5, 0. ]])
    """
    cdef Overlap s
    cdef bint is_xywh = check_option(box_format, "box_format", _FORMATS)
    _describe(&s.a, boxes_a, "boxes_a", is_xywh)
    _describe(&s.b, boxes_b, "boxes_b", is_xywh)
    cdef cnp.ndarray flags = None if crowd is None else _flags(crowd, "crowd", s.b.size)
    cdef int threads = threads_for(n_threads, <double> s.a.size * <double> s.b.size, _GRAIN_PAIRS)
    cdef cnp.ndarray out = np.empty((s.a.size, s.b.size))
    cdef ft_crew crew
    if cnp.PyArray_SIZE(out) == 0:
        return out
    s.crowd = NULL
    if flags is not None:
        s.crowd = <const uint8_t*> cnp.PyArray_DATA(flags)
    s.out = <double*> cnp.PyArray_DATA(out)
    s.piece_boxes = max(<Py_ssize_t> 1, _PIECE_PAIRS // s.b.size)
    s.n_pieces = (s.a.size + s.piece_boxes - 1) // s.piece_boxes
    ft_crew_start(&crew, threads)
    with nogil:
        if threads == 1:
            _overlap_member(&s, &crew)
        else:
            with parallel(num_threads=threads):
                _overlap_member(&s, &crew)
    return out


# ---- precision and recall ----------------------------------------------------------------------------------

# Truths or predictions, and their rows in the order of class, image and row.
ctypedef struct Rows:
    Boxes boxes
    const int64_t* classes
    const int64_t* images
    int64_t* order              # (size,)
    int64_t* spare              # (size,)
    int64_t* class_starts       # (n_classes + 1,): positions in `order`


# What truths and predictions of one class and image there are: positions in the two orders.
ctypedef struct Group:
    int64_t true_begin, true_end, pred_begin, pred_end


ctypedef struct Scored:
    double score
    int64_t position            # in the order of the predictions


ctypedef struct Evaluation:
    Rows true, pred
    const char* scores
    bint scores_are_double
    const uint8_t* crowd        # of truths, or NULL
    const uint8_t* ignore       # of truths, or NULL
    const char* areas           # of truths, or NULL: those of their boxes
    bint areas_are_double
    Py_ssize_t n_thresholds, n_recalls, n_classes, n_ranges, n_limits
    const double* thresholds    # (n_thresholds,)
    const double* recalls       # (n_recalls,)
    const double* ranges        # (n_ranges, 2)
    const int64_t* limits       # (n_limits,)
    double lowest               # overlap that may match at all
    int64_t most                # predictions of a group that count
    Group* groups
    Py_ssize_t n_groups, n_group_pieces, most_true, most_class_true
    int64_t* ranks              # (n_pred,) within the group, by position
    uint8_t* states             # (n_ranges, n_pred, n_thresholds), by position
    Scored* sorted              # (n_pred,): of each class, its n_kept first
    Scored* merged              # (n_pred,) scratch
    int64_t* n_kept             # (n_classes,)
    char* scratch               # thread_bytes for each thread
    Py_ssize_t thread_bytes
    double* precision           # (n_thresholds, n_recalls, n_classes, n_ranges, n_limits)
    double* recall              # (n_thresholds, n_classes, n_ranges, n_limits)


cdef inline double _true_area(const Evaluation* s, Py_ssize_t row, double box_area) noexcept nogil:
    return box_area if s.areas == NULL else _real(s.areas, s.areas_are_double, row)


cdef inline bint _is_ignored(const Evaluation* s, Py_ssize_t row, double area, Py_ssize_t a) noexcept nogil:
    """Whether a truth counts neither as found nor as missed in the area range a, which has both its ends."""
    return (
        (s.crowd != NULL and s.crowd[row]) or (s.ignore != NULL and s.ignore[row])
        or area < s.ranges[2 * a] or area > s.ranges[2 * a + 1]
    )


cdef Py_ssize_t _counted(
    const int64_t* codes, Py_ssize_t size, Py_ssize_t n_codes, const int64_t* before, int64_t* after, int64_t* starts
) noexcept nogil:
    """Sorts rows (in the order `before`, or their own if NULL) by their codes, stably; the first bad row or -1."""
    cdef Py_ssize_t i
    cdef int64_t row, place = 0, count
    memset(starts, 0, (n_codes + 1) * sizeof(int64_t))
    for i in range(size):
        if codes[i] < 0 or codes[i] >= n_codes:
            return i
        starts[codes[i]] += 1
    for i in range(n_codes + 1):
        count = starts[i]
        starts[i] = place
        place += count
    for i in range(size):
        row = i if before == NULL else before[i]
        after[starts[codes[row]]] = row
        starts[codes[row]] += 1
    # each now stands at the next one's start
    for i in range(n_codes, 0, -1):
        starts[i] = starts[i - 1]
    starts[0] = 0
    return -1


cdef void _insert(Scored* rows, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef Scored one
    for i in range(1, size):
        one = rows[i]
        j = i
        while j > 0 and rows[j - 1].score < one.score:
            rows[j] = rows[j - 1]
            j -= 1
        rows[j] = one


cdef void _sort(Scored* rows, Scored* other, Py_ssize_t size) noexcept nogil:
    """By falling score; equal ones keep their order."""
    cdef Py_ssize_t begin, middle, end, i, j, k, width = _RUN
    cdef Scored* source = rows
    cdef Scored* target = other
    for k in range((size + _RUN - 1) // _RUN):
        begin = k * _RUN
        _insert(rows + begin, min(size - begin, <Py_ssize_t> _RUN))
    while width < size:
        begin = 0
        while begin < size:
            middle, end = min(begin + width, size), min(begin + 2 * width, size)
            i, j = begin, middle
            for k in range(begin, end):
                if i < middle and (j == end or source[i].score >= source[j].score):
                    target[k] = source[i]
                    i += 1
                else:
                    target[k] = source[j]
                    j += 1
            begin = end
        source, target = target, source
        width *= 2
    if source != rows:
        for k in range(size):
            rows[k] = source[k]


cdef Py_ssize_t _find_groups(Evaluation* s) noexcept nogil:
    """The groups in their order; their number."""
    cdef Py_ssize_t k, i, j, end_i, end_j, n = 0
    cdef int64_t image, true_image, pred_image
    cdef Group group
    s.most_true, s.most_class_true = 0, 0
    for k in range(s.n_classes):
        i, end_i = s.true.class_starts[k], s.true.class_starts[k + 1]
        j, end_j = s.pred.class_starts[k], s.pred.class_starts[k + 1]
        s.most_class_true = max(s.most_class_true, end_i - i)
        while i < end_i or j < end_j:
            true_image = s.true.images[s.true.order[i]] if i < end_i else -1
            pred_image = s.pred.images[s.pred.order[j]] if j < end_j else -1
            image = true_image if pred_image < 0 or 0 <= true_image < pred_image else pred_image
            group.true_begin, group.pred_begin = i, j
            while i < end_i and s.true.images[s.true.order[i]] == image:
                i += 1
            while j < end_j and s.pred.images[s.pred.order[j]] == image:
                j += 1
            group.true_end, group.pred_end = i, j
            s.most_true = max(s.most_true, <Py_ssize_t> (group.true_end - group.true_begin))
            s.groups[n] = group
            n += 1
    return n


cdef void _match(const Evaluation* s, const Group* group, char* scratch) noexcept nogil:
    """Sorts a group's predictions by score, and gives each kept one its state at every range and threshold."""
    cdef Py_ssize_t n_true = group.true_end - group.true_begin, n_pred = group.pred_end - group.pred_begin
    cdef Py_ssize_t n_kept = min(n_pred, <Py_ssize_t> s.most), i, j, g, a, t, n_near, best, row
    cdef Scored* rows = s.sorted + group.pred_begin
    cdef double* columns = <double*> scratch            # (5, n_true), the truths' boxes
    cdef double* crowd = columns + 5 * n_true           # (n_true,)
    cdef double* overlaps = crowd + n_true              # (n_true,), of the prediction at hand
    cdef double* near = overlaps + n_true               # those that may match
    cdef int64_t* near_true = <int64_t*> (near + n_true)    # and the truths they are with
    cdef uint8_t* ignored = <uint8_t*> (near_true + n_true)     # (n_ranges, n_true)
    cdef uint8_t* taken = ignored + s.n_ranges * n_true     # (n_ranges, n_thresholds, n_true)
    cdef uint8_t* states
    cdef uint8_t* taken_at
    cdef double threshold
    cdef Box box
    cdef bint outside, any_crowd = False
    for i in range(n_pred):
        row = s.pred.order[group.pred_begin + i]
        rows[i].score = _real(s.scores, s.scores_are_double, row)
        rows[i].position = row
    _sort(rows, s.merged + group.pred_begin, n_pred)
    for i in range(n_pred):
        s.pred.order[group.pred_begin + i] = rows[i].position
        s.ranks[group.pred_begin + i] = i
    for g in range(n_true):
        row = s.true.order[group.true_begin + g]
        box = _box(&s.true.boxes, row)
        _put(box, columns + g, n_true)
        crowd[g] = s.crowd != NULL and s.crowd[row] != 0
        any_crowd = any_crowd or crowd[g] != 0.0
        for a in range(s.n_ranges):
            ignored[a * n_true + g] = _is_ignored(s, row, _true_area(s, row, box.area), a)
    memset(taken, 0, s.n_ranges * s.n_thresholds * n_true)
    for i in range(n_kept):
        box = _box(&s.pred.boxes, rows[i].position)
        table.box_overlaps(
            n_true, <const double*> &box, columns, n_true, crowd if any_crowd else NULL, overlaps
        )
        n_near = 0
        for g in range(n_true):
            if overlaps[g] >= s.lowest:
                near[n_near] = overlaps[g]
                near_true[n_near] = g
                n_near += 1
        for a in range(s.n_ranges):
            states = s.states + (a * s.pred.boxes.size + group.pred_begin + i) * s.n_thresholds
            outside = box.area < s.ranges[2 * a] or box.area > s.ranges[2 * a + 1]
            if n_near == 0:
                memset(states, _IGNORED if outside else _MISS, s.n_thresholds)
                continue
            for t in range(s.n_thresholds):
                threshold = min(s.thresholds[t], 1.0 - 1e-10)
                taken_at = taken + (a * s.n_thresholds + t) * n_true
                best = -1
                # truths that count come first; among equal overlaps the later truth wins
                for j in range(n_near):
                    g = near_true[j]
                    if near[j] >= threshold and not ignored[a * n_true + g] and not taken_at[g]:
                        threshold, best = near[j], g
                if best < 0:
                    for j in range(n_near):
                        g = near_true[j]
                        if near[j] >= threshold and ignored[a * n_true + g] and (crowd[g] != 0.0 or not taken_at[g]):
                            threshold, best = near[j], g
                if best < 0:
                    states[t] = _IGNORED if outside else _MISS
                else:
                    states[t] = _IGNORED if ignored[a * n_true + best] else _HIT
                    taken_at[best] = 1


cdef void _rank_class(const Evaluation* s, Py_ssize_t k) noexcept nogil:
    """A class's kept predictions by falling score; equal ones in the order of images, then of ranks."""
    cdef Py_ssize_t begin = s.pred.class_starts[k], end = s.pred.class_starts[k + 1], i, n = 0
    for i in range(begin, end):
        if s.ranks[i] < s.most:
            # a group's rows are sorted, so the score still stands where it is read
            s.sorted[begin + n].score = s.sorted[i].score
            s.sorted[begin + n].position = i
            n += 1
    _sort(s.sorted + begin, s.merged + begin, n)
    s.n_kept[k] = n


cdef void _count(const Evaluation* s, Py_ssize_t piece, char* scratch) noexcept nogil:
    """Hits and misses down the scores of a class, for an area range and a limit, and what is read off them."""
    cdef Py_ssize_t m = piece % s.n_limits, a = piece // s.n_limits % s.n_ranges
    cdef Py_ssize_t k = piece // s.n_limits // s.n_ranges
    cdef Py_ssize_t begin = s.true.class_starts[k], end = s.true.class_starts[k + 1], i, t, r, row
    cdef int64_t n_positives = 0, hit, limit = s.limits[m]
    cdef int64_t* hits = <int64_t*> scratch                 # (n_thresholds,)
    cdef int64_t* misses = hits + s.n_thresholds            # (n_thresholds,)
    cdef double* at_hit = <double*> (misses + s.n_thresholds)   # (n_thresholds, n_positives) precisions
    cdef double* best
    cdef const uint8_t* states = s.states + a * s.pred.boxes.size * s.n_thresholds
    cdef const uint8_t* state
    cdef const Scored* rows = s.sorted + s.pred.class_starts[k]
    cdef double tp
    cdef Box box
    for i in range(begin, end):
        row = s.true.order[i]
        box = _box(&s.true.boxes, row)
        n_positives += not _is_ignored(s, row, _true_area(s, row, box.area), a)
    if n_positives == 0:
        return
    memset(hits, 0, 2 * s.n_thresholds * sizeof(int64_t))
    for i in range(s.n_kept[k]):
        if s.ranks[rows[i].position] >= limit:
            continue
        state = states + rows[i].position * s.n_thresholds
        for t in range(s.n_thresholds):
            if state[t] == _HIT:
                tp = <double> (hits[t] + 1)
                # the form and the order of additions are the definition's
                at_hit[t * n_positives + hits[t]] = tp / (<double> misses[t] + tp + DBL_EPSILON)
                hits[t] += 1
            elif state[t] == _MISS:
                misses[t] += 1
    for t in range(s.n_thresholds):
        s.recall[((t * s.n_classes + k) * s.n_ranges + a) * s.n_limits + m] = hits[t] / <double> n_positives
        # precision falls between hits, so that the best at a recall or a higher one is that of a hit
        best = at_hit + t * n_positives
        for i in range(hits[t] - 2, -1, -1):
            if best[i + 1] > best[i]:
                best[i] = best[i + 1]
        for r in range(s.n_recalls):
            # the first hit whose recall, as it is rounded, is at least the point's
            hit = max(<int64_t> 1, <int64_t> (s.recalls[r] * <double> n_positives))
            while hit > 1 and (hit - 1) / <double> n_positives >= s.recalls[r]:
                hit -= 1
            while hit <= hits[t] and hit / <double> n_positives < s.recalls[r]:
                hit += 1
            s.precision[
                (((t * s.n_recalls + r) * s.n_classes + k) * s.n_ranges + a) * s.n_limits + m
            ] = best[hit - 1] if hit <= hits[t] else 0.0


cdef void _evaluation_member(const Evaluation* s, ft_crew* crew) noexcept nogil:
    cdef int thread = ft_crew_join(crew)
    cdef char* scratch = s.scratch + thread * s.thread_bytes
    cdef Py_ssize_t n_counts = s.n_classes * s.n_ranges * s.n_limits, i
    cdef Py_ssize_t piece = ft_crew_take(crew, thread, 0, s.n_group_pieces)
    while piece >= 0:
        for i in range(piece * _PIECE_GROUPS, min(s.n_groups, (piece + 1) * _PIECE_GROUPS)):
            _match(s, s.groups + i, scratch)
        if ft_crew_finish(crew, s.n_group_pieces):
            ft_crew_advance(crew, 0)
        piece = ft_crew_take(crew, thread, 0, s.n_group_pieces)
    ft_crew_wait(crew, 0)
    piece = ft_crew_take(crew, thread, 1, s.n_classes)
    while piece >= 0:
        _rank_class(s, piece)
        if ft_crew_finish(crew, s.n_classes):
            ft_crew_advance(crew, 1)
        piece = ft_crew_take(crew, thread, 1, s.n_classes)
    ft_crew_wait(crew, 1)
    piece = ft_crew_take(crew, thread, 2, n_counts)
    while piece >= 0:
        _count(s, piece, scratch)
        piece = ft_crew_take(crew, thread, 2, n_counts)
    ft_crew_leave(crew, thread)


cdef cnp.ndarray _options(object value, str name, double low, double high, bint above):
    """A vector of float64 between two bounds, the lower one excluded if `above`."""
    cdef cnp.ndarray array = real_array(value, name, 1)
    if cnp.PyArray_TYPE(array) != cnp.NPY_FLOAT64:
        raise TypeError(f"{name} must have dtype float64, got {value.dtype}; {name}.astype(numpy.float64) converts")
    check_contiguous(array, name)
    bad = ~((value > low) if above else (value >= low)) | ~(value <= high)
    if bad.any():
        raise ValueError(
            f"{name} must be {'above' if above else 'at least'} {low:g} and at most {high:g}, got {value[bad][0]}"
        )
    return array


cdef class _Call:
    """The arrays of a call, checked, and the memory that it needs."""

    cdef Evaluation s
    cdef list arrays

    cdef cnp.ndarray keep(self, cnp.ndarray array):
        self.arrays.append(array)
        return array

    cdef int describe(
        self, Rows* rows, object boxes, object classes, object images, str kind, bint is_xywh
    ) except -1:
        self.keep(_describe(&rows.boxes, boxes, f"{kind}_boxes", is_xywh))
        for name, value in ((f"{kind}_classes", classes), (f"{kind}_images", images)):
            self.keep(int64_array(value, name, 1))
            check_shape(value, name, rows.boxes.size)
            check_contiguous(value, name)
        rows.classes = <const int64_t*> cnp.PyArray_DATA(<cnp.ndarray> classes)
        rows.images = <const int64_t*> cnp.PyArray_DATA(<cnp.ndarray> images)
        return 0

    cdef int put_in_order(self, Rows* rows, object classes, object images, str kind, Py_ssize_t n_images) except -1:
        cdef Py_ssize_t size = rows.boxes.size, n_classes = self.s.n_classes, bad_image, bad_class = -1
        cdef cnp.ndarray starts = self.keep(np.empty(n_classes + 1, dtype=np.int64))
        cdef cnp.ndarray places = np.empty(n_images + 1, dtype=np.int64)
        cdef cnp.ndarray orders = self.keep(np.empty((2, size), dtype=np.int64))
        cdef int64_t* image_starts = <int64_t*> cnp.PyArray_DATA(places)
        rows.class_starts = <int64_t*> cnp.PyArray_DATA(starts)
        rows.order = <int64_t*> cnp.PyArray_DATA(orders)
        rows.spare = rows.order + size
        with nogil:
            bad_image = _counted(rows.images, size, n_images, NULL, rows.spare, image_starts)
            if bad_image < 0:
                bad_class = _counted(rows.classes, size, n_classes, rows.spare, rows.order, rows.class_starts)
        if bad_image >= 0:
            raise ValueError(
                f"{kind}_images must be at least 0 and below the number of truths and predictions, {n_images}, "
                f"got {images[bad_image]} in row {bad_image}"
            )
        if bad_class >= 0:
            raise ValueError(
                f"{kind}_classes must be at least 0 and below n_classes, {n_classes}, got {classes[bad_class]} in "
                f"row {bad_class}"
            )
        return 0


def detection_precision_recall(
    true_boxes, true_classes, true_images, pred_boxes, pred_scores, pred_classes, pred_images,
    iou_thresholds, recall_points, area_ranges, max_detections, n_classes, *,
    crowd=None, ignore=None, areas=None, box_format="xyxy", n_threads=None,
):
    """COCO's precision at recall points, and its recall, by threshold, class, area range and detections per image.

    In each image and class, predictions choose truths in the order of falling scores (equal ones in the order of
    rows), the first ``max_detections`` of them.  One chooses, of the truths that are not taken and overlap it by at
    least ``min(threshold, 1 - 1e-10)``, the one it overlaps most (of equal ones, the last), and an ignored truth
    only where no other can be had.  It is then a hit, or ignored with its truth.  If it finds none it is a miss, or
    ignored where its own area is out of range.  Ignored are truths with an area out of range, which has both its
    ends, crowds, and those in ``ignore``.  A crowd is never taken, and overlaps by intersection over the
    prediction's area.

    Down the scores of a class (equal ones in the order of images, then in that of an image), with ``tp`` hits and
    ``fp`` misses so far, of ``n`` truths that are not ignored: ``recall = tp / n`` and ``precision = tp /
    (fp + tp + spacing(1))``.  At a recall point stands the best precision from the first prediction on whose recall
    is at least the point's; 0 where there is none.

    Parameters
    ----------
    true_boxes : ndarray of shape (n_true, 4)
        float32 or float64, C-contiguous, finite; no size may be negative.
    true_classes : ndarray of shape (n_true,)
        int64, C-contiguous, ``0 .. n_classes - 1``.
    true_images : ndarray of shape (n_true,)
        int64, C-contiguous, ``0 .. n_true + n_pred - 1``: the place of the image among all.
    pred_boxes, pred_classes, pred_images : ndarrays of shapes (n_pred, 4), (n_pred,), (n_pred,)
        Like those of the truths.
    pred_scores : ndarray of shape (n_pred,)
        float32 or float64, C-contiguous, finite.
    iou_thresholds : ndarray of shape (n_thresholds,)
        float64, above 0 and at most 1.
    recall_points : ndarray of shape (n_recalls,)
        float64, in [0, 1].
    area_ranges : ndarray of shape (n_ranges, 2)
        float64: the least and the greatest area.
    max_detections : ndarray of shape (n_limits,)
        int64, at least 1: predictions that count, of an image and class.
    n_classes : int
        Up to 65,535.
    crowd, ignore : ndarray of shape (n_true,), optional
        bool, C-contiguous.
    areas : ndarray of shape (n_true,), optional
        float32 or float64, C-contiguous, not negative: the truths' areas for the ranges, if not their boxes'.
    box_format : {'xyxy', 'xywh'}
        A box is left, top, right and bottom, or left, top, width and height.
    n_threads : int, optional
        See :func:`fasttrain.get_num_threads`.  The result has the same bits for any number.

    Returns
    -------
    precision : ndarray of shape (n_thresholds, n_recalls, n_classes, n_ranges, n_limits)
        float64; -1 where a class has no truth that is not ignored.
    recall : ndarray of shape (n_thresholds, n_classes, n_ranges, n_limits)
        float64, over all predictions; -1 likewise.

    Raises
    ------
    TypeError
        An argument is not an ndarray of an accepted dtype.
    ValueError
        Another shape or layout; a number out of its range (the first is named).

    Notes
    -----
    The definition is that of ``COCOeval`` in pycocotools, for boxes; but a truth cannot get lost by its number.

    Examples
    --------
    >>> import numpy as np
    >>> from fasttrain.kernels import detection_precision_recall
    >>> truth = np.array([[0.0, 0.0, 4.0, 4.0], [5.0, 5.0, 9.0, 9.0]]), np.array([0, 0]), np.array([0, 0])
    >>> found = np.array([[0.0, 0.0, 4.0, 3.0]]), np.array([0.9]), np.array([0]), np.array([0])
    >>> precision, recall = detection_precision_recall(
    ...     *truth, *found, np.array([0.5]), np.array([0.0, 0.5, 1.0]), np.array([[0.0, np.inf]]), np.array([100]), 1
    ... )
    >>> precision[0, :, 0, 0, 0], recall[0, 0, 0, 0]
    (array([1., 1., 0.]), np.float64(0.5))
    """
    cdef _Call call = _Call()
    cdef Evaluation* s = &call.s
    cdef bint is_xywh = check_option(box_format, "box_format", _FORMATS)
    call.arrays = []
    s.n_classes = check_integer(n_classes, "n_classes", 0, 2**16 - 1)
    call.describe(&s.true, true_boxes, true_classes, true_images, "true", is_xywh)
    call.describe(&s.pred, pred_boxes, pred_classes, pred_images, "pred", is_xywh)
    cdef Py_ssize_t n_true = s.true.boxes.size, n_pred = s.pred.boxes.size
    cdef cnp.ndarray array = call.keep(real_array(pred_scores, "pred_scores", 1))
    check_shape(array, "pred_scores", n_pred)
    check_contiguous(array, "pred_scores")
    s.scores, s.scores_are_double = cnp.PyArray_BYTES(array), cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT64
    bad = ~np.isfinite(pred_scores)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"pred_scores must be finite, got {pred_scores[row]} in row {row}")
    s.crowd, s.ignore, s.areas, s.areas_are_double = NULL, NULL, NULL, False
    if crowd is not None:
        s.crowd = <const uint8_t*> cnp.PyArray_DATA(call.keep(_flags(crowd, "crowd", n_true)))
    if ignore is not None:
        s.ignore = <const uint8_t*> cnp.PyArray_DATA(call.keep(_flags(ignore, "ignore", n_true)))
    if areas is not None:
        array = call.keep(real_array(areas, "areas", 1))
        check_shape(array, "areas", n_true)
        check_contiguous(array, "areas")
        bad = ~(np.isfinite(areas) & (areas >= 0))
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(f"areas must be finite and not negative, got {areas[row]} in row {row}")
        s.areas, s.areas_are_double = cnp.PyArray_BYTES(array), cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT64
    array = call.keep(_options(iou_thresholds, "iou_thresholds", 0.0, 1.0, True))
    s.n_thresholds, s.thresholds = cnp.PyArray_SIZE(array), <const double*> cnp.PyArray_DATA(array)
    array = call.keep(_options(recall_points, "recall_points", 0.0, 1.0, False))
    s.n_recalls, s.recalls = cnp.PyArray_SIZE(array), <const double*> cnp.PyArray_DATA(array)
    array = call.keep(real_array(area_ranges, "area_ranges", 2))
    if cnp.PyArray_TYPE(array) != cnp.NPY_FLOAT64:
        raise TypeError(f"area_ranges must have dtype float64, got {area_ranges.dtype}")
    check_shape(array, "area_ranges", -1, 2)
    check_contiguous(array, "area_ranges")
    if not (area_ranges[:, 0] <= area_ranges[:, 1]).all():
        raise ValueError(f"area_ranges must hold pairs (least, greatest), got {area_ranges.tolist()}")
    s.n_ranges, s.ranges = cnp.PyArray_DIM(array, 0), <const double*> cnp.PyArray_DATA(array)
    array = call.keep(int64_array(max_detections, "max_detections", 1))
    check_contiguous(array, "max_detections")
    s.n_limits, s.limits = cnp.PyArray_SIZE(array), <const int64_t*> cnp.PyArray_DATA(array)
    if s.n_limits and max_detections.min() < 1:
        raise ValueError(f"max_detections must be at least 1, got {int(max_detections.min())}")
    cdef int threads = threads_for(n_threads, <double> n_true + <double> n_pred, _GRAIN_ROWS)
    call.put_in_order(&s.true, true_classes, true_images, "true", n_true + n_pred)
    call.put_in_order(&s.pred, pred_classes, pred_images, "pred", n_true + n_pred)
    precision = np.full((s.n_thresholds, s.n_recalls, s.n_classes, s.n_ranges, s.n_limits), -1.0)
    recall = np.full((s.n_thresholds, s.n_classes, s.n_ranges, s.n_limits), -1.0)
    if n_true and recall.size:
        s.precision = <double*> cnp.PyArray_DATA(<cnp.ndarray> precision)
        s.recall = <double*> cnp.PyArray_DATA(<cnp.ndarray> recall)
        s.most = max_detections.max()
        s.lowest = min(iou_thresholds.min(), 1.0 - 1e-10)
        _evaluate(call, threads)
    return precision, recall


cdef int _evaluate(_Call call, int threads) except -1:
    cdef Evaluation* s = &call.s
    cdef Py_ssize_t n_pred = s.pred.boxes.size, matching, counting
    cdef ft_crew crew
    # a group has a truth or a prediction; memory that is not written costs nothing
    s.groups = <Group*> cnp.PyArray_DATA(call.keep(np.empty((s.true.boxes.size + n_pred, 4), dtype=np.int64)))
    with nogil:
        s.n_groups = _find_groups(s)
    s.ranks = <int64_t*> cnp.PyArray_DATA(call.keep(np.empty(n_pred, dtype=np.int64)))
    s.states = <uint8_t*> cnp.PyArray_DATA(call.keep(np.empty(s.n_ranges * n_pred * s.n_thresholds, dtype=np.uint8)))
    s.sorted = <Scored*> cnp.PyArray_DATA(call.keep(np.empty((n_pred, 2))))
    s.merged = <Scored*> cnp.PyArray_DATA(call.keep(np.empty((n_pred, 2))))
    s.n_kept = <int64_t*> cnp.PyArray_DATA(call.keep(np.empty(s.n_classes, dtype=np.int64)))
    s.n_group_pieces = (s.n_groups + _PIECE_GROUPS - 1) // _PIECE_GROUPS
    # the scratch memory of _match for each truth of a group, and of _count
    matching = s.most_true * (9 * 8 + s.n_ranges * (1 + s.n_thresholds))
    counting = s.n_thresholds * (16 + 8 * s.most_class_true)
    s.thread_bytes = (max(matching, counting) + 2 * _GAP_BYTES) // _GAP_BYTES * _GAP_BYTES
    s.scratch = <char*> cnp.PyArray_DATA(call.keep(np.empty(threads * s.thread_bytes // 8)))
    ft_crew_start(&crew, threads)
    with nogil:
        if threads == 1:
            _evaluation_member(s, &crew)
        else:
            with parallel(num_threads=threads):
                _evaluation_member(s, &crew)
    return 0
