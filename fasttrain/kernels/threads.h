/*
 * The one file that knows omp.h, so that everything compiles and passes without OpenMP.
 *
 * A crew is a parallel region that walks many short phases: in each, threads take numbered pieces of
 * work until none is left, and all wait until the last piece is finished.  What is waited for is the
 * work, never the threads: one that has lost its core holds nobody up unless it holds a piece, and it
 * catches up when it comes back.  (An OpenMP barrier waits for every thread.)
 */
#ifndef FT_THREADS_H
#define FT_THREADS_H

#include <stdint.h>

#ifdef _OPENMP
#include <omp.h>
#include <sched.h>
static inline int ft_openmp_version(void) { return _OPENMP; }
static inline int ft_thread_index(void) { return omp_get_thread_num(); }
static inline void ft_yield(void) { sched_yield(); }
#else
static inline int ft_openmp_version(void) { return 0; }
static inline int ft_thread_index(void) { return 0; }
static inline void ft_yield(void) {}
#endif

static inline void ft_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The two words change places in the cache only when they are written, so each has its own line. */
typedef struct {
    _Alignas(64) uint64_t next;     /* phase << 24 | next piece to take */
    _Alignas(64) uint64_t finished; /* pieces of the current phase that are done */
} ft_crew;

#define FT_CREW_PIECE_BITS 24
#define FT_CREW_PIECE_MASK ((UINT64_C(1) << FT_CREW_PIECE_BITS) - 1)

static inline void ft_crew_start(ft_crew *crew) {
    crew->next = 0;
    crew->finished = 0;
}

/* The next piece of `phase`, or -1 when all of its n_pieces are taken or the phase is over. */
static inline int64_t ft_crew_take(ft_crew *crew, uint64_t phase, int64_t n_pieces) {
    uint64_t word = __atomic_load_n(&crew->next, __ATOMIC_ACQUIRE);
    for (;;) {
        int64_t piece = (int64_t)(word & FT_CREW_PIECE_MASK);
        if (word >> FT_CREW_PIECE_BITS != phase || piece >= n_pieces)
            return -1;
        if (__atomic_compare_exchange_n(&crew->next, &word, word + 1, 1, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
            return piece;
    }
}

/* Hands a piece in; true for the last of the phase, whose thread then calls ft_crew_advance. */
static inline int ft_crew_finish(ft_crew *crew, int64_t n_pieces) {
    return (int64_t)__atomic_add_fetch(&crew->finished, 1, __ATOMIC_ACQ_REL) == n_pieces;
}

static inline void ft_crew_advance(ft_crew *crew, uint64_t phase) {
    __atomic_store_n(&crew->finished, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&crew->next, (phase + 1) << FT_CREW_PIECE_BITS, __ATOMIC_RELEASE);
}

/* Waits until `phase` is over: spins for some tens of microseconds, then lets others run. */
static inline void ft_crew_wait(ft_crew *crew, uint64_t phase) {
    for (int spins = 0; __atomic_load_n(&crew->next, __ATOMIC_ACQUIRE) >> FT_CREW_PIECE_BITS <= phase; spins++) {
        if (spins < 2000)
            ft_pause();
        else
            ft_yield();
    }
}

#endif
