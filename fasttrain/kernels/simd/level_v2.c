/* CPU level v2: x86-64-v2 (SSE4.2), the floor on x86-64. */
#if defined(__x86_64__) && defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("arch=x86-64-v2"))), apply_to = function)
#elif defined(__x86_64__)
#pragma GCC target("arch=x86-64-v2")
#endif
#include "table.h"

#if defined(__x86_64__)
#define FT_LEVEL_NAME "v2"
#define FT_VECTOR_BYTES 16
#define FT_HAS_FMA 0
#define FT_TILE_ROWS 4
#define FT_TILE_VECTORS 2
#define FT_PACKING {.depth = 128, .rows = 96, .few_rows = 32, .large_bytes = PTRDIFF_MAX, .alias_bytes = 2048}
#define FT_PANEL_BYTES 24576
#include "level.h"
const ft_table *const ft_level_v2 = &ft_this_level;
#else
const ft_table *const ft_level_v2 = NULL;
#endif
#if defined(__x86_64__) && defined(__clang__)
#pragma clang attribute pop
#endif
