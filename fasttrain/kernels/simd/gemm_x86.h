/*
 * The loop of the largest tiles at level v3, in assembly: 5 or 6 rows by 2 vectors of 32 bytes, four steps of
 * p at a time.  It is what the loop in gemm.h means, with the same bits, in 21.4 instructions for each step of
 * 12 multiply-adds.  Compilers need 22 to 24, or more when they are told to unroll, since accumulators then
 * change registers; where two threads share a core, and with it the decoder, that is 6 to 10 % of the time.
 *
 * Operands 0 to 2 rows - 1 are the accumulators, row by row.  ymm13 and ymm14 hold a row of b, ymm15 an
 * element of a.
 */
#if REAL_IS_FLOAT
#define FT_ASM_SIZE "4"
#define FT_ASM_BROADCAST "vbroadcastss "
#define FT_ASM_FMA "vfmadd231ps "
#else
#define FT_ASM_SIZE "8"
#define FT_ASM_BROADCAST "vbroadcastsd "
#define FT_ASM_FMA "vfmadd231pd "
#endif

/* where the element of row i and step u lies */
#define FT_ASM_BY_TILES(rows, i, u) FT_ASM_SIZE "*(" #u "*" #rows "+" #i ")(%[a])"
#define FT_ASM_BY_ROWS_0 "(%[a])"
#define FT_ASM_BY_ROWS_1 "(%[a], %[a_stride])"
#define FT_ASM_BY_ROWS_2 "(%[a], %[a_stride], 2)"
#define FT_ASM_BY_ROWS_3 "(%[a3])"
#define FT_ASM_BY_ROWS_4 "(%[a3], %[a_stride])"
#define FT_ASM_BY_ROWS_5 "(%[a3], %[a_stride], 2)"
#define FT_ASM_BY_ROWS(rows, i, u) FT_ASM_SIZE "*" #u FT_ASM_BY_ROWS_##i

#define FT_ASM_ROW(address, first, second)                                                              \
    FT_ASM_BROADCAST address ", %%ymm15\n" FT_ASM_FMA "%%ymm13, %%ymm15, %" #first "\n"                  \
    FT_ASM_FMA "%%ymm14, %%ymm15, %" #second "\n"
#define FT_ASM_ROWS_5(ORDER, rows, u)                                                                    \
    FT_ASM_ROW(ORDER(rows, 0, u), 0, 1) FT_ASM_ROW(ORDER(rows, 1, u), 2, 3)                              \
    FT_ASM_ROW(ORDER(rows, 2, u), 4, 5) FT_ASM_ROW(ORDER(rows, 3, u), 6, 7)                              \
    FT_ASM_ROW(ORDER(rows, 4, u), 8, 9)
#define FT_ASM_ROWS_6(ORDER, rows, u) FT_ASM_ROWS_5(ORDER, rows, u) FT_ASM_ROW(ORDER(rows, 5, u), 10, 11)

#define FT_ASM_STEP(rows, ORDER, u, row_of_b)                                                            \
    "vmovups " row_of_b ", %%ymm13\nvmovups 32" row_of_b ", %%ymm14\n" FT_ASM_ROWS_##rows(ORDER, rows, u)

#define FT_ASM_LOOP(rows, ORDER, a_advance)                                                              \
    ".p2align 5\n1:\n"                                                                                   \
    FT_ASM_STEP(rows, ORDER, 0, "(%[b])") FT_ASM_STEP(rows, ORDER, 1, "(%[b], %[b_stride])")             \
    FT_ASM_STEP(rows, ORDER, 2, "(%[b], %[b_stride], 2)") FT_ASM_STEP(rows, ORDER, 3, "(%[b3])")         \
    a_advance                                                                                            \
    "lea (%[b], %[b_stride], 4), %[b]\nlea (%[b3], %[b_stride], 4), %[b3]\n"                             \
    "dec %[n]\njnz 1b\n"

#define FT_ASM_ADVANCE_TILES(rows) "add $" FT_ASM_SIZE "*4*" #rows ", %[a]\n"
#define FT_ASM_ADVANCE_ROWS "add $" FT_ASM_SIZE "*4, %[a]\nadd $" FT_ASM_SIZE "*4, %[a3]\n"

#define FT_ASM_ZERO(i) "vxorps %" #i ", %" #i ", %" #i "\n"
#define FT_ASM_TEN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9)
#define FT_ASM_OUT_2(first, second) "=&x"(s##first), "=&x"(s##second)
#define FT_ASM_OUT_5 FT_ASM_OUT_2(0, 1), FT_ASM_OUT_2(2, 3), FT_ASM_OUT_2(4, 5), FT_ASM_OUT_2(6, 7), FT_ASM_OUT_2(8, 9)
#define FT_ASM_OUT_6 FT_ASM_OUT_5, FT_ASM_OUT_2(10, 11)
#define FT_ASM_ZERO_5 FT_ASM_TEN(FT_ASM_ZERO)
#define FT_ASM_ZERO_6 FT_ASM_ZERO_5 FT_ASM_ZERO(10) FT_ASM_ZERO(11)
#define FT_ASM_KEEP(i) sum[i / 2][i % 2] = s##i;
#define FT_ASM_KEEP_5 FT_ASM_TEN(FT_ASM_KEEP)
#define FT_ASM_KEEP_6 FT_ASM_KEEP_5 FT_ASM_KEEP(10) FT_ASM_KEEP(11)

/* sum = the first 4 n_fours steps, n_fours > 0; order as in gemm.h. */
#define FT_DEFINE_ASM_LOOP(name, rows, LOOP)                                                             \
    FT_INLINE void SUFFIX(name)(ptrdiff_t n_fours, const REAL *a, ptrdiff_t a_row_stride, const REAL *b, \
                                ptrdiff_t b_row_stride, VEC (*sum)[8]) {                                 \
        const REAL *a3 = a + 3 * a_row_stride, *b3 = b + 3 * b_row_stride;                               \
        VEC s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11;                                            \
        (void)s10, (void)s11;                                                                            \
        __asm__ volatile(FT_ASM_ZERO_##rows LOOP                                                         \
                         : FT_ASM_OUT_##rows, [a] "+r"(a), [a3] "+r"(a3), [b] "+r"(b), [b3] "+r"(b3),    \
                           [n] "+r"(n_fours)                                                             \
                         : [a_stride] "r"(a_row_stride * (ptrdiff_t)sizeof(REAL)),                       \
                           [b_stride] "r"(b_row_stride * (ptrdiff_t)sizeof(REAL))                        \
                         : "xmm13", "xmm14", "xmm15", "cc", "memory");                                   \
        FT_ASM_KEEP_##rows                                                                               \
    }
FT_DEFINE_ASM_LOOP(ft_loop_5_by_rows, 5, FT_ASM_LOOP(5, FT_ASM_BY_ROWS, FT_ASM_ADVANCE_ROWS))
FT_DEFINE_ASM_LOOP(ft_loop_6_by_rows, 6, FT_ASM_LOOP(6, FT_ASM_BY_ROWS, FT_ASM_ADVANCE_ROWS))
FT_DEFINE_ASM_LOOP(ft_loop_5_by_tiles, 5, FT_ASM_LOOP(5, FT_ASM_BY_TILES, FT_ASM_ADVANCE_TILES(5)))
FT_DEFINE_ASM_LOOP(ft_loop_6_by_tiles, 6, FT_ASM_LOOP(6, FT_ASM_BY_TILES, FT_ASM_ADVANCE_TILES(6)))

/* Whether there is a loop for a tile; if so it is run, and the steps done are returned. */
FT_INLINE ptrdiff_t SUFFIX(ft_asm_loop)(const int rows, const int vectors, const int order, ptrdiff_t k,
                                        const REAL *a, ptrdiff_t a_row_stride, const REAL *b,
                                        ptrdiff_t b_row_stride, VEC (*sum)[8]) {
    if (rows < 5 || vectors != 2 || order == FT_ANY_ORDER || k < 4)
        return 0;
    if (rows == 5 && order == FT_BY_ROWS)
        SUFFIX(ft_loop_5_by_rows)(k / 4, a, a_row_stride, b, b_row_stride, sum);
    else if (rows == 5)
        SUFFIX(ft_loop_5_by_tiles)(k / 4, a, a_row_stride, b, b_row_stride, sum);
    else if (order == FT_BY_ROWS)
        SUFFIX(ft_loop_6_by_rows)(k / 4, a, a_row_stride, b, b_row_stride, sum);
    else
        SUFFIX(ft_loop_6_by_tiles)(k / 4, a, a_row_stride, b, b_row_stride, sum);
    return k / 4 * 4;
}

#undef FT_ASM_SIZE
#undef FT_ASM_BROADCAST
#undef FT_ASM_FMA
#undef FT_ASM_BY_TILES
#undef FT_ASM_BY_ROWS_0
#undef FT_ASM_BY_ROWS_1
#undef FT_ASM_BY_ROWS_2
#undef FT_ASM_BY_ROWS_3
#undef FT_ASM_BY_ROWS_4
#undef FT_ASM_BY_ROWS_5
#undef FT_ASM_BY_ROWS
#undef FT_ASM_ROW
#undef FT_ASM_ROWS_5
#undef FT_ASM_ROWS_6
#undef FT_ASM_STEP
#undef FT_ASM_LOOP
#undef FT_ASM_ADVANCE_TILES
#undef FT_ASM_ADVANCE_ROWS
#undef FT_ASM_ZERO
#undef FT_ASM_TEN
#undef FT_ASM_OUT_2
#undef FT_ASM_OUT_5
#undef FT_ASM_OUT_6
#undef FT_ASM_ZERO_5
#undef FT_ASM_ZERO_6
#undef FT_ASM_KEEP
#undef FT_ASM_KEEP_5
#undef FT_ASM_KEEP_6
#undef FT_DEFINE_ASM_LOOP
