/* placeholder: replaced by the family's own commit */
#if REAL_IS_FLOAT
#define ft_sgd_update_f32 NULL
#define ft_sgd_update_f64 NULL
#define ft_adam_update_f32 NULL
#define ft_adam_update_f64 NULL
#endif
