/*
 * Matrix product of one block: c (m, n) = [c +] a (m, k) b (k, n) [+ bias].
 *
 * The register tile is up to FT_TILE_ROWS rows by FT_TILE_VECTORS vectors of columns.  Elements of a are
 * broadcast one by one, so that any strides of a cost the same unless its rows fall into few sets of the cache
 * (linalg.pyx); a row of b is read as vectors, so that b is either row-major or packed.  Each element of c is one
 * accumulator summed over p = 0 .. k - 1 in order, whatever the tile: its bits depend neither on the shape of the
 * block nor on its neighbours.
 *
 * Rows are split evenly over tiles (64 rows at 14 a tile: 13, 13, 13, 13, 12), so that no sliver is left.
 * Too few rows leave multiply-adds waiting for each other; then a tile takes more columns, and a
 * narrow tile more rows.
 */

#define FT_TALL_ROWS (2 * FT_TILE_ROWS > 14 ? 14 : 2 * FT_TILE_ROWS) /* rows of a tile one vector wide, at most */

/* Orders of a that a tile knows at compile time, so that its loop has no other instructions than it needs. */
#ifndef FT_GEMM_ORDERS
#define FT_GEMM_ORDERS
enum { FT_ANY_ORDER, FT_BY_ROWS /* contiguous rows */, FT_BY_TILES /* as ft_pack_tiles writes */ };
#endif

#if defined(__x86_64__) && FT_VECTOR_BYTES == 32
#define FT_ASM_LOOPS
#include "gemm_x86.h"
#endif

FT_INLINE void SUFFIX(ft_tile)(const int rows, const int vectors, const int partial, const int order, ptrdiff_t k,
                               const REAL *a, ptrdiff_t a_row_stride, ptrdiff_t a_column_stride, const REAL *b,
                               ptrdiff_t b_row_stride, ptrdiff_t b_panel_stride, REAL *c, ptrdiff_t c_row_stride,
                               int accumulate, const REAL *bias, ptrdiff_t last_count) {
    const ptrdiff_t row_stride = order == FT_BY_TILES ? 1 : a_row_stride;
    const ptrdiff_t column_stride = order == FT_BY_TILES ? rows : order == FT_BY_ROWS ? 1 : a_column_stride;
    VEC sum[14][8]; /* of which rows x vectors are used, all in registers */
    FT_UNROLL
    for (int i = 0; i < rows; i++)
        FT_UNROLL
        for (int v = 0; v < vectors; v++)
            sum[i][v] = (VEC){0};
    /* A pointer for every three rows, since x86 adds once or twice a stride to an address at no cost.  The
       empty statement hides that they are related: or else there is an offset for each row, in memory. */
    const REAL *third[5];
    FT_UNROLL
    for (int i = 0; i < rows; i += 3) {
        third[i / 3] = a + i * row_stride;
        if (order != FT_BY_TILES)
            __asm__("" : "+r"(third[i / 3]));
    }
    ptrdiff_t p = 0;
#ifdef FT_ASM_LOOPS
    p = SUFFIX(ft_asm_loop)(rows, partial ? 0 : vectors, order, k, a, row_stride, b, b_row_stride, sum);
    FT_UNROLL
    for (int i = 0; i < rows; i += 3)
        third[i / 3] += p * column_stride;
    b += p * b_row_stride;
#endif
    for (; p < k; p++) {
        VEC row[8];
        FT_UNROLL
        for (int v = 0; v < vectors; v++) {
            const REAL *from = b + v / FT_TILE_VECTORS * b_panel_stride + v % FT_TILE_VECTORS * LANES;
            row[v] = partial && v == vectors - 1 ? LOAD_PARTIAL(from, last_count) : LOAD(from);
        }
        FT_UNROLL
        for (int i = 0; i < rows; i++) {
            VEC element = BROADCAST(third[i / 3][i % 3 * row_stride]);
            FT_UNROLL
            for (int v = 0; v < vectors; v++)
                sum[i][v] = FMA(element, row[v], sum[i][v]);
        }
        FT_UNROLL
        for (int i = 0; i < rows; i += 3)
            third[i / 3] += column_stride;
        b += b_row_stride;
    }
    FT_UNROLL
    for (int v = 0; v < vectors; v++) {
        const int cut = partial && v == vectors - 1;
        VEC shift = {0};
        if (bias)
            shift = cut ? LOAD_PARTIAL(bias + v * LANES, last_count) : LOAD(bias + v * LANES);
        FT_UNROLL
        for (int i = 0; i < rows; i++) {
            REAL *to = c + i * c_row_stride + v * LANES;
            VEC total = sum[i][v];
            if (accumulate)
                total += cut ? LOAD_PARTIAL(to, last_count) : LOAD(to);
            if (bias)
                total += shift;
            if (cut)
                STORE_PARTIAL(to, last_count, total);
            else
                STORE(to, total);
        }
    }
}

#define FT_TILE_PARAMETERS                                                                               \
    ptrdiff_t k, const REAL *a, ptrdiff_t a_row_stride, ptrdiff_t a_column_stride, const REAL *b,        \
        ptrdiff_t b_row_stride, ptrdiff_t b_panel_stride, REAL *c, ptrdiff_t c_row_stride,               \
        int accumulate, const REAL *bias, ptrdiff_t last_count
#define FT_TILE_ARGUMENTS                                                                                \
    k, a, a_row_stride, a_column_stride, b, b_row_stride, b_panel_stride, c, c_row_stride, accumulate,   \
        bias, last_count

#define FT_DEFINE_TILE(rows, vectors)                                                                    \
    static __attribute__((noinline)) void SUFFIX(ft_tile_##rows##x##vectors)(FT_TILE_PARAMETERS) {       \
        SUFFIX(ft_tile)(rows, vectors, 0, FT_ANY_ORDER, FT_TILE_ARGUMENTS);                              \
    }                                                                                                    \
    static __attribute__((noinline)) void SUFFIX(ft_tile_##rows##x##vectors##_cut)(FT_TILE_PARAMETERS) { \
        SUFFIX(ft_tile)(rows, vectors, 1, FT_ANY_ORDER, FT_TILE_ARGUMENTS);                              \
    }
#define FT_DEFINE_ORDERED(rows, unused)                                                                  \
    static __attribute__((noinline)) void SUFFIX(ft_tile_##rows##_by_rows)(FT_TILE_PARAMETERS) {         \
        SUFFIX(ft_tile)(rows, FT_TILE_VECTORS, 0, FT_BY_ROWS, FT_TILE_ARGUMENTS);                        \
    }                                                                                                    \
    static __attribute__((noinline)) void SUFFIX(ft_tile_##rows##_by_tiles)(FT_TILE_PARAMETERS) {        \
        SUFFIX(ft_tile)(rows, FT_TILE_VECTORS, 0, FT_BY_TILES, FT_TILE_ARGUMENTS);                       \
    }

#define FT_EACH_TILE_TO_4(X, vectors) X(1, vectors) X(2, vectors) X(3, vectors) X(4, vectors)
#define FT_EACH_TILE_TO_6(X, vectors) FT_EACH_TILE_TO_4(X, vectors) X(5, vectors) X(6, vectors)
#define FT_EACH_TILE_TO_8(X, vectors) FT_EACH_TILE_TO_6(X, vectors) X(7, vectors) X(8, vectors)
#define FT_EACH_TILE_TO_12(X, vectors)                                                                   \
    FT_EACH_TILE_TO_8(X, vectors) X(9, vectors) X(10, vectors) X(11, vectors) X(12, vectors)
#define FT_EACH_TILE_TO_14(X, vectors) FT_EACH_TILE_TO_12(X, vectors) X(13, vectors) X(14, vectors)
#if FT_TILE_ROWS == 4
#define FT_EACH_TALL_TILE(X) FT_EACH_TILE_TO_8(X, 1)
#define FT_EACH_FULL_TILE(X) FT_EACH_TILE_TO_4(X, 2)
#elif FT_TILE_ROWS == 6
#define FT_EACH_TALL_TILE(X) FT_EACH_TILE_TO_12(X, 1)
#define FT_EACH_FULL_TILE(X) FT_EACH_TILE_TO_6(X, 2)
#elif FT_TILE_ROWS == 8
#define FT_EACH_TALL_TILE(X) FT_EACH_TILE_TO_14(X, 1)
#define FT_EACH_FULL_TILE(X) FT_EACH_TILE_TO_8(X, 2)
#elif FT_TILE_ROWS == 14
#define FT_EACH_TALL_TILE(X) FT_EACH_TILE_TO_14(X, 1)
#define FT_EACH_FULL_TILE(X) FT_EACH_TILE_TO_14(X, 2)
#endif

FT_EACH_TALL_TILE(FT_DEFINE_TILE)
FT_EACH_FULL_TILE(FT_DEFINE_TILE)
FT_EACH_FULL_TILE(FT_DEFINE_ORDERED)
FT_DEFINE_TILE(1, 8)
FT_DEFINE_TILE(2, 4)

typedef void (*SUFFIX(ft_tile_function))(FT_TILE_PARAMETERS);
#define FT_TILE_ENTRY(rows, vectors)                                                                     \
    [rows][vectors] = {SUFFIX(ft_tile_##rows##x##vectors), SUFFIX(ft_tile_##rows##x##vectors##_cut)},
/* [rows][vectors][whether the last vector is partial] */
static const SUFFIX(ft_tile_function) SUFFIX(ft_tiles)[15][9][2] = {
    FT_EACH_TALL_TILE(FT_TILE_ENTRY) FT_EACH_FULL_TILE(FT_TILE_ENTRY) FT_TILE_ENTRY(1, 8) FT_TILE_ENTRY(2, 4)};
#define FT_ORDERED_ENTRY(rows, unused)                                                                   \
    [rows] = {[FT_BY_ROWS] = SUFFIX(ft_tile_##rows##_by_rows), [FT_BY_TILES] = SUFFIX(ft_tile_##rows##_by_tiles)},
/* whole tiles of FT_TILE_VECTORS vectors: [rows][order] */
static const SUFFIX(ft_tile_function) SUFFIX(ft_ordered_tiles)[15][3] = {FT_EACH_FULL_TILE(FT_ORDERED_ENTRY)};

/*
 * A tile whose last vector is cut, where b may be read beyond the cut: a whole tile beside c, of which the part
 * that is in c is copied.
 */
static void SUFFIX(ft_cut_tile)(ptrdiff_t rows, int order, FT_TILE_PARAMETERS) {
    enum { WIDTH = FT_TILE_VECTORS * LANES };
    REAL whole[FT_TILE_ROWS * WIDTH], whole_bias[WIDTH];
    const ptrdiff_t past = (FT_TILE_VECTORS - 1) * LANES; /* the cut vector's first column */
    if (accumulate)
        for (ptrdiff_t i = 0; i < rows; i++) {
            for (ptrdiff_t v = 0; v < past; v += LANES)
                STORE(whole + i * WIDTH + v, LOAD(c + i * c_row_stride + v));
            STORE(whole + i * WIDTH + past, LOAD_PARTIAL(c + i * c_row_stride + past, last_count));
        }
    if (bias) {
        for (ptrdiff_t v = 0; v < past; v += LANES)
            STORE(whole_bias + v, LOAD(bias + v));
        STORE(whole_bias + past, LOAD_PARTIAL(bias + past, last_count));
    }
    SUFFIX(ft_ordered_tiles)[rows][order](k, a, a_row_stride, a_column_stride, b, b_row_stride, b_panel_stride,
                                          whole, WIDTH, accumulate, bias ? whole_bias : NULL, LANES);
    for (ptrdiff_t i = 0; i < rows; i++) {
        for (ptrdiff_t v = 0; v < past; v += LANES)
            STORE(c + i * c_row_stride + v, LOAD(whole + i * WIDTH + v));
        STORE_PARTIAL(c + i * c_row_stride + past, last_count, LOAD(whole + i * WIDTH + past));
    }
}

static void SUFFIX(ft_gemm_block)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const REAL *a, ptrdiff_t a_row_stride,
                                  ptrdiff_t a_column_stride, const REAL *b, ptrdiff_t b_row_stride,
                                  ptrdiff_t b_panel_stride, REAL *c, ptrdiff_t c_row_stride, int accumulate,
                                  const REAL *bias) {
    const int tiled = a_column_stride == FT_TILED;
    const ptrdiff_t wide = tiled ? FT_TILE_VECTORS : m == 1 ? 8 : m == 2 ? 4 : FT_TILE_VECTORS;
    for (ptrdiff_t column = 0; column < n;) {
        ptrdiff_t left = (n - column + LANES - 1) / LANES;
        ptrdiff_t vectors = left >= wide ? wide : left >= FT_TILE_VECTORS ? FT_TILE_VECTORS : 1;
        ptrdiff_t width = vectors * LANES < n - column ? vectors * LANES : n - column;
        ptrdiff_t last_count = width - (vectors - 1) * LANES;
        ptrdiff_t most = vectors == 1 && !tiled ? FT_TALL_ROWS : FT_TILE_ROWS;
        ptrdiff_t n_tiles = (m + most - 1) / most;
        const REAL *panel = b + column / (FT_TILE_VECTORS * LANES) * b_panel_stride;
        const int cut = last_count < LANES, padded = b_panel_stride != FT_TILE_VECTORS * LANES;
        int order = vectors != FT_TILE_VECTORS || (cut && !(padded && k >= 32)) ? FT_ANY_ORDER
                    : tiled                                                     ? FT_BY_TILES
                    : a_column_stride == 1                                      ? FT_BY_ROWS
                                                                                : FT_ANY_ORDER;
        for (ptrdiff_t tile = 0, row = 0; tile < n_tiles; tile++) {
            ptrdiff_t rows = m / n_tiles + (tile < m % n_tiles);
#define FT_ARGUMENTS                                                                                     \
    k, a + row * (tiled ? k : a_row_stride), tiled ? 1 : a_row_stride, tiled ? rows : a_column_stride,   \
        panel, b_row_stride, b_panel_stride, c + row * c_row_stride + column, c_row_stride, accumulate,  \
        bias ? bias + column : NULL, last_count
            if (order == FT_ANY_ORDER)
                SUFFIX(ft_tiles)[rows][vectors][cut](FT_ARGUMENTS);
            else if (cut)
                SUFFIX(ft_cut_tile)(rows, order, FT_ARGUMENTS);
            else
                SUFFIX(ft_ordered_tiles)[rows][order](FT_ARGUMENTS);
#undef FT_ARGUMENTS
            row += rows;
        }
        column += width;
    }
}

/* Squares of 128 bits, FT_SQUARE rows of them, transposed in every 128 bits of the vectors. */
#define FT_SQUARE (16 / (int)sizeof(REAL))
FT_INLINE void SUFFIX(ft_transpose_squares)(const VEC *row, VEC *column) {
#if REAL_IS_FLOAT
    VEC low01 = FT_LOW_PAIRS(f32, row[0], row[1]), high01 = FT_HIGH_PAIRS(f32, row[0], row[1]);
    VEC low23 = FT_LOW_PAIRS(f32, row[2], row[3]), high23 = FT_HIGH_PAIRS(f32, row[2], row[3]);
    column[0] = (VEC)FT_LOW_PAIRS(f64, (f64v)low01, (f64v)low23);
    column[1] = (VEC)FT_HIGH_PAIRS(f64, (f64v)low01, (f64v)low23);
    column[2] = (VEC)FT_LOW_PAIRS(f64, (f64v)high01, (f64v)high23);
    column[3] = (VEC)FT_HIGH_PAIRS(f64, (f64v)high01, (f64v)high23);
#else
    column[0] = FT_LOW_PAIRS(f64, row[0], row[1]);
    column[1] = FT_HIGH_PAIRS(f64, row[0], row[1]);
#endif
}

/*
 * A tile of rows that are each contiguous, FT_SQUARE rows at a time; the last rows of a tile are also the last
 * of those, so some are written twice.  Returns the number of columns written.
 */
FT_INLINE ptrdiff_t SUFFIX(ft_pack_tile_rows)(ptrdiff_t rows, ptrdiff_t k, const REAL *a, ptrdiff_t a_row_stride,
                                              REAL *packed) {
    ptrdiff_t p = 0;
    for (; rows >= FT_SQUARE && p + LANES <= k; p += LANES)
        for (ptrdiff_t i = 0; i < rows; i += FT_SQUARE) {
            ptrdiff_t first = i + FT_SQUARE <= rows ? i : rows - FT_SQUARE;
            VEC row[4], turned[4];
            FT_UNROLL
            for (int j = 0; j < FT_SQUARE; j++)
                row[j] = LOAD(a + (first + j) * a_row_stride + p);
            SUFFIX(ft_transpose_squares)(row, turned);
            FT_UNROLL
            for (int square = 0; square < LANES / FT_SQUARE; square++)
                FT_UNROLL
                for (int j = 0; j < FT_SQUARE; j++)
                    ft_store_piece((char *)(packed + (p + square * FT_SQUARE + j) * rows + first), (f64v)turned[j],
                                   square);
        }
    return p;
}

/* a (m, k) tile by tile, k columns of the tile's rows each: the order in which a block reads it. */
static void SUFFIX(ft_pack_tiles)(ptrdiff_t m, ptrdiff_t k, const REAL *a, ptrdiff_t a_row_stride,
                                  ptrdiff_t a_column_stride, REAL *packed) {
    ptrdiff_t n_tiles = (m + FT_TILE_ROWS - 1) / FT_TILE_ROWS;
    for (ptrdiff_t tile = 0, row = 0; tile < n_tiles; tile++) {
        ptrdiff_t rows = m / n_tiles + (tile < m % n_tiles), p = 0;
        if (a_row_stride == 1)
            /* whole vectors; the next column overwrites what is beyond the tile, the last ones go one by one */
            for (; row + 2 * LANES <= m && p + 2 * LANES <= k && rows <= 2 * LANES; p++) {
                STORE(packed + p * rows, LOAD(a + p * a_column_stride));
                if (FT_TILE_ROWS > LANES)
                    STORE(packed + p * rows + LANES, LOAD(a + p * a_column_stride + LANES));
            }
        else if (a_column_stride == 1)
            p = SUFFIX(ft_pack_tile_rows)(rows, k, a, a_row_stride, packed);
        for (; p < k; p++)
            for (ptrdiff_t i = 0; i < rows; i++)
                packed[p * rows + i] = a[i * a_row_stride + p * a_column_stride];
        row += rows;
        a += rows * a_row_stride;
        packed += rows * k;
    }
}

/*
 * y (n, m) = the transpose of x (m, n), whose rows are each contiguous, a square of every vector at once; m is at
 * least a vector, or nothing is done.  The last vector of a row may overlap the one before it.  Returns the number
 * of rows written, a multiple of the square's side.
 */
FT_INLINE ptrdiff_t SUFFIX(ft_transpose_rows)(ptrdiff_t m, ptrdiff_t n, const REAL *x, ptrdiff_t x_row_stride, REAL *y,
                                              ptrdiff_t y_row_stride) {
    ptrdiff_t j = 0;
    for (; m >= LANES && j + FT_SQUARE <= n; j += FT_SQUARE)
        for (ptrdiff_t i = 0; i < m; i += LANES) {
            ptrdiff_t first = i + LANES <= m ? i : m - LANES;
            VEC column[4], turned[4];
            FT_UNROLL
            for (int p = 0; p < FT_SQUARE; p++)
                column[p] = (VEC)ft_load_pieces((const char *)(x + j + (first + p) * x_row_stride),
                                                FT_SQUARE * x_row_stride * (ptrdiff_t)sizeof(REAL));
            SUFFIX(ft_transpose_squares)(column, turned);
            FT_UNROLL
            for (int p = 0; p < FT_SQUARE; p++)
                STORE(y + (j + p) * y_row_stride + first, turned[p]);
        }
    return j;
}

static void SUFFIX(ft_transpose)(ptrdiff_t m, ptrdiff_t n, const REAL *x, ptrdiff_t x_row_stride, REAL *y,
                                 ptrdiff_t y_row_stride) {
    for (ptrdiff_t j = SUFFIX(ft_transpose_rows)(m, n, x, x_row_stride, y, y_row_stride); j < n; j++)
        for (ptrdiff_t i = 0; i < m; i++)
            y[j * y_row_stride + i] = x[i * x_row_stride + j];
}

/* Rows of b that are each contiguous into the same rows of `n_panels` panels, each of k rows. */
FT_INLINE void SUFFIX(ft_pack_rows)(const int n_panels, ptrdiff_t n_rows, ptrdiff_t k, const REAL *b,
                                    ptrdiff_t b_row_stride, REAL *packed) {
    const ptrdiff_t panel = FT_TILE_VECTORS * LANES;
    for (ptrdiff_t p = 0; p < n_rows; p++)
        FT_UNROLL
        for (int v = 0; v < n_panels * FT_TILE_VECTORS; v++)
            STORE(packed + v / FT_TILE_VECTORS * k * panel + p * panel + v % FT_TILE_VECTORS * LANES,
                  LOAD(b + p * b_row_stride + v * LANES));
}

static void SUFFIX(ft_pack_panels)(ptrdiff_t k, ptrdiff_t n, const REAL *b, ptrdiff_t b_row_stride,
                                   ptrdiff_t b_column_stride, REAL *packed) {
    const ptrdiff_t panel = FT_TILE_VECTORS * LANES;
    const ptrdiff_t rows_at_once = 32; /* pages of b that stay in the translation buffer meanwhile */
    if (b_column_stride == 1) {
        ptrdiff_t whole = n / panel;
        for (ptrdiff_t p = 0; p < k; p += rows_at_once) {
            ptrdiff_t n_rows = k - p < rows_at_once ? k - p : rows_at_once, j = 0;
            for (; j + 4 <= whole; j += 4)
                SUFFIX(ft_pack_rows)(4, n_rows, k, b + p * b_row_stride + j * panel, b_row_stride,
                                     packed + (j * k + p) * panel);
            for (; j < whole; j++)
                SUFFIX(ft_pack_rows)(1, n_rows, k, b + p * b_row_stride + j * panel, b_row_stride,
                                     packed + (j * k + p) * panel);
        }
        n -= whole * panel;
        b += whole * panel;
        packed += whole * panel * k;
    }
    for (; n > 0; n -= panel, b += panel * b_column_stride, packed += panel * k) {
        ptrdiff_t valid = n < panel ? n : panel, p = 0;
        if (valid == panel && b_row_stride == 1)
            p = SUFFIX(ft_transpose_rows)(panel, k, b, b_column_stride, packed, panel);
        for (; p < k; p++)
            for (ptrdiff_t j = 0; j < panel; j++)
                packed[p * panel + j] = j < valid ? b[p * b_row_stride + j * b_column_stride] : 0;
    }
}

#undef FT_ASM_LOOPS
#undef FT_SQUARE
#undef FT_TALL_ROWS
#undef FT_TILE_PARAMETERS
#undef FT_TILE_ARGUMENTS
#undef FT_DEFINE_TILE
#undef FT_EACH_TILE_TO_4
#undef FT_EACH_TILE_TO_6
#undef FT_EACH_TILE_TO_8
#undef FT_EACH_TILE_TO_12
#undef FT_EACH_TILE_TO_14
#undef FT_EACH_TALL_TILE
#undef FT_EACH_FULL_TILE
#undef FT_DEFINE_ORDERED
#undef FT_ORDERED_ENTRY
#undef FT_TILE_ENTRY
