/*
 * The body of a level: every kernel, compiled for the level that the including file has set up, and the
 * table that exports them.  Nothing else leaves the file.
 */
#include "table.h"
#include "vector.h"

#include "real_f32.h"
#include "kernels.h"
#include "real_end.h"
#include "real_f64.h"
#include "kernels.h"
#include "real_end.h"
#include "counts.h"
#include "detection.h"
#include "probability.h"
#include "bootstrap.h"
#include "regression.h"
#include "score_bins.h"
#include "real_f32.h"
#include "ranking.h"
#include "real_end.h"
#include "real_f64.h"
#include "ranking.h"
#include "real_end.h"

/* every update rule of a type, in the order of their numbers */
#define FT_RULES(S, way)                                                                                 \
    {ft_sgd_##way##_##S, ft_momentum_##way##_##S, ft_adam_##way##_##S, ft_amsgrad_##way##_##S,           \
     ft_nadam_##way##_##S, ft_radam_##way##_##S, ft_adamax_##way##_##S, ft_adagrad_##way##_##S,          \
     ft_rmsprop_##way##_##S, ft_rmsprop_momentum_##way##_##S, ft_rmsprop_centered_##way##_##S,           \
     ft_rmsprop_centered_momentum_##way##_##S, ft_adadelta_##way##_##S, ft_lion_##way##_##S,             \
     ft_schedule_free_##way##_##S, ft_average_##way##_##S}

#define FT_OPS(S)                                                                                       \
    {                                                                                                    \
        .tile_rows = FT_TILE_ROWS, .tile_columns = FT_TILE_VECTORS * FT_LANES_##S,                       \
        .packing = FT_PACKING, .block_depth = FT_PANEL_BYTES / (FT_TILE_VECTORS * FT_VECTOR_BYTES),      \
        .gemm_block = ft_gemm_block_##S, .pack_tiles = ft_pack_tiles_##S, .pack_panels = ft_pack_panels_##S,                              \
        .transpose = ft_transpose_##S,                                                                   \
        .activation_forward = ft_activation_forward_##S,                                                 \
        .activation_backward = ft_activation_backward_##S, .column_sums = ft_column_sums_##S,            \
        .math = {ft_exp_##S, ft_expm1_##S, ft_log_##S, ft_log1p_##S, ft_tanh_##S, ft_sigmoid_##S,        \
                 ft_erf_##S, ft_erfc_##S},                                                               \
        .linear_predict = ft_linear_predict_##S, .linear_gradient = ft_linear_gradient_##S,              \
        .weight_sum = ft_weight_sum_##S, .linear_flush = ft_linear_flush_##S,                            \
        .linear_finish = ft_linear_finish_##S, .total_weight = ft_total_weight_##S,                      \
        .squared_error = ft_squared_error_##S, .bce_logits = ft_bce_logits_##S,                          \
        .bce_probabilities = ft_bce_probabilities_##S, .cross_entropy = ft_cross_entropy_##S,            \
        .cross_entropy_soft = ft_cross_entropy_soft_##S, .softmax = ft_softmax_##S,                      \
        .update = FT_RULES(S, update), .update_general = FT_RULES(S, general),                           \
        .sum_squares = ft_sum_squares_##S,                              \
        .rank_histogram = ft_rank_histogram_##S, .rank_scatter = ft_rank_scatter_##S,                    \
        .rank_sort = ft_rank_sort_##S, .rank_finish = ft_rank_finish_##S,                                \
        .rank_curve = ft_rank_curve_##S, .rank_weighted_curve = ft_rank_weighted_curve_##S,              \
        .rank_weight_sums = ft_rank_weight_sums_##S, .rank_weighted_area = ft_rank_weighted_area_##S,    \
        .lamb_moments = ft_lamb_moments_##S, .lamb_step = ft_lamb_step_##S,                              \
        .adafactor_sums = ft_adafactor_sums_##S, .adafactor_means = ft_adafactor_means_##S,              \
        .adafactor_factors = ft_adafactor_factors_##S, .adafactor_norm = ft_adafactor_norm_##S,          \
        .adafactor_step = ft_adafactor_step_##S, .adafactor_variance = ft_adafactor_variance_##S,        \
        .adafactor_vector_step = ft_adafactor_vector_step_##S,                                           \
        .muon_momentum = ft_muon_momentum_##S, .scale_add = ft_scale_add_##S,                            \
    }

static const ft_table ft_this_level = {
    .name = FT_LEVEL_NAME,
    .vector_bytes = FT_VECTOR_BYTES,
    .f32 = FT_OPS(f32),
    .f64 = FT_OPS(f64),
    .confusion_counts = ft_confusion_counts,
    .confusion_weights = ft_confusion_weights,
    .to_bfloat16 = ft_to_bfloat16_array,
    .sum_squares_16 = ft_sum_squares_16,
    .box_overlaps = ft_box_overlaps,
    .binary_probability_loss = ft_binary_probability_loss,
    .class_probability_loss = ft_class_probability_loss,
    .widen = ft_widen,
    .regression_moments = ft_regression_moments,
    .regression_loss = ft_regression_loss,
    .bootstrap_draw = ft_bootstrap_draw,
    .bootstrap_pairs = ft_bootstrap_pairs,
    .bootstrap_sum = ft_bootstrap_sum,
    .score_bins_rows = ft_score_bins_rows,
    .score_bins_merge = ft_score_bins_merge,
    .score_bins_collect = ft_score_bins_collect,
};
