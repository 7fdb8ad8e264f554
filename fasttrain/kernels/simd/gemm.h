/* First version, one element at a time: the signatures are what the other kernels use. */
static void SUFFIX(ft_gemm_block)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const REAL *a, ptrdiff_t a_row_stride,
                                  ptrdiff_t a_column_stride, const REAL *b, ptrdiff_t b_row_stride,
                                  ptrdiff_t b_panel_stride, REAL *c, ptrdiff_t c_row_stride, int accumulate,
                                  const REAL *bias) {
    const ptrdiff_t panel = FT_TILE_VECTORS * LANES;
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j++) {
            REAL sum = 0;
            for (ptrdiff_t p = 0; p < k; p++)
                sum += a[i * a_row_stride + p * a_column_stride] *
                       b[j / panel * b_panel_stride + p * b_row_stride + j % panel];
            c[i * c_row_stride + j] = sum + (accumulate ? c[i * c_row_stride + j] : 0) + (bias ? bias[j] : 0);
        }
}

static void SUFFIX(ft_pack_panels)(ptrdiff_t k, ptrdiff_t n, const REAL *b, ptrdiff_t b_row_stride,
                                   ptrdiff_t b_column_stride, REAL *packed) {
    const ptrdiff_t panel = FT_TILE_VECTORS * LANES;
    for (ptrdiff_t j0 = 0; j0 < n; j0 += panel)
        for (ptrdiff_t p = 0; p < k; p++)
            for (ptrdiff_t j = j0; j < j0 + panel; j++)
                *packed++ = j < n ? b[p * b_row_stride + j * b_column_stride] : 0;
}
