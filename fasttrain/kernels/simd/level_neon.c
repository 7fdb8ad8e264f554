/* CPU level neon: AArch64 with Advanced SIMD, its floor. */

#include "table.h"

#if defined(__aarch64__)
#define FT_LEVEL_NAME "neon"
#define FT_VECTOR_BYTES 16
#define FT_HAS_FMA 1
#define FT_TILE_ROWS 8
#define FT_TILE_VECTORS 2
#define FT_PACKING {.depth = 128, .rows = 96, .few_rows = 32, .large_bytes = PTRDIFF_MAX, .alias_bytes = 2048}
#define FT_PANEL_BYTES 24576
#include "level.h"
const ft_table *const ft_level_neon = &ft_this_level;
#else
const ft_table *const ft_level_neon = NULL;
#endif

