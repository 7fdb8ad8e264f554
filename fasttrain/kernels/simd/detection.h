/*
 * Overlaps of one box with many: intersection over union, a vector of boxes at a time.
 *
 * In double whatever came in, and in COCO's order of operations, which decides every bit: all levels give the same.
 * Not in here by floating-point type (real_f32.h): it is included once per level.
 */

/* `count` is a constant where whole vectors are meant, and nothing is masked then. */
FT_INLINE f64v ft_boxes_load(const double *x, ptrdiff_t count) {
    return count == FT_LANES_f64 ? ft_load_f64(x) : ft_load_partial_f64(x, count);
}

FT_INLINE void ft_box_overlap(ptrdiff_t count, const double *box, const double *boxes, ptrdiff_t stride,
                              const double *crowd, double *out) {
    const f64v zero = {0}, area = ft_broadcast_f64(box[4]);
    f64v left = ft_max_f64(ft_broadcast_f64(box[0]), ft_boxes_load(boxes, count));
    f64v top = ft_max_f64(ft_broadcast_f64(box[1]), ft_boxes_load(boxes + stride, count));
    f64v right = ft_min_f64(ft_broadcast_f64(box[2]), ft_boxes_load(boxes + 2 * stride, count));
    f64v bottom = ft_min_f64(ft_broadcast_f64(box[3]), ft_boxes_load(boxes + 3 * stride, count));
    f64v both = ft_max_f64(right - left, zero) * ft_max_f64(bottom - top, zero);
    f64v any = area + ft_boxes_load(boxes + 4 * stride, count) - both;
    if (crowd)
        any = ft_select_f64(ft_boxes_load(crowd, count) != zero, area, any);
    /* where rounding leaves no union around an intersection, the boxes are one */
    f64v overlap = ft_keep_f64(both > zero, ft_select_f64(any > zero, both / any, ft_broadcast_f64(1.0)));
    if (count == FT_LANES_f64)
        ft_store_f64(out, overlap);
    else
        ft_store_partial_f64(out, count, overlap);
}

static void ft_box_overlaps(ptrdiff_t n, const double *box, const double *boxes, ptrdiff_t stride,
                            const double *crowd, double *out) {
    ptrdiff_t i = 0;
    if (crowd) {
        for (; i + FT_LANES_f64 <= n; i += FT_LANES_f64)
            ft_box_overlap(FT_LANES_f64, box, boxes + i, stride, crowd + i, out + i);
        if (i < n)
            ft_box_overlap(n - i, box, boxes + i, stride, crowd + i, out + i);
    } else {
        for (; i + FT_LANES_f64 <= n; i += FT_LANES_f64)
            ft_box_overlap(FT_LANES_f64, box, boxes + i, stride, NULL, out + i);
        if (i < n)
            ft_box_overlap(n - i, box, boxes + i, stride, NULL, out + i);
    }
}
