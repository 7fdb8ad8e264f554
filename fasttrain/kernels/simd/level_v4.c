/* CPU level v4: x86-64-v4 (AVX-512 F, BW, CD, DQ, VL). */
#if defined(__x86_64__) && defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#elif defined(__x86_64__)
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#endif
#include "table.h"

#if defined(__x86_64__)
#define FT_LEVEL_NAME "v4"
#define FT_VECTOR_BYTES 64
#define FT_HAS_FMA 1
#define FT_TILE_ROWS 14
#define FT_TILE_VECTORS 2
#define FT_PACKING {.depth = 128, .rows = 400, .few_rows = 8, .large_bytes = 16 << 20, .alias_bytes = PTRDIFF_MAX}
#define FT_PANEL_BYTES 65536
#include "level.h"
const ft_table *const ft_level_v4 = &ft_this_level;
#else
const ft_table *const ft_level_v4 = NULL;
#endif
#if defined(__x86_64__) && defined(__clang__)
#pragma clang attribute pop
#endif
