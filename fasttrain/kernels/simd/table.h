/*
 * The seam between Cython and C: one table of function pointers per CPU level.
 *
 * Each C kernel is written once, in <family>.h, and compiled once per level and element type.  All are
 * pure: one core, one piece of work, no allocation, no thread, no global, no error but a returned
 * position.  Sizes are ptrdiff_t and count elements, as strides do.  Rows may be further apart than
 * their length; the elements of a row are next to each other unless a column stride is given.  Pointers
 * may be NULL only where said.  A size of zero touches no memory.
 */
#ifndef FT_TABLE_H
#define FT_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* Activations; Cython and Python read these names. */
enum {
    FT_IDENTITY = 0,
    FT_RELU,
    FT_LEAKY_RELU, /* slope 0.01 for z < 0 */
    FT_TANH,
    FT_SIGMOID,
    FT_GELU, /* z * Phi(z), Phi by erf */
    FT_SILU,
    FT_SOFTPLUS,
    FT_ELU, /* alpha 1 */
    FT_N_ACTIVATIONS
};

/* The column stride of a matrix that pack_tiles has written. */
#define FT_TILED PTRDIFF_MIN

/* Update rules of the optimizers, in the order of their tables; rmsprop's variants are those of its state. */
enum {
    FT_SGD = 0,
    FT_MOMENTUM,
    FT_ADAM,
    FT_AMSGRAD,
    FT_NADAM,
    FT_RADAM,
    FT_ADAMAX,
    FT_ADAGRAD,
    FT_RMSPROP,
    FT_RMSPROP_MOMENTUM,
    FT_RMSPROP_CENTERED,
    FT_RMSPROP_CENTERED_MOMENTUM,
    FT_ADADELTA,
    FT_LION,
    FT_SCHEDULE_FREE,
    FT_AVERAGE,
    FT_N_RULES
};

/* Arrays of state of a rule at most, and elements of a block of 8-bit state, which has one unit. */
enum { FT_MAX_STATES = 3, FT_BLOCK = 256 };

/* What an array of state holds: values of both signs, values that are never negative, or values that are never stored
   in fewer bits: a parameter's own, or means whose difference is small. */
enum { FT_SIGNED_STATE = 0, FT_UNSIGNED_STATE, FT_WHOLE_STATE };

/* How elements are stored: as the rule's floating-point type, or, in float32 rules, narrower. */
enum { FT_NATIVE = 0, FT_BFLOAT16, FT_HALF, FT_SIGNED_CODE, FT_UNSIGNED_CODE };

/* Options of a rule, as flags. */
enum {
    FT_NESTEROV = 1,  /* momentum */
    FT_FIRST_STEP = 2, /* momentum: the buffer starts as the gradient */
    FT_FROM_GRAD = 4, /* a mean moves from the gradient, mean_weight of the way to the old mean, not from the mean */
    FT_RECTIFIED = 8, /* radam: divided by the root */
    FT_EPS_INSIDE = 16 /* rmsprop: eps is added below the root */
};

/* Scalars of one optimizer step: computed once, in double, by the caller.  A rule reads those that its formula in
   optim.h names; the first four come before every rule. */
typedef struct {
    double grad_factor;  /* the gradient is multiplied by it first */
    double clip;         /* then held within +-clip; infinity: not.  Only in general updates. */
    double weight_decay; /* L2: weight_decay * param is added to the gradient; 0 for none */
    double decay_factor; /* decoupled: param *= decay_factor first; 1 for none */
    double step_size, grad_step, mean_weight, beta2, eps, momentum, step_decay;
    double state_decay[3]; /* what the rule multiplies each state by in a step: for narrow state */
    /* After a step no number of a state is larger than top[0] times the largest before it + top[1] times the largest
       gradient, or top[4] if that is less, + top[2] times the gradient's square + top[3]; nor a maximum than the larger
       of its own largest and of what it is the maximum of, the state before it: for the units of 8-bit state. */
    double top[3][5];
    uint64_t key; /* of the random bits of stochastic rounding: of the step */
    int flags;
} ft_update_scalars;

/* Memory of a general update. */
typedef struct {
    void *param;
    void *copy;          /* bfloat16, rounded to nearest, of param; or NULL */
    const uint8_t *mask; /* elements where it is 0 keep their parameter and their state; or NULL */
    void *state[3];
    float *unit[3]; /* of each block of 8-bit state, else NULL */
    uint64_t key;   /* of the random bits: of the target */
    int param_format, grad_format, state_format[3];
} ft_update_target;

typedef struct {
    double grad_factor;     /* multiplied into the gradient; negative to maximize */
    double beta1, beta2;
    double mean_factor;     /* sqrt(1 - beta2^t) / (1 - beta1^t), or 1 without bias correction */
    double eps;             /* as Adam's */
    double weight_decay;    /* added to the update, times the parameter */
} ft_lamb_scalars;

enum { FT_ADAFACTOR_STRIP = 1024 };

/*
 * When packing b pays: for a product deeper than `depth` that has more rows than `rows`; or more than `few_rows`,
 * if b is larger than large_bytes, or its rows are a multiple of alias_bytes apart, so that the lines of a panel
 * fall into few sets of the caches.  PTRDIFF_MAX for either: never.
 */
typedef struct {
    ptrdiff_t depth, rows, few_rows, large_bytes, alias_bytes;
} ft_packing;

#define FT_DEFINE_OPS(T, S)                                                                              \
    typedef struct {                                                                                     \
        /* ---- gemm.h ---- */                                                                           \
        /* Rows and columns of the largest register tile. */                                             \
        ptrdiff_t tile_rows, tile_columns;                                                               \
        /* Packing and blocking that suit the level's caches; a block has block_depth rows of b. */      \
        ft_packing packing;                                                                              \
        ptrdiff_t block_depth;                                                                           \
        /* c (m, n) = [c +] a (m, k) b (k, n) [+ bias (n,)].  b as panels of tile_columns columns:       \
           panel j starts at b + j * b_panel_stride, its row p at + p * b_row_stride.  Panels that are   \
           further apart than tile_columns are whole in memory: the last is read beyond n. */            \
        void (*gemm_block)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const T *a, ptrdiff_t a_row_stride,    \
                           ptrdiff_t a_column_stride, const T *b, ptrdiff_t b_row_stride,                \
                           ptrdiff_t b_panel_stride, T *c, ptrdiff_t c_row_stride, int accumulate,       \
                           const T *bias /* (n,) or NULL */);                                            \
        /* a (m, k) of any strides into tiles; a block of it is then given as a with this column stride:  \
           FT_TILED. */                                                                                  \
        void (*pack_tiles)(ptrdiff_t m, ptrdiff_t k, const T *a, ptrdiff_t a_row_stride,                 \
                           ptrdiff_t a_column_stride, T *packed);                                        \
        /* b (k, n) of any strides into panels of tile_columns columns, k rows each, zero-padded. */     \
        void (*pack_panels)(ptrdiff_t k, ptrdiff_t n, const T *b, ptrdiff_t b_row_stride,                \
                            ptrdiff_t b_column_stride, T *packed);                                       \
        /* y (n, m) = the transpose of x (m, n), both with contiguous rows. */                           \
        void (*transpose)(ptrdiff_t m, ptrdiff_t n, const T *x, ptrdiff_t x_row_stride, T *y,            \
                          ptrdiff_t y_row_stride);                                                       \
        /* ---- activation.h ---- */                                                                     \
        /* y = f(z); y may be z. */                                                                      \
        void (*activation_forward)(int activation, ptrdiff_t n_rows, ptrdiff_t n_columns, const T *z,    \
                                   ptrdiff_t z_row_stride, T *y, ptrdiff_t y_row_stride);                \
        /* delta = grad_y * f'(z), where saved is z for gelu and silu and y for the others;              \
           delta may be grad_y. */                                                                       \
        void (*activation_backward)(int activation, ptrdiff_t n_rows, ptrdiff_t n_columns,               \
                                    const T *grad_y, ptrdiff_t grad_y_row_stride, const T *saved,        \
                                    ptrdiff_t saved_row_stride, T *delta, ptrdiff_t delta_row_stride);   \
        /* sums (n_columns,) = [sums +] the sum over rows of x. */                                       \
        void (*column_sums)(ptrdiff_t n_rows, ptrdiff_t n_columns, const T *x, ptrdiff_t x_row_stride,   \
                            T *sums, int accumulate);                                                    \
        /* ---- vector_math.h: y (n,) = f(x) (n,); y may be x.  Index: FT_MATH_*. ---- */                \
        void (*math[8])(ptrdiff_t n, const T *x, T *y);                                                  \
        /* ---- linear.h: one output, theta (n_features,) ---- */                                        \
        /* z (n_rows,) = X theta + intercept */                                                          \
        void (*linear_predict)(ptrdiff_t n_rows, ptrdiff_t n_features, const T *x,                       \
                               ptrdiff_t x_row_stride, const T *theta, T intercept, T *z);               \
        /* grad (n_features,) += X^T residual */                                                         \
        void (*linear_gradient)(ptrdiff_t n_rows, ptrdiff_t n_features, const T *x,                      \
                                ptrdiff_t x_row_stride, const T *residual, T *grad);                     \
        /* *sum += weight (n,); returns the first that is negative or not finite, or -1 */               \
        ptrdiff_t (*weight_sum)(ptrdiff_t n, const T *weight, double *sum);                              \
        /* sums (n,) += part, part = 0 */                                                                \
        void (*linear_flush)(ptrdiff_t n, T *part, double *sums);                                        \
        /* grad (n,) = scale * (sum over pieces of sums) + l2 theta; returns the sum of theta^2,         \
           or 0 where l2 is 0 */                                                                         \
        double (*linear_finish)(ptrdiff_t n, ptrdiff_t n_pieces, const double *sums,                     \
                                ptrdiff_t sums_row_stride, double scale, double l2,                      \
                                const T *theta, T *grad);                                                \
        /* ---- loss.h: each returns the position of the first bad row, or -1; adds the weighted sum of  \
           losses to *value; writes grad = scale * weight * d loss / d prediction, unless grad is NULL.  \
           row_weight (n_rows,) or NULL.  grad may be the prediction. ---- */                            \
        /* *total += the sum over rows of row_weight * w, where w is the class_weight of the row's label \
           (0 for ignore_index), or the sum of class_weight * target, or 1 where both are NULL; returns  \
           the first row with a bad label or a weight that is not finite, or -1 */                       \
        ptrdiff_t (*total_weight)(ptrdiff_t n_rows, ptrdiff_t n_classes,                                 \
                                  const int64_t *labels /* or NULL */, const T *target /* or NULL */,    \
                                  ptrdiff_t target_row_stride, const T *class_weight,                    \
                                  const T *row_weight, int64_t ignore_index, double *total);             \
        /* factor (p - t)^2, d/dp = 2 factor (p - t); t finite */                                        \
        ptrdiff_t (*squared_error)(ptrdiff_t n_rows, ptrdiff_t n_columns, const T *prediction,           \
                                   ptrdiff_t prediction_row_stride, const T *target,                     \
                                   ptrdiff_t target_row_stride, const T *row_weight, double factor,      \
                                   double scale, T *grad, ptrdiff_t grad_row_stride, double *value);     \
        /* softplus(z) - t z, with pos_weight (n_columns,) or NULL on the term of t; 0 <= t <= 1 */      \
        ptrdiff_t (*bce_logits)(ptrdiff_t n_rows, ptrdiff_t n_columns, const T *logits,                  \
                                ptrdiff_t logits_row_stride, const T *target,                            \
                                ptrdiff_t target_row_stride, const T *row_weight, const T *pos_weight,   \
                                double scale, T *grad, ptrdiff_t grad_row_stride, double *value);        \
        /* the same from probabilities, logarithms clamped at -100 as torch does */                      \
        ptrdiff_t (*bce_probabilities)(ptrdiff_t n_rows, ptrdiff_t n_columns, const T *probability,      \
                                       ptrdiff_t probability_row_stride, const T *target,                \
                                       ptrdiff_t target_row_stride, const T *row_weight, double scale,   \
                                       T *grad, ptrdiff_t grad_row_stride, double *value);               \
        /* softmax cross-entropy with integer labels; class_weight (n_classes,) or NULL; rows whose      \
           label is ignore_index give 0 */                                                               \
        ptrdiff_t (*cross_entropy)(ptrdiff_t n_rows, ptrdiff_t n_classes, const T *logits,               \
                                   ptrdiff_t logits_row_stride, const int64_t *labels,                   \
                                   const T *class_weight, const T *row_weight, double label_smoothing,   \
                                   int64_t ignore_index, double scale, T *grad,                          \
                                   ptrdiff_t grad_row_stride, double *value);                            \
        /* the same with target probabilities (n_rows, n_classes) */                                     \
        ptrdiff_t (*cross_entropy_soft)(ptrdiff_t n_rows, ptrdiff_t n_classes, const T *logits,          \
                                        ptrdiff_t logits_row_stride, const T *target,                    \
                                        ptrdiff_t target_row_stride, const T *class_weight,              \
                                        const T *row_weight, double label_smoothing, double scale,       \
                                        T *grad, ptrdiff_t grad_row_stride, double *value);              \
        /* y = softmax of each row of x; y may be x */                                                   \
        void (*softmax)(ptrdiff_t n_rows, ptrdiff_t n_classes, const T *x, ptrdiff_t x_row_stride, T *y, \
                        ptrdiff_t y_row_stride);                                                         \
        /* ---- update.h: one step of a rule of optim.h on (n,) each; same bits at every level; subnormals  \
           are flushed.  fetch: the arrays are in memory, not in cache. ---- */                          \
        void (*update[FT_N_RULES])(ptrdiff_t n, T *param, const T *grad, T **state, int fetch,           \
                                   const ft_update_scalars *scalars);                                    \
        /* elements start .. start + n - 1 of the target, start a multiple of FT_BLOCK */                \
        void (*update_general[FT_N_RULES])(ptrdiff_t start, ptrdiff_t n, const ft_update_target *target, \
                                           const void *grad, const ft_update_scalars *scalars);          \
        /* ---- network.h ---- */                                                                        \
        double (*sum_squares)(ptrdiff_t n, const T *x);                                                  \
        /* ---- ranking.h: keys are the bits of scores, in descending order of the scores; a bucket      \
           is the rows whose keys share a prefix, or one of a few.  rows: words as wide as a score,      \
           or, where there are weights, 16 bytes each.  sample_weight, double or float, or NULL. ---- */  \
        /* histogram (2^prefix_bits,) += rows, without those of zero weight; returns the first row whose \
           score is NaN or, unless allowed, infinite, or whose weight is negative or not finite, or -1 */ \
        ptrdiff_t (*rank_histogram)(ptrdiff_t n, const T *scores, int weight_is_double,                  \
                                    const void *sample_weight, int allow_infinity, int prefix_bits,      \
                                    uint32_t *histogram);                                                \
        /* Parts checked scores and their labels, each of its label type FT_*, into buckets.  cursors    \
           (n_buckets,): next position, at most `last`, and from bit 32 on the number of label 1.        \
           Returns the first row whose label is neither 0 nor 1, or -1. */                               \
        ptrdiff_t (*rank_scatter)(ptrdiff_t n, int label_type, const void *labels, const T *scores,      \
                                  int weight_is_double, const void *sample_weight, int prefix_bits,      \
                                  const uint16_t *bucket_of, uint64_t *cursors, uint32_t last,           \
                                  void *rows);                                                           \
        /* Sorts the rows of a bucket by key, stably; scratch as large as rows. */                       \
        void (*rank_sort)(ptrdiff_t n, int weighted, void *rows, void *scratch);                         \
        /* The area over a bucket of words, in half pairs, and the sum over its positive rows of their   \
           precisions; *tp and *fp grow by its rows.  table (2^(table_bits + 1),) and scratch are        \
           overwritten, and so are the rows. */                                                          \
        void (*rank_finish)(ptrdiff_t n, void *rows, void *scratch, int table_bits, uint32_t *table,     \
                            uint64_t *tp, uint64_t *fp, uint64_t *half_pairs, double *precisions);       \
        /* The distinct scores of a sorted bucket and the *tp and *fp down to each; returns how many.    \
           low_half: the bucket's keys have their highest bit set. */                                    \
        ptrdiff_t (*rank_curve)(ptrdiff_t n, const void *rows, int low_half, int64_t *tp, int64_t *fp,   \
                                int64_t *tps, int64_t *fps, T *thresholds);                              \
        ptrdiff_t (*rank_weighted_curve)(ptrdiff_t n, const void *rows, int low_half, double *tp,        \
                                         double *fp, double *tps, double *fps, T *thresholds);           \
        void (*rank_weight_sums)(ptrdiff_t n, const void *rows, double *positives, double *negatives);   \
        /* *area += (share of all_negatives) * (share of all_positives above), over a sorted bucket that  \
           begins at tp and fp; *precisions += (share of all_positives) * precision */                   \
        void (*rank_weighted_area)(ptrdiff_t n, const void *rows, double all_positives,                  \
                                   double all_negatives, double tp, double fp, double *area,             \
                                   double *precisions);                                                  \
        /* ---- lamb.h: (n,) each; same bits at every level; subnormals are flushed ---- */              \
        /* Moves the moments and sets sums (2,): of the squares of param, and of those of its update. */ \
        void (*lamb_moments)(ptrdiff_t n, const T *param, const T *grad, T *exp_avg, T *exp_avg_sq,      \
                             const ft_lamb_scalars *scalars, double *sums);                              \
        /* param -= step_size * its update by the moments */                                             \
        void (*lamb_step)(ptrdiff_t n, T *param, const T *exp_avg, const T *exp_avg_sq,                  \
                          const ft_lamb_scalars *scalars, double step_size);                             \
        /* ---- adafactor.h: same bits at every level; subnormals are flushed.  A tile has at most       \
           FT_ADAFACTOR_STRIP columns. ---- */                                                           \
        /* row_sums (n_rows,), column_sums (n_columns,) = the squares of grad_factor * grad; returns the \
           sum of the squares of param */                                                                \
        double (*adafactor_sums)(ptrdiff_t n_rows, ptrdiff_t n_columns, const T *param, const T *grad,   \
                                 ptrdiff_t row_stride, double grad_factor, double *row_sums,             \
                                 double *column_sums);                                                   \
        /* means (n,) move by weight to the sum over n_parts of sums (n_parts, n) / count; returns their \
           new sum */                                                                                    \
        double (*adafactor_means)(ptrdiff_t n, ptrdiff_t n_parts, const double *sums, double count,      \
                                  double weight, T *means);                                              \
        /* factors (n,) = 1 / sqrt(means / divisor) */                                                   \
        void (*adafactor_factors)(ptrdiff_t n, const T *means, double divisor, T *factors);              \
        /* With update = grad_factor * grad * min(limit, row_factor * column_factor): the sum of its     \
           squares, and param = decay_factor * param - step_size * update. */                            \
        double (*adafactor_norm)(ptrdiff_t n_rows, ptrdiff_t n_columns, const T *grad, ptrdiff_t row_stride, \
                                 double grad_factor, const T *row_factors, const T *column_factors,      \
                                 double limit);                                                          \
        void (*adafactor_step)(ptrdiff_t n_rows, ptrdiff_t n_columns, T *param, const T *grad,           \
                               ptrdiff_t row_stride, double grad_factor, const T *row_factors,           \
                               const T *column_factors, double limit, double decay_factor,               \
                               double step_size);                                                        \
        /* The same for a vector, whose update is grad_factor * grad / max(eps, sqrt(variance)): variance \
           moves by weight to the square, and sums (2,) are the squares of param, and of the update. */  \
        void (*adafactor_variance)(ptrdiff_t n, const T *param, const T *grad, T *variance,              \
                                   double grad_factor, double weight, double eps, double *sums);         \
        void (*adafactor_vector_step)(ptrdiff_t n, T *param, const T *grad, const T *variance,           \
                                      double grad_factor, double eps, double decay_factor,               \
                                      double step_size);                                                 \
        /* ---- muon.h: (n,) each; same bits at every level; subnormals are flushed ---- */              \
        /* Moves the buffer, and writes the update; returns the sum of its squares. */                   \
        double (*muon_momentum)(ptrdiff_t n, const T *grad, T *buffer, T *update, double grad_factor,    \
                                double momentum, int nesterov);                                          \
        /* y = alpha y + beta x; x may be NULL */                                                        \
        void (*scale_add)(ptrdiff_t n, double alpha, T *y, double beta, const T *x);                     \
    } ft_ops_##S;

enum { FT_MATH_EXP = 0, FT_MATH_EXPM1, FT_MATH_LOG, FT_MATH_LOG1P, FT_MATH_TANH, FT_MATH_SIGMOID, FT_MATH_ERF, FT_MATH_ERFC };

FT_DEFINE_OPS(float, f32)
FT_DEFINE_OPS(double, f64)

/* Integer labels come in these types. */
enum { FT_INT8 = 0, FT_INT16, FT_INT32, FT_INT64, FT_UINT8, FT_UINT16, FT_UINT32, FT_UINT64, FT_N_LABEL_TYPES };

/* Running sums of a loss: of w * loss and of w. */
typedef struct {
    double loss, weight;
} ft_loss_sums;
/* Targets and predictions come in these types too. */
enum { FT_FLOAT16 = FT_N_LABEL_TYPES, FT_FLOAT32, FT_FLOAT64 };

/* Losses of a target and a prediction; FT_LOSS_MAXIMUM is the largest absolute error. */
enum {
    FT_LOSS_SQUARED = 0,
    FT_LOSS_ABSOLUTE,
    FT_LOSS_MAXIMUM,
    FT_LOSS_SQUARED_LOG,
    FT_LOSS_PERCENTAGE,
    FT_LOSS_PINBALL,
    FT_LOSS_POISSON,
    FT_LOSS_GAMMA
};

/* Sums over pairs of a target and a prediction; the error is target - prediction. */
enum {
    FT_MOMENT_WEIGHT = 0,
    FT_MOMENT_TRUE_MEAN,
    FT_MOMENT_TRUE_CENTRED, /* sum of weight (target - mean)^2 */
    FT_MOMENT_ERROR_MEAN,
    FT_MOMENT_ERROR_CENTRED,
    FT_MOMENT_SQUARED_ERROR,
    FT_N_MOMENTS
};

/* The rows whose score's key begins with a prefix: of each label their number or the sum of their weights. */
typedef struct {
    uint64_t prefix;
    union {
        uint64_t count;
        double weight;
    } of[2];
} ft_score_bin;

/* At most max_bins such bins of prefixes of `level` bits, in 2^slot_bits slots (more than max_bins). */
typedef struct {
    int level, weighted, slot_bits;
    ptrdiff_t n_bins, max_bins;
    ft_score_bin *slots;
    ft_score_bin *spare; /* (max_bins,), overwritten */
} ft_score_bins;

/* Interleaved copies of a small table of counts, or of sums of weights. */
enum { FT_COUNT_LANES = 8, FT_WEIGHT_LANES = 4 };

/* Units of a block of a resample, lanes of its sums, and what is known of a position of a ranking. */
enum {
    FT_BOOTSTRAP_BLOCK = 4096,
    FT_BOOTSTRAP_LANES = 16,
    FT_BOOTSTRAP_POSITIVE = 1, /* label 1 */
    FT_BOOTSTRAP_LAST = 2      /* the last of equal scores */
};

typedef struct {
    const char *name;
    int vector_bytes;
    ft_ops_f32 f32;
    ft_ops_f64 f64;
    /* ---- counts.h ---- */
    /* counts (n_classes, n_classes) += pairs (y_true, y_pred), each of its label type FT_*; returns the
       first row with a label outside first_label .. first_label + n_classes - 1, or -1.  That range must
       lie in int32, and n_classes below 2^16.  scratch (n_classes^2 * FT_COUNT_LANES,), which is
       overwritten, is for speed where n_classes is small, or NULL. */
    ptrdiff_t (*confusion_counts)(ptrdiff_t n, int true_type, const void *y_true, int pred_type,
                                  const void *y_pred, int64_t first_label, ptrdiff_t n_classes,
                                  int64_t *counts, int64_t *scratch);
    /* the same with weights, double or float, added up in double; a weight that is negative, infinite
       or NaN makes a row bad too.  scratch (n_classes^2 * FT_WEIGHT_LANES,) or NULL. */
    ptrdiff_t (*confusion_weights)(ptrdiff_t n, int true_type, const void *y_true, int pred_type,
                                   const void *y_pred, int64_t first_label, ptrdiff_t n_classes,
                                   int weight_is_double, const void *sample_weight, double *sums,
                                   double *scratch);
    /* ---- formats.h ---- */
    /* y (n,) = x (n,), rounded to the nearest */
    void (*to_bfloat16)(ptrdiff_t n, const float *x, uint16_t *y);
    /* the sum of squares of (n,) numbers of 16 bits, FT_BFLOAT16 or FT_HALF */
    double (*sum_squares_16)(int format, ptrdiff_t n, const uint16_t *x);
    /* ---- detection.h: out (n,) = intersection over union of a box with each of boxes, 0 where they do not meet;
       where crowd is not 0, over the area of the box.  box (5,) and the columns of boxes (5, n), which are `stride`
       apart: left, top, right, bottom, area.  crowd (n,) or NULL. ---- */
    void (*box_overlaps)(ptrdiff_t n, const double *box, const double *boxes, ptrdiff_t stride,
                         const double *crowd, double *out);
    /* ---- probability.h: y_proba and sample_weight (n,) or NULL are double or float; each returns the first
       row with a bad label, a probability out of [0, 1], or a weight that is negative or not finite, or -1.
       The loss is -log(q), q the probability of what happened held within [eps, 1 - eps], or squared. ---- */
    /* labels `negative` or `positive`, which differ; y_proba (n,) of the positive one; the squared loss is
       (1 - q)^2; *n_positive += rows with the label `positive` */
    ptrdiff_t (*binary_probability_loss)(ptrdiff_t n, int squared, int label_type, const void *y_true,
                                         int64_t negative, int64_t positive, int is_double,
                                         const void *y_proba, double eps, int weight_is_double,
                                         const void *sample_weight, ft_loss_sums *sums, int64_t *n_positive);
    /* labels first_label .. first_label + n_classes - 1, as for confusion_counts; y_proba (n, n_classes); the
       squared loss is the sum of (p - [class is the row's])^2; class_counts (n_classes,) += rows of each
       class; *deviation = max(*deviation, |sum of a row - 1|) */
    ptrdiff_t (*class_probability_loss)(ptrdiff_t n, ptrdiff_t n_classes, int squared, int label_type,
                                        const void *y_true, int64_t first_label, int is_double,
                                        const void *y_proba, ptrdiff_t row_stride, double eps,
                                        int weight_is_double, const void *sample_weight, ft_loss_sums *sums,
                                        int64_t *class_counts, double *deviation);
    /* ---- regression.h: y_true, y_pred (n_rows, n_columns) with this row stride, both double or both float, and
       so is weight (n_rows,), if not NULL; n_rows at least 1, n_columns 1 where row_stride is 1.  A weight below 0 makes
       the sum of weights NaN; NaN and infinity spread to the results. ---- */
    /* y (n,) = x (n,), of the type FT_* */
    void (*widen)(int type, ptrdiff_t n, const void *x, double *y);
    /* moments (FT_N_MOMENTS, n_columns), rows `stride` apart; the means of target and error are given less
       origins (2, n_columns), rows `stride` apart too, which should be near them */
    void (*regression_moments)(ptrdiff_t n_rows, ptrdiff_t n_columns, ptrdiff_t row_stride, int is_double,
                               const void *y_true, const void *y_pred, const void *weight,
                               const double *origins, double *moments, ptrdiff_t stride);
    /* sums (2, n_columns), rows `stride` apart: weights, and weight * loss, which is NaN outside of the loss's
       domain; or, without weights, the largest loss.  alpha: of FT_LOSS_PINBALL. */
    void (*regression_loss)(int loss, double alpha, ptrdiff_t n_rows, ptrdiff_t n_columns, ptrdiff_t row_stride,
                            int is_double, const void *y_true, const void *y_pred, const void *weight,
                            double *sums, ptrdiff_t stride);
    /* ---- bootstrap.h: size at most FT_BOOTSTRAP_BLOCK; the same bits on every level ---- */
    /* counts (size,) = how often each unit of the block comes up in n_draws draws; a function of the seed and
       the three numbers after it, block below 2^32 */
    void (*bootstrap_draw)(uint64_t seed, uint32_t stream, uint32_t resample, uint64_t block, ptrdiff_t size,
                           int64_t n_draws, uint32_t *counts);
    /* counts and flags (size,) of the positions of a ranking from the highest score on, in the order of memory
       that the file explains: the number of pairs of a row of label 0 and one of label 1 before it, those before
       the block among them; *positives and *negatives, which were before it, grow by the rows of the block */
    uint64_t (*bootstrap_pairs)(ptrdiff_t size, const uint32_t *counts, const uint8_t *flags, uint64_t *positives,
                                uint64_t *negatives);
    /* sum_i counts[i] terms[i]; counts below 2^31 */
    double (*bootstrap_sum)(ptrdiff_t size, const uint32_t *counts, const double *terms);
    /* ---- score_bins.h ---- */
    /* bins, from their level on, = the rows without those of zero weight; returns the first row whose score is
       not finite, whose label, of its type FT_*, is neither 0 nor 1, or whose weight is negative or not finite,
       or -1 */
    ptrdiff_t (*score_bins_rows)(ptrdiff_t n, int label_type, const void *labels, int score_is_double,
                                 const void *scores, int weight_is_double, const void *sample_weight,
                                 ft_score_bins *bins);
    /* bins += other */
    void (*score_bins_merge)(ft_score_bins *bins, const ft_score_bins *other);
    /* collected (n_bins,) = the bins, in no order */
    void (*score_bins_collect)(const ft_score_bins *bins, ft_score_bin *collected);
} ft_table;

/* NULL where the file was compiled for another architecture. */
extern const ft_table *const ft_level_v2;
extern const ft_table *const ft_level_v3;
extern const ft_table *const ft_level_v4;
extern const ft_table *const ft_level_neon;
extern const ft_table *const ft_level_generic;

#endif
