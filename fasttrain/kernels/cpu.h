/*
 * Which CPU levels this machine can run.  Every feature that a level's target enables is tested, and that
 * the operating system saves the registers it needs.
 */
#ifndef FT_CPU_H
#define FT_CPU_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <cpuid.h>

typedef struct {
    const char *name;
    unsigned level, leaf;
    char reg; /* 'b', 'c' or 'd' */
    unsigned bit;
} ft_cpu_feature;

static const ft_cpu_feature ft_cpu_features[] = {
    {"cmpxchg16b", 2, 1, 'c', 13},  {"popcnt", 2, 1, 'c', 23},    {"sse3", 2, 1, 'c', 0},
    {"ssse3", 2, 1, 'c', 9},        {"sse4.1", 2, 1, 'c', 19},    {"sse4.2", 2, 1, 'c', 20},
    {"lahf", 2, 0x80000001u, 'c', 0}, {"osxsave", 3, 1, 'c', 27}, {"avx", 3, 1, 'c', 28},
    {"avx2", 3, 7, 'b', 5},         {"bmi1", 3, 7, 'b', 3},       {"bmi2", 3, 7, 'b', 8},
    {"f16c", 3, 1, 'c', 29},        {"fma", 3, 1, 'c', 12},       {"movbe", 3, 1, 'c', 22},
    {"lzcnt", 3, 0x80000001u, 'c', 5}, {"avx512f", 4, 7, 'b', 16}, {"avx512bw", 4, 7, 'b', 30},
    {"avx512cd", 4, 7, 'b', 28},    {"avx512dq", 4, 7, 'b', 17},  {"avx512vl", 4, 7, 'b', 31},
};
#define FT_N_CPU_FEATURES (sizeof ft_cpu_features / sizeof ft_cpu_features[0])

static inline int ft_cpu_has(const ft_cpu_feature *feature) {
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid_count(feature->leaf, 0, &eax, &ebx, &ecx, &edx))
        return 0;
    unsigned word = feature->reg == 'b' ? ebx : feature->reg == 'c' ? ecx : edx;
    return word >> feature->bit & 1u;
}

/* Bits of XCR0 that a level needs: xmm and ymm for v3; opmask and zmm too for v4. */
static inline int ft_os_saves(unsigned level) {
    unsigned eax, edx, ebx, ecx;
    if (level < 3)
        return 1;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx >> 27 & 1u))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    unsigned needed = level == 3 ? 0x06u : 0xe6u;
    return (eax & needed) == needed;
}

/* The i-th feature that `level` needs and this machine lacks, or NULL when there are fewer. */
static inline const char *ft_missing_feature(unsigned level, size_t i) {
    for (size_t f = 0; f < FT_N_CPU_FEATURES; f++)
        if (ft_cpu_features[f].level <= level && !ft_cpu_has(&ft_cpu_features[f]) && i-- == 0)
            return ft_cpu_features[f].name;
    if (!ft_os_saves(level) && i == 0)
        return "registers saved by the operating system";
    return NULL;
}
#else
static inline const char *ft_missing_feature(unsigned level, size_t i) {
    (void)level, (void)i;
    return NULL;
}
#endif

static inline const char *ft_compiler(void) {
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#else
    return "unknown";
#endif
}

#endif
