/* CPU level v3: x86-64-v3 (AVX2 and FMA). */
#if defined(__x86_64__) && defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#elif defined(__x86_64__)
#pragma GCC target("arch=x86-64-v3")
#endif
#include "table.h"

#if defined(__x86_64__)
#define FT_LEVEL_NAME "v3"
#define FT_VECTOR_BYTES 32
#define FT_HAS_FMA 1
#define FT_TILE_ROWS 6
#define FT_TILE_VECTORS 2
#define FT_PACKING {.depth = 128, .rows = 96, .few_rows = 32, .large_bytes = PTRDIFF_MAX, .alias_bytes = 2048}
#define FT_PANEL_BYTES 32768
#include "level.h"
const ft_table *const ft_level_v3 = &ft_this_level;
#else
const ft_table *const ft_level_v3 = NULL;
#endif
#if defined(__x86_64__) && defined(__clang__)
#pragma clang attribute pop
#endif
