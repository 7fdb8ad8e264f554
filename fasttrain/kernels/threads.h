/*
 * The one file that knows omp.h, so that everything compiles and passes without OpenMP.
 *
 * A crew is the threads of a parallel region, on their way through one or more phases of work.  The pieces
 * of a phase are numbered; each thread takes those of its own share first, which is the same in every phase
 * and in every call, so that what it finds in its own cache is used again, and then helps the others.
 * What is waited for is work, never threads: one that has lost its core holds nobody up unless it holds a
 * piece, and it catches up when it comes back.  (An OpenMP barrier waits for every thread.)
 *
 *     ft_crew_start(&crew, n_threads)
 *     with parallel(num_threads=n_threads):        # without a region for one thread
 *         member(&crew)
 *
 *     cdef void member(ft_crew* crew):
 *         thread = ft_crew_join(crew)
 *         piece = ft_crew_take(crew, thread, phase, n_pieces)
 *         while piece >= 0:
 *             ...
 *             if ft_crew_finish(crew, n_pieces):   # these two lines and the wait: before another phase
 *                 ft_crew_advance(crew, phase)
 *             piece = ft_crew_take(crew, thread, phase, n_pieces)
 *         ft_crew_wait(crew, phase)
 *         ft_crew_leave(crew, thread)
 */
#ifndef FT_THREADS_H
#define FT_THREADS_H

#include <stdint.h>

#ifdef _OPENMP
#include <omp.h>
#include <sched.h>
static inline int ft_openmp_version(void) { return _OPENMP; }
static inline int ft_thread_index(void) { return omp_get_thread_num(); }
static inline int ft_thread_count(void) { return omp_get_num_threads(); }
static inline void ft_yield(void) { sched_yield(); }
#else
static inline int ft_openmp_version(void) { return 0; }
static inline int ft_thread_index(void) { return 0; }
static inline int ft_thread_count(void) { return 1; }
static inline void ft_yield(void) {}
#endif

static inline void ft_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#define FT_CREW_SHARES 64 /* threads beyond these have no share of their own */
#define FT_CREW_PIECE_BITS 28
#define FT_CREW_PIECE_MASK ((UINT64_C(1) << FT_CREW_PIECE_BITS) - 1)

/* A word changes its place in the caches when it is written, so each has a line of its own. */
typedef struct {
    _Alignas(64) uint64_t word;
} ft_crew_line;

typedef struct {
    int n_shares;
    int team;                          /* threads of the region; set and read by the caller's */
    int cpu;                           /* where the calling thread runs, or -1 */
    ft_crew_line finished;             /* pieces of the current phase that are done */
    ft_crew_line phase;                /* the current phase */
    ft_crew_line joined;               /* threads that have come */
    ft_crew_line gone;                 /* threads that have left */
    ft_crew_line taken[FT_CREW_SHARES]; /* of each share: phase << 28 | pieces taken */
} ft_crew;

static inline void ft_crew_start(ft_crew *crew, int n_threads) {
    crew->n_shares = n_threads < FT_CREW_SHARES ? n_threads : FT_CREW_SHARES;
    crew->cpu = -1;
#if defined(_OPENMP) && defined(__linux__)
    if (n_threads > 1)
        crew->cpu = sched_getcpu();
#endif
    crew->finished.word = crew->phase.word = crew->joined.word = crew->gone.word = 0;
    for (int i = 0; i < crew->n_shares; i++)
        crew->taken[i].word = 0;
}

/*
 * This thread's number.  Linux may wake a thread on the core of the caller, which is busy, beside an idle
 * core, and leave it there for many calls: where there are few cores it does not look for an idle one.  So
 * a thread that finds itself there steps off that core for a moment; its affinity stays what it was.
 */
static inline int ft_crew_join(ft_crew *crew) {
    if (crew->n_shares == 1)
        return 0; /* there is no region: the number would be that of a region which the caller is in */
    int thread = ft_thread_index();
    if (thread == 0)
        crew->team = ft_thread_count();
    __atomic_add_fetch(&crew->joined.word, 1, __ATOMIC_RELAXED);
#if defined(_OPENMP) && defined(__linux__)
    if (thread > 0 && crew->cpu >= 0 && sched_getcpu() == crew->cpu) {
        cpu_set_t usable, others;
        if (sched_getaffinity(0, sizeof usable, &usable) == 0 && CPU_COUNT(&usable) >= ft_thread_count()) {
            others = usable;
            CPU_CLR(crew->cpu, &others);
            if (sched_setaffinity(0, sizeof others, &others) == 0)
                sched_setaffinity(0, sizeof usable, &usable);
        }
    }
#endif
    return thread;
}

/*
 * The next piece of `phase` for this thread, or -1 when all are taken or the phase is over.  The caller's
 * thread, before a piece that is not its first, lets threads run that have not joined: one that waits for this
 * very core would wait until the work is done.
 */
static inline int64_t ft_crew_take(ft_crew *crew, int thread, uint64_t phase, int64_t n_pieces) {
    if (thread == 0 && crew->n_shares > 1 &&
        __atomic_load_n(&crew->joined.word, __ATOMIC_RELAXED) < (uint64_t)crew->team &&
        (phase > 0 || __atomic_load_n(&crew->taken[0].word, __ATOMIC_RELAXED) > 0))
        ft_yield();
    for (int i = 0; i < crew->n_shares; i++) {
        int share = (thread + i) % crew->n_shares;
        int64_t first = n_pieces * share / crew->n_shares, end = n_pieces * (share + 1) / crew->n_shares;
        uint64_t word = __atomic_load_n(&crew->taken[share].word, __ATOMIC_ACQUIRE);
        while (word >> FT_CREW_PIECE_BITS == phase && first + (int64_t)(word & FT_CREW_PIECE_MASK) < end)
            if (__atomic_compare_exchange_n(&crew->taken[share].word, &word, word + 1, 1, __ATOMIC_ACQUIRE,
                                            __ATOMIC_ACQUIRE))
                return first + (int64_t)(word & FT_CREW_PIECE_MASK);
    }
    return -1;
}

/* Hands a piece in; true for the last of the phase, whose thread then calls ft_crew_advance. */
static inline int ft_crew_finish(ft_crew *crew, int64_t n_pieces) {
    return (int64_t)__atomic_add_fetch(&crew->finished.word, 1, __ATOMIC_ACQ_REL) == n_pieces;
}

static inline void ft_crew_advance(ft_crew *crew, uint64_t phase) {
    __atomic_store_n(&crew->finished.word, 0, __ATOMIC_RELAXED);
    for (int i = 0; i < crew->n_shares; i++)
        __atomic_store_n(&crew->taken[i].word, (phase + 1) << FT_CREW_PIECE_BITS, __ATOMIC_RELEASE);
    __atomic_store_n(&crew->phase.word, phase + 1, __ATOMIC_RELEASE);
}

/* Waits until a word is at least `value`: spins for some tens of microseconds, then lets others run. */
static inline void ft_crew_await(const ft_crew_line *line, uint64_t value) {
    for (int spins = 0; __atomic_load_n(&line->word, __ATOMIC_ACQUIRE) < value; spins++) {
        if (spins < 2000)
            ft_pause();
        else
            ft_yield();
    }
}

/* Waits until `phase` is over. */
static inline void ft_crew_wait(ft_crew *crew, uint64_t phase) { ft_crew_await(&crew->phase, phase + 1); }

/*
 * The end of a thread's way.  The caller's thread waits here for the others, so that it finds them at the
 * region's own barrier: that one spins for milliseconds before it lets go of a core that others may need.
 */
static inline void ft_crew_leave(ft_crew *crew, int thread) {
    if (crew->n_shares == 1)
        return;
    __atomic_add_fetch(&crew->gone.word, 1, __ATOMIC_ACQ_REL);
    if (thread == 0)
        ft_crew_await(&crew->gone, (uint64_t)ft_thread_count());
}

#endif
