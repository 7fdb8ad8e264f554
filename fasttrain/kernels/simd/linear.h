/* placeholder: replaced by the family's own commit */
#if REAL_IS_FLOAT
#define ft_linear_predict_f32 NULL
#define ft_linear_predict_f64 NULL
#define ft_linear_gradient_f32 NULL
#define ft_linear_gradient_f64 NULL
#endif
