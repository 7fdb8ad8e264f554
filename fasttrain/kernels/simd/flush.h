/*
 * Subnormals count as zero while an optimizer walks a piece.
 *
 * Moments that die out become subnormal, and arithmetic on those is many times slower.  So subnormal operands count
 * as zero and subnormal results are zero in between; the caller's floating-point state, its exception flags included,
 * is put back afterwards.
 */
#ifndef FT_FLUSH_H
#define FT_FLUSH_H

#include "vector.h"

/* The assembly statements are barriers to the compiler: no store moves out of the flushing part. */
#if defined(__x86_64__)
typedef uint32_t ft_float_state;
FT_INLINE void ft_float_state_set(ft_float_state state) {
    __asm__ volatile("ldmxcsr %0" : : "m"(state) : "memory");
}
FT_INLINE ft_float_state ft_flush_subnormals(void) {
    ft_float_state state;
    __asm__ volatile("stmxcsr %0" : "=m"(state) : : "memory");
    ft_float_state_set(state | 0x8040u); /* FTZ and DAZ */
    return state;
}
#elif defined(__aarch64__)
typedef uint64_t ft_float_state;
FT_INLINE void ft_float_state_set(ft_float_state state) {
    __asm__ volatile("msr fpcr, %0" : : "r"(state) : "memory");
}
FT_INLINE ft_float_state ft_flush_subnormals(void) {
    ft_float_state state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state) : : "memory");
    ft_float_state_set(state | (UINT64_C(1) << 24)); /* FZ: operands and results */
    return state;
}
#else
typedef int ft_float_state;
FT_INLINE void ft_float_state_set(ft_float_state state) { (void)state; }
FT_INLINE ft_float_state ft_flush_subnormals(void) { return 0; }
#endif

/* Smallest normal numbers of float and double. */
#define FT_SMALLEST_f32 0x1p-126f
#define FT_SMALLEST_f64 0x1p-1022

#endif
