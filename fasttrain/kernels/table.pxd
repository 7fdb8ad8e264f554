# The Cython view of simd/table.h, where every entry is described.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "simd/table.h" nogil:
    enum:
        FT_IDENTITY, FT_RELU, FT_LEAKY_RELU, FT_TANH, FT_SIGMOID, FT_GELU, FT_SILU, FT_SOFTPLUS, FT_ELU
        FT_N_ACTIVATIONS
        FT_MATH_EXP, FT_MATH_EXPM1, FT_MATH_LOG, FT_MATH_LOG1P, FT_MATH_TANH, FT_MATH_SIGMOID, FT_MATH_ERF
        FT_MATH_ERFC
        FT_INT8, FT_INT16, FT_INT32, FT_INT64, FT_UINT8, FT_UINT16, FT_UINT32, FT_UINT64, FT_N_LABEL_TYPES
        FT_FLOAT16, FT_FLOAT32, FT_FLOAT64
        FT_LOSS_SQUARED, FT_LOSS_ABSOLUTE, FT_LOSS_MAXIMUM, FT_LOSS_SQUARED_LOG, FT_LOSS_PERCENTAGE
        FT_LOSS_PINBALL, FT_LOSS_POISSON, FT_LOSS_GAMMA
        FT_MOMENT_WEIGHT, FT_MOMENT_TRUE_MEAN, FT_MOMENT_TRUE_CENTRED, FT_MOMENT_ERROR_MEAN
        FT_MOMENT_ERROR_CENTRED, FT_MOMENT_SQUARED_ERROR, FT_N_MOMENTS
        FT_COUNT_LANES, FT_WEIGHT_LANES
        FT_BOOTSTRAP_BLOCK, FT_BOOTSTRAP_LANES, FT_BOOTSTRAP_POSITIVE, FT_BOOTSTRAP_LAST
        FT_ADAFACTOR_STRIP

    const Py_ssize_t FT_TILED

    enum:
        FT_SGD, FT_MOMENTUM, FT_ADAM, FT_AMSGRAD, FT_NADAM, FT_RADAM, FT_ADAMAX, FT_ADAGRAD, FT_RMSPROP
        FT_RMSPROP_MOMENTUM, FT_RMSPROP_CENTERED, FT_RMSPROP_CENTERED_MOMENTUM, FT_ADADELTA, FT_LION
        FT_SCHEDULE_FREE, FT_AVERAGE, FT_N_RULES
        FT_MAX_STATES, FT_BLOCK
        FT_SIGNED_STATE, FT_UNSIGNED_STATE, FT_WHOLE_STATE
        FT_NATIVE, FT_BFLOAT16, FT_HALF, FT_SIGNED_CODE, FT_UNSIGNED_CODE
        FT_NESTEROV, FT_FIRST_STEP, FT_FROM_GRAD, FT_RECTIFIED, FT_EPS_INSIDE

    ctypedef struct ft_update_scalars:
        double grad_factor, clip, weight_decay, decay_factor
        double step_size, grad_step, mean_weight, beta2, eps, momentum, step_decay
        double state_decay[3]
        double top[3][5]
        uint64_t key
        int flags

    ctypedef struct ft_update_target:
        void* param
        void* copy
        const uint8_t* mask
        void* state[3]
        float* unit[3]
        uint64_t key
        int param_format, grad_format
        int state_format[3]

    ctypedef struct ft_lamb_scalars:
        double grad_factor, beta1, beta2, mean_factor, eps, weight_decay

    ctypedef struct ft_packing:
        Py_ssize_t depth, rows, few_rows, large_bytes, alias_bytes

    ctypedef struct ft_loss_sums:
        double loss, weight

    ctypedef struct ft_ops_f32:
        Py_ssize_t tile_rows, tile_columns
        ft_packing packing
        Py_ssize_t block_depth
        void (*gemm_block)(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const float* a, Py_ssize_t a_row_stride,
                           Py_ssize_t a_column_stride,
                           const float* b, Py_ssize_t b_row_stride, Py_ssize_t b_panel_stride,
                           float* c, Py_ssize_t c_row_stride, int accumulate,
                           const float* bias) noexcept nogil
        void (*pack_tiles)(Py_ssize_t m, Py_ssize_t k, const float* a, Py_ssize_t a_row_stride,
                           Py_ssize_t a_column_stride, float* packed) noexcept nogil
        void (*pack_panels)(Py_ssize_t k, Py_ssize_t n, const float* b, Py_ssize_t b_row_stride,
                            Py_ssize_t b_column_stride, float* packed) noexcept nogil
        void (*transpose)(Py_ssize_t m, Py_ssize_t n, const float* x, Py_ssize_t x_row_stride, float* y,
                          Py_ssize_t y_row_stride) noexcept nogil
        void (*activation_forward)(int activation, Py_ssize_t n_rows, Py_ssize_t n_columns, const float* z,
                                   Py_ssize_t z_row_stride,
                                   float* y, Py_ssize_t y_row_stride) noexcept nogil
        void (*activation_backward)(int activation, Py_ssize_t n_rows, Py_ssize_t n_columns,
                                    const float* grad_y, Py_ssize_t grad_y_row_stride,
                                    const float* saved, Py_ssize_t saved_row_stride, float* delta,
                                    Py_ssize_t delta_row_stride) noexcept nogil
        void (*column_sums)(Py_ssize_t n_rows, Py_ssize_t n_columns, const float* x, Py_ssize_t x_row_stride,
                            float* sums, int accumulate) noexcept nogil
        void (*math[8])(Py_ssize_t n, const float* x, float* y) noexcept nogil
        void (*linear_predict)(Py_ssize_t n_rows, Py_ssize_t n_features, const float* x,
                               Py_ssize_t x_row_stride, const float* theta, float intercept,
                               float* z) noexcept nogil
        void (*linear_gradient)(Py_ssize_t n_rows, Py_ssize_t n_features, const float* x,
                                Py_ssize_t x_row_stride, const float* residual, float* grad) noexcept nogil
        Py_ssize_t (*total_weight)(Py_ssize_t n_rows, Py_ssize_t n_classes, const int64_t* labels,
                                   const float* target, Py_ssize_t target_row_stride,
                                   const float* class_weight, const float* row_weight, int64_t ignore_index,
                                   double* total) noexcept nogil
        Py_ssize_t (*weight_sum)(Py_ssize_t n, const float* weight, double* sum) noexcept nogil
        void (*linear_flush)(Py_ssize_t n, float* part, double* sums) noexcept nogil
        double (*linear_finish)(Py_ssize_t n, Py_ssize_t n_pieces, const double* sums,
                                Py_ssize_t sums_row_stride, double scale, double l2,
                                const float* theta, float* grad) noexcept nogil
        Py_ssize_t (*squared_error)(Py_ssize_t n_rows, Py_ssize_t n_columns, const float* prediction,
                                    Py_ssize_t prediction_row_stride,
                                    const float* target, Py_ssize_t target_row_stride,
                                    const float* row_weight, double factor,
                                    double scale, float* grad, Py_ssize_t grad_row_stride,
                                    double* value) noexcept nogil
        Py_ssize_t (*bce_logits)(Py_ssize_t n_rows, Py_ssize_t n_columns, const float* logits,
                                 Py_ssize_t logits_row_stride,
                                 const float* target, Py_ssize_t target_row_stride, const float* row_weight,
                                 const float* pos_weight,
                                 double scale, float* grad, Py_ssize_t grad_row_stride,
                                 double* value) noexcept nogil
        Py_ssize_t (*bce_probabilities)(Py_ssize_t n_rows, Py_ssize_t n_columns, const float* probability,
                                        Py_ssize_t probability_row_stride,
                                        const float* target, Py_ssize_t target_row_stride,
                                        const float* row_weight,
                                        double scale, float* grad, Py_ssize_t grad_row_stride,
                                        double* value) noexcept nogil
        Py_ssize_t (*cross_entropy)(Py_ssize_t n_rows, Py_ssize_t n_classes, const float* logits,
                                    Py_ssize_t logits_row_stride,
                                    const int64_t* labels, const float* class_weight,
                                    const float* row_weight, double label_smoothing,
                                    int64_t ignore_index, double scale, float* grad,
                                    Py_ssize_t grad_row_stride, double* value) noexcept nogil
        Py_ssize_t (*cross_entropy_soft)(Py_ssize_t n_rows, Py_ssize_t n_classes, const float* logits,
                                         Py_ssize_t logits_row_stride,
                                         const float* target, Py_ssize_t target_row_stride,
                                         const float* class_weight, const float* row_weight,
                                         double label_smoothing, double scale, float* grad,
                                         Py_ssize_t grad_row_stride, double* value) noexcept nogil
        void (*softmax)(Py_ssize_t n_rows, Py_ssize_t n_classes, const float* x, Py_ssize_t x_row_stride,
                        float* y, Py_ssize_t y_row_stride) noexcept nogil
        void (*update[16])(Py_ssize_t n, float* param, const float* grad, float** state, int fetch,
                           const ft_update_scalars* scalars) noexcept nogil
        void (*update_general[16])(Py_ssize_t start, Py_ssize_t n, const ft_update_target* target,
                                   const void* grad, const ft_update_scalars* scalars) noexcept nogil
        double (*sum_squares)(Py_ssize_t n, const float* x) noexcept nogil
        Py_ssize_t (*rank_histogram)(Py_ssize_t n, const float* scores, int weight_is_double,
                                     const void* sample_weight, int allow_infinity, int prefix_bits,
                                     uint32_t* histogram) noexcept nogil
        Py_ssize_t (*rank_scatter)(Py_ssize_t n, int label_type, const void* labels, const float* scores,
                                   int weight_is_double, const void* sample_weight, int prefix_bits,
                                   const uint16_t* bucket_of, uint64_t* cursors, uint32_t last,
                                   void* rows) noexcept nogil
        void (*rank_sort)(Py_ssize_t n, int weighted, void* rows, void* scratch) noexcept nogil
        void (*rank_finish)(Py_ssize_t n, void* rows, void* scratch, int table_bits, uint32_t* table,
                            uint64_t* tp, uint64_t* fp, uint64_t* half_pairs,
                            double* precisions) noexcept nogil
        Py_ssize_t (*rank_curve)(Py_ssize_t n, const void* rows, int low_half, int64_t* tp, int64_t* fp,
                                 int64_t* tps, int64_t* fps, float* thresholds) noexcept nogil
        Py_ssize_t (*rank_weighted_curve)(Py_ssize_t n, const void* rows, int low_half, double* tp,
                                          double* fp, double* tps, double* fps,
                                          float* thresholds) noexcept nogil
        void (*rank_weight_sums)(Py_ssize_t n, const void* rows, double* positives,
                                 double* negatives) noexcept nogil
        void (*rank_weighted_area)(Py_ssize_t n, const void* rows, double all_positives,
                                   double all_negatives, double tp, double fp, double* area,
                                   double* precisions) noexcept nogil
        void (*lamb_moments)(Py_ssize_t n, const float* param, const float* grad, float* exp_avg,
                             float* exp_avg_sq, const ft_lamb_scalars* scalars, double* sums) noexcept nogil
        void (*lamb_step)(Py_ssize_t n, float* param, const float* exp_avg, const float* exp_avg_sq,
                          const ft_lamb_scalars* scalars, double step_size) noexcept nogil
        double (*adafactor_sums)(Py_ssize_t n_rows, Py_ssize_t n_columns, const float* param, const float* grad,
                                 Py_ssize_t row_stride, double grad_factor, double* row_sums,
                                 double* column_sums) noexcept nogil
        double (*adafactor_means)(Py_ssize_t n, Py_ssize_t n_parts, const double* sums, double count,
                                  double weight, float* means) noexcept nogil
        void (*adafactor_factors)(Py_ssize_t n, const float* means, double divisor, float* factors) noexcept nogil
        double (*adafactor_norm)(Py_ssize_t n_rows, Py_ssize_t n_columns, const float* grad, Py_ssize_t row_stride,
                                 double grad_factor, const float* row_factors, const float* column_factors,
                                 double limit) noexcept nogil
        void (*adafactor_step)(Py_ssize_t n_rows, Py_ssize_t n_columns, float* param, const float* grad,
                               Py_ssize_t row_stride, double grad_factor, const float* row_factors,
                               const float* column_factors, double limit, double decay_factor,
                               double step_size) noexcept nogil
        void (*adafactor_variance)(Py_ssize_t n, const float* param, const float* grad, float* variance,
                                   double grad_factor, double weight, double eps, double* sums) noexcept nogil
        void (*adafactor_vector_step)(Py_ssize_t n, float* param, const float* grad, const float* variance,
                                      double grad_factor, double eps, double decay_factor,
                                      double step_size) noexcept nogil
        double (*muon_momentum)(Py_ssize_t n, const float* grad, float* buffer, float* update, double grad_factor,
                                double momentum, int nesterov) noexcept nogil
        void (*scale_add)(Py_ssize_t n, double alpha, float* y, double beta, const float* x) noexcept nogil

    ctypedef struct ft_ops_f64:
        Py_ssize_t tile_rows, tile_columns
        ft_packing packing
        Py_ssize_t block_depth
        void (*gemm_block)(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const double* a,
                           Py_ssize_t a_row_stride, Py_ssize_t a_column_stride,
                           const double* b, Py_ssize_t b_row_stride, Py_ssize_t b_panel_stride,
                           double* c, Py_ssize_t c_row_stride, int accumulate,
                           const double* bias) noexcept nogil
        void (*pack_tiles)(Py_ssize_t m, Py_ssize_t k, const double* a, Py_ssize_t a_row_stride,
                           Py_ssize_t a_column_stride, double* packed) noexcept nogil
        void (*pack_panels)(Py_ssize_t k, Py_ssize_t n, const double* b, Py_ssize_t b_row_stride,
                            Py_ssize_t b_column_stride, double* packed) noexcept nogil
        void (*transpose)(Py_ssize_t m, Py_ssize_t n, const double* x, Py_ssize_t x_row_stride, double* y,
                          Py_ssize_t y_row_stride) noexcept nogil
        void (*activation_forward)(int activation, Py_ssize_t n_rows, Py_ssize_t n_columns, const double* z,
                                   Py_ssize_t z_row_stride,
                                   double* y, Py_ssize_t y_row_stride) noexcept nogil
        void (*activation_backward)(int activation, Py_ssize_t n_rows, Py_ssize_t n_columns,
                                    const double* grad_y, Py_ssize_t grad_y_row_stride,
                                    const double* saved, Py_ssize_t saved_row_stride, double* delta,
                                    Py_ssize_t delta_row_stride) noexcept nogil
        void (*column_sums)(Py_ssize_t n_rows, Py_ssize_t n_columns, const double* x,
                            Py_ssize_t x_row_stride, double* sums, int accumulate) noexcept nogil
        void (*math[8])(Py_ssize_t n, const double* x, double* y) noexcept nogil
        void (*linear_predict)(Py_ssize_t n_rows, Py_ssize_t n_features, const double* x,
                               Py_ssize_t x_row_stride, const double* theta, double intercept,
                               double* z) noexcept nogil
        void (*linear_gradient)(Py_ssize_t n_rows, Py_ssize_t n_features, const double* x,
                                Py_ssize_t x_row_stride, const double* residual, double* grad) noexcept nogil
        Py_ssize_t (*total_weight)(Py_ssize_t n_rows, Py_ssize_t n_classes, const int64_t* labels,
                                   const double* target, Py_ssize_t target_row_stride,
                                   const double* class_weight, const double* row_weight,
                                   int64_t ignore_index, double* total) noexcept nogil
        Py_ssize_t (*weight_sum)(Py_ssize_t n, const double* weight, double* sum) noexcept nogil
        void (*linear_flush)(Py_ssize_t n, double* part, double* sums) noexcept nogil
        double (*linear_finish)(Py_ssize_t n, Py_ssize_t n_pieces, const double* sums,
                                Py_ssize_t sums_row_stride, double scale, double l2,
                                const double* theta, double* grad) noexcept nogil
        Py_ssize_t (*squared_error)(Py_ssize_t n_rows, Py_ssize_t n_columns, const double* prediction,
                                    Py_ssize_t prediction_row_stride,
                                    const double* target, Py_ssize_t target_row_stride,
                                    const double* row_weight, double factor,
                                    double scale, double* grad, Py_ssize_t grad_row_stride,
                                    double* value) noexcept nogil
        Py_ssize_t (*bce_logits)(Py_ssize_t n_rows, Py_ssize_t n_columns, const double* logits,
                                 Py_ssize_t logits_row_stride,
                                 const double* target, Py_ssize_t target_row_stride,
                                 const double* row_weight, const double* pos_weight,
                                 double scale, double* grad, Py_ssize_t grad_row_stride,
                                 double* value) noexcept nogil
        Py_ssize_t (*bce_probabilities)(Py_ssize_t n_rows, Py_ssize_t n_columns, const double* probability,
                                        Py_ssize_t probability_row_stride,
                                        const double* target, Py_ssize_t target_row_stride,
                                        const double* row_weight,
                                        double scale, double* grad, Py_ssize_t grad_row_stride,
                                        double* value) noexcept nogil
        Py_ssize_t (*cross_entropy)(Py_ssize_t n_rows, Py_ssize_t n_classes, const double* logits,
                                    Py_ssize_t logits_row_stride,
                                    const int64_t* labels, const double* class_weight,
                                    const double* row_weight, double label_smoothing,
                                    int64_t ignore_index, double scale, double* grad,
                                    Py_ssize_t grad_row_stride, double* value) noexcept nogil
        Py_ssize_t (*cross_entropy_soft)(Py_ssize_t n_rows, Py_ssize_t n_classes, const double* logits,
                                         Py_ssize_t logits_row_stride,
                                         const double* target, Py_ssize_t target_row_stride,
                                         const double* class_weight, const double* row_weight,
                                         double label_smoothing, double scale, double* grad,
                                         Py_ssize_t grad_row_stride, double* value) noexcept nogil
        void (*softmax)(Py_ssize_t n_rows, Py_ssize_t n_classes, const double* x, Py_ssize_t x_row_stride,
                        double* y, Py_ssize_t y_row_stride) noexcept nogil
        void (*update[16])(Py_ssize_t n, double* param, const double* grad, double** state, int fetch,
                           const ft_update_scalars* scalars) noexcept nogil
        void (*update_general[16])(Py_ssize_t start, Py_ssize_t n, const ft_update_target* target,
                                   const void* grad, const ft_update_scalars* scalars) noexcept nogil
        double (*sum_squares)(Py_ssize_t n, const double* x) noexcept nogil
        Py_ssize_t (*rank_histogram)(Py_ssize_t n, const double* scores, int weight_is_double,
                                     const void* sample_weight, int allow_infinity, int prefix_bits,
                                     uint32_t* histogram) noexcept nogil
        Py_ssize_t (*rank_scatter)(Py_ssize_t n, int label_type, const void* labels, const double* scores,
                                   int weight_is_double, const void* sample_weight, int prefix_bits,
                                   const uint16_t* bucket_of, uint64_t* cursors, uint32_t last,
                                   void* rows) noexcept nogil
        void (*rank_sort)(Py_ssize_t n, int weighted, void* rows, void* scratch) noexcept nogil
        void (*rank_finish)(Py_ssize_t n, void* rows, void* scratch, int table_bits, uint32_t* table,
                            uint64_t* tp, uint64_t* fp, uint64_t* half_pairs,
                            double* precisions) noexcept nogil
        Py_ssize_t (*rank_curve)(Py_ssize_t n, const void* rows, int low_half, int64_t* tp, int64_t* fp,
                                 int64_t* tps, int64_t* fps, double* thresholds) noexcept nogil
        Py_ssize_t (*rank_weighted_curve)(Py_ssize_t n, const void* rows, int low_half, double* tp,
                                          double* fp, double* tps, double* fps,
                                          double* thresholds) noexcept nogil
        void (*rank_weight_sums)(Py_ssize_t n, const void* rows, double* positives,
                                 double* negatives) noexcept nogil
        void (*rank_weighted_area)(Py_ssize_t n, const void* rows, double all_positives,
                                   double all_negatives, double tp, double fp, double* area,
                                   double* precisions) noexcept nogil
        void (*lamb_moments)(Py_ssize_t n, const double* param, const double* grad, double* exp_avg,
                             double* exp_avg_sq, const ft_lamb_scalars* scalars, double* sums) noexcept nogil
        void (*lamb_step)(Py_ssize_t n, double* param, const double* exp_avg, const double* exp_avg_sq,
                          const ft_lamb_scalars* scalars, double step_size) noexcept nogil
        double (*adafactor_sums)(Py_ssize_t n_rows, Py_ssize_t n_columns, const double* param, const double* grad,
                                 Py_ssize_t row_stride, double grad_factor, double* row_sums,
                                 double* column_sums) noexcept nogil
        double (*adafactor_means)(Py_ssize_t n, Py_ssize_t n_parts, const double* sums, double count,
                                  double weight, double* means) noexcept nogil
        void (*adafactor_factors)(Py_ssize_t n, const double* means, double divisor, double* factors) noexcept nogil
        double (*adafactor_norm)(Py_ssize_t n_rows, Py_ssize_t n_columns, const double* grad, Py_ssize_t row_stride,
                                 double grad_factor, const double* row_factors, const double* column_factors,
                                 double limit) noexcept nogil
        void (*adafactor_step)(Py_ssize_t n_rows, Py_ssize_t n_columns, double* param, const double* grad,
                               Py_ssize_t row_stride, double grad_factor, const double* row_factors,
                               const double* column_factors, double limit, double decay_factor,
                               double step_size) noexcept nogil
        void (*adafactor_variance)(Py_ssize_t n, const double* param, const double* grad, double* variance,
                                   double grad_factor, double weight, double eps, double* sums) noexcept nogil
        void (*adafactor_vector_step)(Py_ssize_t n, double* param, const double* grad, const double* variance,
                                      double grad_factor, double eps, double decay_factor,
                                      double step_size) noexcept nogil
        double (*muon_momentum)(Py_ssize_t n, const double* grad, double* buffer, double* update, double grad_factor,
                                double momentum, int nesterov) noexcept nogil
        void (*scale_add)(Py_ssize_t n, double alpha, double* y, double beta, const double* x) noexcept nogil

    ctypedef struct ft_score_bin:
        uint64_t prefix

    ctypedef struct ft_score_bins:
        int level, weighted, slot_bits
        Py_ssize_t n_bins, max_bins
        ft_score_bin* slots
        ft_score_bin* spare

    ctypedef struct ft_table:
        const char* name
        int vector_bytes
        ft_ops_f32 f32
        ft_ops_f64 f64
        Py_ssize_t (*confusion_counts)(Py_ssize_t n, int true_type, const void* y_true, int pred_type,
                                       const void* y_pred,
                                       int64_t first_label, Py_ssize_t n_classes, int64_t* counts,
                                       int64_t* scratch) noexcept nogil
        Py_ssize_t (*confusion_weights)(Py_ssize_t n, int true_type, const void* y_true, int pred_type,
                                        const void* y_pred,
                                        int64_t first_label, Py_ssize_t n_classes, int weight_is_double,
                                        const void* sample_weight,
                                        double* sums, double* scratch) noexcept nogil
        void (*to_bfloat16)(Py_ssize_t n, const float* x, uint16_t* y) noexcept nogil
        double (*sum_squares_16)(int format, Py_ssize_t n, const uint16_t* x) noexcept nogil
        void (*box_overlaps)(Py_ssize_t n, const double* box, const double* boxes, Py_ssize_t stride,
                             const double* crowd, double* out) noexcept nogil
        Py_ssize_t (*binary_probability_loss)(Py_ssize_t n, int squared, int label_type, const void* y_true,
                                              int64_t negative, int64_t positive, int is_double,
                                              const void* y_proba, double eps, int weight_is_double,
                                              const void* sample_weight, ft_loss_sums* sums,
                                              int64_t* n_positive) noexcept nogil
        Py_ssize_t (*class_probability_loss)(Py_ssize_t n, Py_ssize_t n_classes, int squared, int label_type,
                                             const void* y_true, int64_t first_label, int is_double,
                                             const void* y_proba, Py_ssize_t row_stride, double eps,
                                             int weight_is_double, const void* sample_weight,
                                             ft_loss_sums* sums, int64_t* class_counts,
                                             double* deviation) noexcept nogil
        void (*widen)(int type, Py_ssize_t n, const void* x, double* y) noexcept nogil
        void (*regression_moments)(Py_ssize_t n_rows, Py_ssize_t n_columns, Py_ssize_t row_stride, int is_double,
                                   const void* y_true, const void* y_pred, const void* weight,
                                   const double* origins, double* moments, Py_ssize_t stride) noexcept nogil
        void (*regression_loss)(int loss, double alpha, Py_ssize_t n_rows, Py_ssize_t n_columns,
                                Py_ssize_t row_stride, int is_double, const void* y_true, const void* y_pred,
                                const void* weight, double* sums, Py_ssize_t stride) noexcept nogil
        void (*bootstrap_draw)(uint64_t seed, uint32_t stream, uint32_t resample, uint64_t block,
                               Py_ssize_t size, int64_t n_draws, uint32_t* counts) noexcept nogil
        uint64_t (*bootstrap_pairs)(Py_ssize_t size, const uint32_t* counts, const uint8_t* flags,
                                    uint64_t* positives, uint64_t* negatives) noexcept nogil
        double (*bootstrap_sum)(Py_ssize_t size, const uint32_t* counts, const double* terms) noexcept nogil
        Py_ssize_t (*score_bins_rows)(Py_ssize_t n, int label_type, const void* labels, int score_is_double,
                                      const void* scores, int weight_is_double, const void* sample_weight,
                                      ft_score_bins* bins) noexcept nogil
        void (*score_bins_merge)(ft_score_bins* bins, const ft_score_bins* other) noexcept nogil
        void (*score_bins_collect)(const ft_score_bins* bins, ft_score_bin* collected) noexcept nogil

    const ft_table* const ft_level_v2
    const ft_table* const ft_level_v3
    const ft_table* const ft_level_v4
    const ft_table* const ft_level_neon
    const ft_table* const ft_level_generic
