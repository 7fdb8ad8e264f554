/* placeholder: replaced by the family's own commit */
#if REAL_IS_FLOAT
#define ft_squared_error_f32 NULL
#define ft_squared_error_f64 NULL
#define ft_bce_logits_f32 NULL
#define ft_bce_logits_f64 NULL
#define ft_bce_probabilities_f32 NULL
#define ft_bce_probabilities_f64 NULL
#define ft_cross_entropy_f32 NULL
#define ft_cross_entropy_f64 NULL
#define ft_cross_entropy_soft_f32 NULL
#define ft_cross_entropy_soft_f64 NULL
#define ft_softmax_f32 NULL
#define ft_softmax_f64 NULL
#endif
