/* placeholder: replaced by the family's own commit */
#if REAL_IS_FLOAT
#define ft_activation_forward_f32 NULL
#define ft_activation_forward_f64 NULL
#define ft_activation_backward_f32 NULL
#define ft_activation_backward_f64 NULL
#define ft_column_sums_f32 NULL
#define ft_column_sums_f64 NULL
#endif
