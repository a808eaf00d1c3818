/*
 * The embeddable core of the Edge SDK: C99, no allocation, no globals but the
 * kernel table.
 *
 * This is the only public header. EDGE_VERSION is the version of the whole
 * project: the build and the Python package read it from here.
 *
 * Ownership: the caller owns all memory. Functions that need room take it as a
 * buffer and its size, and a `_size()` function says how much. An opened file
 * points into the caller's bytes, which must outlive it and stay unchanged.
 * Threads: everything that takes a `const` index may run in many threads at
 * once. NULL is an error (EDGE_ERR_ARGUMENT) unless a parameter says otherwise.
 * Words: a code of up to 64 bits is a uint64_t, bit j of the code being bit j
 * of the word; bits from `bits` on are zero. Hosts are little-endian.
 */
#ifndef EDGE_RUNTIME_H
#define EDGE_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#define EDGE_VERSION "0.1.0"

#if defined(__GNUC__)
#define EDGE_API __attribute__((visibility("default")))
#else
#define EDGE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Return EDGE_VERSION as it was when the library was compiled. Never NULL; never freed. */
EDGE_API const char *edge_version(void);

/* ---- errors --------------------------------------------------------------- */

/* X(name, value, what it means): the one list, for C, its tests and its bindings. */
#define EDGE_STATUSES(X)                                                                \
    X(OK, 0, "no error")                                                                \
    X(ERR_ARGUMENT, 0x10, "a NULL pointer, a misaligned one, or a count out of range")  \
    X(ERR_WIDTH, 0x11, "a code with bits set beyond the index's width")                 \
    X(ERR_NOT_FINITE, 0x12, "a score that is NaN or infinite")                          \
    X(ERR_DUPLICATE, 0x13, "two classes with one code")                                 \
    X(ERR_UNTRAINED, 0x14, "a dim that the head was not trained for")                   \
    X(ERR_CAPACITY, 0x20, "the caller's buffer is too small")                           \
    X(ERR_FORMAT, 0x21, "bytes that are not a file of this kind, or are damaged")              \
    X(ERR_VERSION, 0x22, "a file of a newer format than this core reads")               \
    X(ERR_ABSENT, 0x23, "the file does not hold the section that this needs")           \
    X(ERR_BUILD, 0x24, "no exact table was found for these codes")

typedef enum edge_status {
#define EDGE_STATUS_(name, value, text) EDGE_##name = value,
    EDGE_STATUSES(EDGE_STATUS_)
#undef EDGE_STATUS_
} edge_status;

/** Return what `status` means, in words. Never NULL; never freed. */
EDGE_API const char *edge_status_text(edge_status status);

/* ---- kernels -------------------------------------------------------------- */

/** Return the instruction set whose kernels are in use, such as "avx2". Never NULL. */
EDGE_API const char *edge_isa(void);

/** Return how many instruction sets this build has kernels for and this machine can run. */
EDGE_API size_t edge_isa_count(void);

/** Return the name of the `i`-th of them, slowest first; NULL from edge_isa_count() on. */
EDGE_API const char *edge_isa_name(size_t i);

/**
 * Use the kernels of `isa` from now on, in every thread; for tests and benchmarks.
 *
 * Not to be called while another thread is inside the core.
 *
 * @return EDGE_OK, or EDGE_ERR_ARGUMENT if this machine can not run them.
 */
EDGE_API edge_status edge_isa_use(const char *isa);

/* ---- digests -------------------------------------------------------------- */

/* The running state of an XXH64 (seed 0), for bytes that come in pieces. */
typedef struct edge_digest {
    uint64_t lanes[4];
    uint64_t length;
    uint8_t pending[32];
} edge_digest;

EDGE_API void edge_digest_start(edge_digest *digest);
/** Add `size` bytes. `bytes` may be NULL if `size` is 0. */
EDGE_API void edge_digest_add(edge_digest *digest, const uint8_t *bytes, size_t size);
/** Return the XXH64 of all bytes added; more may follow. */
EDGE_API uint64_t edge_digest_value(const edge_digest *digest);

/* ---- files (runtime/FORMAT.md) ---------------------------------------------- */

#define EDGE_MAX_SECTIONS 16u
#define EDGE_ALIGNMENT 64u
#define EDGE_MAX_CLASSES 0x7fffffffu
#define EDGE_MAX_DIM 65536u
#define EDGE_MAX_VECTORS 0x7fffffffu

typedef enum edge_kind {
    EDGE_KIND_CLASSES = 1,   /* .llc: codes of classes */
    EDGE_KIND_INSTANCES = 2, /* .llc: codes of items */
    EDGE_KIND_HEAD = 3,      /* .mrl: a Matryoshka head */
    EDGE_KIND_VECTORS = 4,   /* .vec: Matryoshka embeddings of items */
    EDGE_KIND_FASTGRNN = 5   /* .grnn: a FastGRNN cell with its head */
} edge_kind;

#define EDGE_TAG(a, b, c, d) \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

/* One section, as in the file's table. */
typedef struct edge_section {
    uint32_t tag;
    uint32_t width; /* bytes of an element */
    uint64_t offset;
    uint64_t size;
    uint64_t digest; /* XXH64 of its bytes */
} edge_section;

/* Head and table of an opened file of any kind; it points into the caller's bytes. */
typedef struct edge_file {
    const uint8_t *bytes;
    uint64_t size;
    uint64_t n; /* rows: codes, classes, vectors */
    uint32_t kind;
    uint32_t bits; /* of a code; of other kinds, the dim of a row */
    uint32_t n_sections;
    edge_section sections[EDGE_MAX_SECTIONS];
} edge_file;

#define EDGE_UNVERIFIED 1u /* flag: do not read the sections to check their digests */

/**
 * Read head and table of a file, and by default compare the digests of all its bytes.
 *
 * For tools: edge_llc_open and its like call it, and check what the sections hold.
 *
 * @param bytes  8-byte aligned; must outlive `file`.
 * @return EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_FORMAT or EDGE_ERR_VERSION.
 */
EDGE_API edge_status edge_file_open(const uint8_t *bytes, size_t size, uint32_t flags,
                                    edge_file *file);

/** Return the bytes that head and table of a file with `n_sections` sections take. */
EDGE_API size_t edge_file_head_size(uint32_t n_sections);

/**
 * Write head and table of a file, and say where each section belongs.
 *
 * The caller gives each section's tag, width, size and digest, and gets its
 * offset; what lies between sections must be zero.
 *
 * @param[in,out] sections   `offset` is filled in.
 * @param[out] file_size     Bytes of the whole file.
 * @return EDGE_OK, EDGE_ERR_ARGUMENT or EDGE_ERR_CAPACITY.
 */
EDGE_API edge_status edge_file_write_head(edge_kind kind, uint32_t bits, uint64_t n,
                                         edge_section *sections, uint32_t n_sections, uint8_t *out,
                                         size_t capacity, uint64_t *file_size);

/* ---- codes: the .llc file ---------------------------------------------------- */

#define EDGE_TAG_CODES EDGE_TAG('C', 'O', 'D', 'E')       /* the codes, row by row */
#define EDGE_TAG_EXACT EDGE_TAG('E', 'X', 'C', 'T')       /* ED: codes to ids */
#define EDGE_TAG_FILTER EDGE_TAG('F', 'I', 'L', 'T')      /* words that can not be codes */
#define EDGE_TAG_NEAREST EDGE_TAG('N', 'E', 'A', 'R')     /* MHD: every word's nearest id */
#define EDGE_TAG_MULTI EDGE_TAG('M', 'I', 'H', 'T')       /* MHD: multi-index hashing */
#define EDGE_TAG_CALIBRATION EDGE_TAG('C', 'A', 'L', 'B') /* ORD: scores to log-likelihoods */
#define EDGE_TAG_IDS EDGE_TAG('I', 'T', 'I', 'D')         /* the items' own ids, uint64 */

/* An opened file. Read-only for callers; everything in it points into their bytes. */
typedef struct edge_llc {
    const uint8_t *bytes;
    uint64_t size;
    uint64_t n; /* codes */
    uint32_t kind;
    uint32_t bits;
    uint32_t n_sections;
    edge_section sections[EDGE_MAX_SECTIONS];
    const uint8_t *codes; /* NULL where the file has none; likewise below */
    const uint8_t *exact;
    const uint8_t *filter;
    const uint8_t *nearest;
    const uint8_t *multi;
    const uint8_t *calibration;
    const uint8_t *ids;
    uint32_t code_width;    /* bytes a code takes in `codes`: 4, 8, 16 or 32 */
    uint32_t nearest_width; /* bytes an id takes in `nearest`: 2 or 4 */
    uint32_t filter_bits;   /* `filter` has 2^filter_bits bits */
    const uint8_t *exact_table; /* the inside of `exact`: see exact.h */
    uint64_t exact_seed, exact_seed_buckets, exact_inverse;
    uint32_t exact_variant, exact_buckets, exact_slots, exact_field_bits, exact_id_bits;
} edge_llc;

/**
 * Open a file that lies in memory, or is mapped into it.
 *
 * Whatever the bytes: they are refused, or every later call stays inside them.
 * By default all bytes are read and their digests compared; EDGE_UNVERIFIED
 * leaves out those of the sections, for files larger than the memory.
 *
 * @param bytes  8-byte aligned; must outlive `file`.
 * @return EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_FORMAT or EDGE_ERR_VERSION.
 */
EDGE_API edge_status edge_llc_open(const uint8_t *bytes, size_t size, uint32_t flags,
                                   edge_llc *file);

/* ---- ED: exact decode ------------------------------------------------------ */

#define EDGE_NONE 0xffffffffu /* the id of no class */

/** Return the room that edge_exact_build needs for its section; 0 if n or bits is out of range. */
EDGE_API size_t edge_exact_size(uint32_t n, uint32_t bits);
/** Return the scratch room that edge_exact_build needs. */
EDGE_API size_t edge_exact_workspace_size(uint32_t n);

/**
 * Build the EXACT section: a table that finds any of `codes` in one place, or one of two.
 *
 * @param keep_lowest   Of equal codes keep the lowest id; otherwise they are an error.
 * @param workspace     4-byte aligned.
 * @param[out] written  Bytes of `section` used.
 * @param[out] twins    On EDGE_ERR_DUPLICATE: the two ids of one code.
 * @return EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_WIDTH, EDGE_ERR_DUPLICATE,
 *         EDGE_ERR_CAPACITY or EDGE_ERR_BUILD.
 */
EDGE_API edge_status edge_exact_build(const uint64_t *codes, uint32_t n, uint32_t bits,
                                      int keep_lowest, uint8_t *section, size_t capacity,
                                      size_t *written, void *workspace, size_t workspace_size,
                                      uint32_t twins[2]);

/**
 * Decode words: the id of the class whose code a word is, or EDGE_NONE.
 *
 * @param[out] ids  One for each word.
 * @return EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_WIDTH or EDGE_ERR_ABSENT (no EXACT section).
 */
EDGE_API edge_status edge_ed_decode(const edge_llc *file, const uint64_t *words, size_t n_words,
                                    uint32_t *ids);

/* ---- MHD: minimum-Hamming decode ------------------------------------------- */

/* Bits up to which the table of all words is offered. */
#define EDGE_NEAREST_MAX_BITS 20u

/* The nearest class. With no class at all: EDGE_NONE and two distances of bits + 1. */
typedef struct edge_nearest {
    uint32_t id;
    uint32_t distance;
    uint32_t runner_up; /* distance of the next other class; the margin is the difference */
} edge_nearest;

/** Return the bytes of the NEAREST section; 0 for no codes or more than 20 bits. */
EDGE_API size_t edge_nearest_size(uint32_t n, uint32_t bits);
/** Return the scratch room that edge_nearest_build needs. */
EDGE_API size_t edge_nearest_workspace_size(uint32_t bits);
/**
 * Build the NEAREST section: the id of the class nearest to every word of `bits` bits.
 *
 * @param section    4-byte aligned.
 * @param workspace  1 byte for each word.
 */
EDGE_API edge_status edge_nearest_build(const uint64_t *codes, uint32_t n, uint32_t bits,
                                        uint8_t *section, size_t capacity, uint8_t *workspace,
                                        size_t workspace_size);

/** Return the bytes of the FILTER section, 16 or more bits a class; 0 if out of range. */
EDGE_API size_t edge_filter_size(uint32_t n, uint32_t bits);
/** Build the FILTER section: one bit tells of most words that they are no code. */
EDGE_API edge_status edge_filter_build(const uint64_t *codes, uint32_t n, uint32_t bits,
                                       uint8_t *section, size_t capacity);

/** Return the bytes of the MULTI section (multi-index hashing); 0 if out of range. */
EDGE_API size_t edge_multi_size(uint32_t n, uint32_t bits);
/** Build the MULTI section. @param section 4-byte aligned. */
EDGE_API edge_status edge_multi_build(const uint64_t *codes, uint32_t n, uint32_t bits,
                                      uint8_t *section, size_t capacity);

/* How minimum-Hamming decode goes about it. The answers are the same. */
typedef enum edge_mhd_plan {
    EDGE_MHD_AUTO = 0,  /* by the cost model */
    EDGE_MHD_TABLE = 1, /* one load: needs NEAREST */
    EDGE_MHD_SCAN = 2,  /* all codes: needs CODES */
    EDGE_MHD_BALL = 3,  /* exact decode of the word and its neighbours, then scan */
    EDGE_MHD_MULTI = 4  /* multi-index hashing, then scan: needs MULTI and CODES */
} edge_mhd_plan;

/** Return the plan that EDGE_MHD_AUTO takes on this file; 0 if it can not decode at all. */
EDGE_API edge_mhd_plan edge_mhd_choose(const edge_llc *file);

/**
 * Decode words to the class at the least Hamming distance, ties to the lowest id.
 *
 * @param[out] ids  One for each word; EDGE_NONE if the file has no classes.
 * @return EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_WIDTH or EDGE_ERR_ABSENT.
 */
EDGE_API edge_status edge_mhd_decode(const edge_llc *file, const uint64_t *words, size_t n_words,
                                     edge_mhd_plan plan, uint32_t *ids);

/** As edge_mhd_decode, with distance and runner-up. Needs CODES. */
EDGE_API edge_status edge_mhd_decode_margin(const edge_llc *file, const uint64_t *words,
                                            size_t n_words, edge_nearest *nearest);

/* ---- ORD: ordered-reliability decode ---------------------------------------- */

typedef enum edge_fallback {
    EDGE_FALLBACK_NONE = 0, /* unmet within max_lookups: EDGE_NONE */
    EDGE_FALLBACK_MHD = 1,  /* the class nearest to the signs */
    EDGE_FALLBACK_SOFT = 2  /* the soft scan, whose answer is exact */
} edge_fallback;

typedef enum edge_met {
    EDGE_MET_NONE = 0,  /* no class */
    EDGE_MET_ORDER = 1, /* a look-up in the order: the most likely class */
    EDGE_MET_MHD = 2,
    EDGE_MET_SOFT = 3   /* the scan, or a search by parts: the most likely class */
} edge_met;

typedef struct edge_ordered {
    uint32_t id;
    uint32_t lookups; /* flip patterns of the whole code tested; a search by parts counts none */
    uint32_t met;     /* edge_met: how the class was found */
    double penalty;   /* sum of |z| of the bits in which class and signs differ */
} edge_ordered;

/*
 * As many look-ups as pay, then the soft scan, whose answer is the same. Only
 * the answer counts, so they are tested by levels of their cost, not in order.
 */
#define EDGE_LOOKUPS_AUTO 0u
#define EDGE_LOOKUPS_MAX 65536u

/** Return the scratch room that edge_ord_decode needs for `max_lookups`. */
EDGE_API size_t edge_ord_workspace_size(uint32_t max_lookups);

/** Return the look-ups after which EDGE_LOOKUPS_AUTO hands over to the scan on this file. */
EDGE_API uint32_t edge_ord_choose(const edge_llc *file);

/**
 * Decode real-valued bit scores: the class c, in ±1, of largest z.c, ties to the lowest id.
 *
 * Tests flips of sign(z), sign(0) = +1, in the order of the sum of their |z|;
 * the first that is a class is the most likely one. Each |z| is first rounded
 * to a multiple of 2^-55 of the power of two above the largest (exact where
 * their binary exponents lie within 31 of each other); sums are of integers.
 * With a CALIBRATION section z_j is replaced by slope_j z_j + offset_j.
 *
 * @param scores       (n_queries, bits), float32.
 * @param max_lookups  At most EDGE_LOOKUPS_MAX; EDGE_LOOKUPS_AUTO needs CODES and
 *                     ignores `fallback`.
 * @param workspace    8-byte aligned.
 * @return EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_NOT_FINITE, EDGE_ERR_CAPACITY or EDGE_ERR_ABSENT.
 */
EDGE_API edge_status edge_ord_decode(const edge_llc *file, const float *scores, size_t n_queries,
                                     uint32_t max_lookups, edge_fallback fallback, void *workspace,
                                     size_t workspace_size, edge_ordered *answers);

/** As edge_ord_decode, by comparing every class. Needs CODES. */
EDGE_API edge_status edge_soft_decode(const edge_llc *file, const float *scores, size_t n_queries,
                                      edge_ordered *answers);

/* ---- search: the nearest k --------------------------------------------------- */

/* One code that was found. */
typedef struct edge_hit {
    uint64_t id;       /* row of the codebook, or number of the item */
    uint32_t distance; /* Hamming distance */
} edge_hit;

#define EDGE_SEARCH_MAX_K 1048576

/** Return the scratch room that edge_search needs; 0 for a `k` of 0 or above the maximum. */
EDGE_API size_t edge_search_workspace_size(size_t n_queries, size_t k);

/**
 * Find the `k` stored codes nearest to each query, nearest first, ties by id.
 *
 * @param queries       (n_queries, w) words, w = 1 up to 64 bits, else bits / 64.
 * @param begin, end    Rows to search; for slices searched by several threads.
 * @param k             At most EDGE_SEARCH_MAX_K.
 * @param[out] hits     (n_queries, k): min(k, end - begin) are filled of each row.
 * @param workspace     8-byte aligned.
 * @return EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_WIDTH, EDGE_ERR_CAPACITY or EDGE_ERR_ABSENT.
 */
EDGE_API edge_status edge_search(const edge_llc *file, const uint64_t *queries, size_t n_queries,
                                 size_t k, uint64_t begin, uint64_t end, edge_hit *hits,
                                 void *workspace, size_t workspace_size);

/* ---- Matryoshka heads and cascades: the .mrl file ---------------------------- */

#define EDGE_TAG_DIMS EDGE_TAG('D', 'I', 'M', 'S')    /* the trained dims; also of a .vec */
#define EDGE_TAG_HEAD EDGE_TAG('H', 'E', 'A', 'D')    /* tied, normalized, scale */
#define EDGE_TAG_WEIGHTS EDGE_TAG('W', 'G', 'H', 'T') /* float32, by dims and panels of classes */
#define EDGE_TAG_BIAS EDGE_TAG('B', 'I', 'A', 'S')    /* float32 */

#define EDGE_MRL_MAX_DIMS 32u
#define EDGE_MRL_NEVER 3e38f /* minus this is the bias of the padding behind the last class */

/* An opened head. Read-only for callers; `weights` and `bias` point into their bytes. */
typedef struct edge_mrl {
    uint32_t n_classes;
    uint32_t dim; /* coordinates of an embedding: the largest of `dims` */
    uint32_t n_dims;
    uint32_t dims[EDGE_MRL_MAX_DIMS];
    uint32_t tied;       /* MRL-E: one matrix whose column prefixes serve every dim */
    uint32_t normalized; /* each prefix is L2-normalized and then multiplied by `scale` */
    float scale;
    const float *weights;
    const float *bias;
} edge_mrl;

/**
 * Open a head that lies in memory, or is mapped into it; as edge_llc_open.
 *
 * @return EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_FORMAT or EDGE_ERR_VERSION.
 */
EDGE_API edge_status edge_mrl_open(const uint8_t *bytes, size_t size, uint32_t flags,
                                   edge_mrl *head);

/** Return the scratch room that the calls below need; 0 for a head that is not open. */
EDGE_API size_t edge_mrl_workspace_size(const edge_mrl *head);

/* How sure an answer is; larger is surer, 1 is certain. */
typedef enum edge_signal {
    EDGE_SIGNAL_SOFTMAX = 1, /* the probability of the answer, as published for MRL */
    EDGE_SIGNAL_MARGIN = 2,  /* ... minus that of the next class */
    EDGE_SIGNAL_ENTROPY = 3  /* 1 - entropy / log(classes) */
} edge_signal;

#define EDGE_MRL_INTERPOLATE 2u /* flag: a tied head may be cut at any dim, trained or not */
#define EDGE_MRL_AGREE 4u       /* flag: an answer counts only if the step before gave it too */
#define EDGE_MRL_EVERY_STEP 8u  /* flag: take and record all steps; for calibration */

/* A step of a cascade: answer from `dim` coordinates, leave if surer than `threshold`. */
typedef struct edge_step {
    uint32_t dim;
    float threshold;
} edge_step;

typedef struct edge_verdict {
    uint32_t id;      /* the class; of equal logits the lowest id */
    uint32_t step;    /* the last one taken */
    float confidence; /* 0 where EDGE_MRL_AGREE found none */
    uint32_t sure;    /* nonzero if confidence > threshold at that step */
} edge_verdict;

/**
 * Compute the logits of one dim.
 *
 * @param x            (n, stride) float32 embeddings, stride >= head->dim.
 * @param[out] logits  (n, n_classes).
 * @param workspace    4-byte aligned.
 * @return EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_UNTRAINED, EDGE_ERR_NOT_FINITE (also beyond
 *         1e15; only coordinates that are used count) or EDGE_ERR_CAPACITY.
 */
EDGE_API edge_status edge_mrl_logits(const edge_mrl *head, const float *x, size_t n, size_t stride,
                                     uint32_t dim, uint32_t flags, void *workspace,
                                     size_t workspace_size, float *logits);

/**
 * Classify each embedding from as few coordinates as it takes to be sure.
 *
 * Of a tied head a step computes only what the steps before have not. An
 * embedding leaves at the first step that is surer than its threshold, or
 * after the last one. Every instruction set gives the same bits.
 *
 * @param steps     Dims grow; at most EDGE_MRL_MAX_DIMS steps.
 * @param previous  For EDGE_MRL_AGREE: the answer before the first step, or NULL for none.
 * @param[out] verdicts  One for each embedding; with EDGE_MRL_EVERY_STEP (n, n_steps).
 * @return As edge_mrl_logits, EDGE_ERR_NOT_FINITE also for weights that nobody verified; on an
 *         error the verdicts are not to be used.
 */
EDGE_API edge_status edge_mrl_cascade(const edge_mrl *head, const float *x, size_t n,
                                      size_t stride, const edge_step *steps, uint32_t n_steps,
                                      edge_signal signal, uint32_t flags, const uint32_t *previous,
                                      void *workspace, size_t workspace_size,
                                      edge_verdict *verdicts);

/* ---- governor: how much of the model to run ---------------------------------- */

#define EDGE_GOVERNOR_MAX_CHOICES 32u

/*
 * One way to run a session: a granularity or cascade, and a thread count, as
 * profiled on this device. NaN where unknown, but for the latencies.
 */
typedef struct edge_choice {
    double latency_p50_ms; /* > 0 */
    double latency_p95_ms; /* >= latency_p50_ms */
    double energy_mj;      /* of an inference */
    double accuracy;
    double risk;   /* epsilon of a risk-controlled cascade; 0 for the full model */
    double ram_mb; /* peak */
} edge_choice;

/* What the caller allows; NaN where there is no limit. A cost unknown misses a limit on it. */
typedef struct edge_budget {
    double latency_ms;        /* of the 95th percentile */
    double energy_mj;         /* of an inference */
    double memory_mb;         /* of RAM */
    double risk;
    double min_accuracy;
    double battery_floor_pct; /* keep this much of the battery */
    double last_until_s;      /* let the battery last until then, on the clock of now_s */
} edge_budget;

/*
 * What the device says at this moment; NaN where unknown, -1 for the flags.
 * Nonsense (250 % of battery, negative energy) counts as unknown.
 */
typedef struct edge_signals {
    double now_s; /* any clock that does not go back */
    double battery_pct;
    double energy_left_mj;   /* in the battery */
    double battery_power_mw; /* drain of the whole device */
    double thermal_headroom; /* 1 is where throttling begins, as Android has it */
    double free_ram_mb;      /* beside what the choice observed last takes */
    double rate_hz;          /* inferences expected; if unknown, learnt from the decisions */
    int32_t charging;        /* 1, 0, or -1: unknown; likewise below */
    int32_t throttled;
    int32_t power_saver;
    int32_t reserved; /* 0 */
} edge_signals;

/* Limits that a choice can miss; bits of a mask. */
typedef enum edge_limit {
    EDGE_LIMIT_LATENCY = 1,
    EDGE_LIMIT_ENERGY = 2,
    EDGE_LIMIT_BATTERY = 4, /* the floor, or the even spending of what is left */
    EDGE_LIMIT_MEMORY = 8,
    EDGE_LIMIT_FREE_RAM = 16,
    EDGE_LIMIT_RISK = 32,
    EDGE_LIMIT_ACCURACY = 64
} edge_limit;

typedef enum edge_why {
    EDGE_WHY_BEST = 0,      /* of those that fit */
    EDGE_WHY_WAITS = 1,     /* `better` fits too, and is taken if it still does later */
    EDGE_WHY_THROTTLED = 2, /* `better` fits too, but the device is hot */
    EDGE_WHY_SAVER = 3,     /* the thriftiest that fits: the power saver is on */
    EDGE_WHY_FLOOR = 4,     /* the thriftiest of all: the battery is at its floor */
    EDGE_WHY_MISSED = 5     /* the fastest of all: nothing fits */
} edge_why;

typedef struct edge_decision {
    double predicted_p95_ms;
    double better_p95_ms; /* NaN without `better`; likewise wait_s */
    double wait_s;        /* until `better` may be taken, if not held by the device itself */
    double slowdown;      /* of the device, against the profile */
    double allowed_mj;    /* what even spending allows an inference; NaN: it sets no limit */
    double rate_hz;       /* the rate that this came from; NaN unknown */
    uint32_t choice;
    uint32_t met;           /* 1, or 0 if `missed` is not empty */
    uint32_t missed;        /* edge_limit bits that the choice misses */
    uint32_t why;           /* edge_why */
    uint32_t better;        /* the next better choice, or EDGE_NONE */
    uint32_t better_missed; /* what that one misses */
    uint32_t unpaced;       /* 1: last_until_s is asked for, but what it takes is unknown */
    uint32_t switched;      /* 1: another choice than the decision before */
} edge_decision;

#define EDGE_GOVERNOR_FAST 13u  /* observations that tell a change of speed */
#define EDGE_GOVERNOR_SLOW 63u /* observations that tell the speed */
#define EDGE_GOVERNOR_TAIL 64u /* observations that tell the 95th percentile */

/* The state: no pointers, so that it can be copied, stored and compared as bytes. */
typedef struct edge_governor {
    edge_choice choices[EDGE_GOVERNOR_MAX_CHOICES];
    double energy_mj[EDGE_GOVERNOR_MAX_CHOICES];    /* as observed */
    double own[EDGE_GOVERNOR_MAX_CHOICES];          /* slower than its profile, beside others */
    double own_until_s[EDGE_GOVERNOR_MAX_CHOICES];
    double held_until_s[EDGE_GOVERNOR_MAX_CHOICES]; /* it failed: not before then */
    double hold_s[EDGE_GOVERNOR_MAX_CHOICES];
    double fast[2][EDGE_GOVERNOR_FAST]; /* latency / p50: as they came, and ascending */
    double slow[2][EDGE_GOVERNOR_SLOW];
    double tail[2][EDGE_GOVERNOR_TAIL]; /* latency / p95, each beside the median around it */
    double shape[EDGE_GOVERNOR_FAST];   /* p50 / p95 of the choices in fast[0] */
    double speed, likely_tail, sure_tail;
    double time_s, last_s;              /* since the start; the caller's clock */
    double arrived_s, switched_s[2];
    double decided_s, rate_events, rate_s;
    double allowed_mj, spent_mj, left_speed;
    edge_budget budget;
    uint8_t order[2][EDGE_GOVERNOR_MAX_CHOICES]; /* by accuracy; by thrift */
    uint32_t n, current, running, mode;
    uint32_t met, rose, decisions, observations;
    uint32_t left, left_seen, fast_next, slow_next;
    uint32_t slow_n, tail_next, has_clock, reserved;
} edge_governor;

/** Set every limit to "none". */
EDGE_API void edge_budget_clear(edge_budget *budget);
/** Set every signal to "unknown". */
EDGE_API void edge_signals_clear(edge_signals *signals);

/**
 * Start a governor; it keeps a copy of `choices`.
 *
 * @param n  At most EDGE_GOVERNOR_MAX_CHOICES, at least 1. Choices of unknown
 *           accuracy are taken to be in ascending order, below all known ones.
 * @return EDGE_OK or EDGE_ERR_ARGUMENT (also for latencies that are no profile).
 */
EDGE_API edge_status edge_governor_start(edge_governor *governor, const edge_choice *choices,
                                         uint32_t n);

/**
 * Decide how the next inference is to run: the most accurate choice that fits.
 *
 * Equal accuracies: less energy, then less latency, then the lower index. Equal
 * inputs from the start on give equal decisions, bit for bit. A governor serves
 * one stream of inferences in one thread; src/governor.c has the rules.
 *
 * @return EDGE_OK or EDGE_ERR_ARGUMENT (a NULL pointer, a governor not started).
 */
EDGE_API edge_status edge_governor_decide(edge_governor *governor, const edge_budget *budget,
                                          const edge_signals *signals, edge_decision *decision);

/**
 * Learn from an inference that has run.
 *
 * @param latency_ms  Ignored unless finite and above 0.
 * @param energy_mj   NaN if unknown.
 * @param now_s       As in edge_signals.
 * @return EDGE_OK or EDGE_ERR_ARGUMENT (also for a choice out of range).
 */
EDGE_API edge_status edge_governor_observe(edge_governor *governor, uint32_t choice,
                                           double latency_ms, double energy_mj, double now_s);

/* ---- vectors: the .vec file ---------------------------------------------------- */

#define EDGE_TAG_PREFIX EDGE_TAG('P', 'R', 'E', 'F')  /* a prefix of each row, int8 */
#define EDGE_TAG_VECTORS EDGE_TAG('V', 'E', 'C', 'T') /* the rows, float32 */
#define EDGE_MAX_DIMS 32u

/* An opened file of Matryoshka vectors. Read-only for callers; it points into their bytes. */
typedef struct edge_vec {
    edge_file file; /* file.bits is the full dim */
    uint32_t prefix_dim;
    uint32_t n_dims;
    uint32_t dims[EDGE_MAX_DIMS]; /* ascending; the last is the full one */
    const int8_t *prefix;
    const float *vectors;
    const uint8_t *ids; /* NULL where rows are numbered */
} edge_vec;

/** As edge_llc_open, for a .vec file. */
EDGE_API edge_status edge_vec_open(const uint8_t *bytes, size_t size, uint32_t flags,
                                   edge_vec *vec);

/* Rank by the first `dim` coordinates, keep the best `keep`. */
typedef struct edge_stage {
    uint32_t dim; /* a trained one */
    uint32_t keep; /* 1 to EDGE_SEARCH_MAX_K */
} edge_stage;

/* A row that was found. */
typedef struct edge_match {
    uint32_t id;
    float score; /* the cosine of the prefixes; 0 if one of them is zero */
} edge_match;

/** Return the scratch room for `keep` candidates of a query; 0 for none or above the maximum. */
EDGE_API size_t edge_vec_workspace_size(const edge_vec *vec, size_t n_queries, size_t keep);

/**
 * Find the rows nearest to each query by cosine, stage by stage, ties to the lower id.
 *
 * The first stage looks at all rows: at prefix_dim by their int8 codes, else by
 * the vectors. Each later one scores what the one before kept. The last one's
 * order and scores are always those of the vectors.
 *
 * @param queries       (n_queries, dim), any norm.
 * @param stages        Dims must not shrink, numbers kept not grow.
 * @param[out] matches  (n_queries, keep of the last stage), best first:
 *                      min(keep, n) are filled of each row.
 * @param workspace     8-byte aligned, for the first stage's `keep`.
 * @return EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_NOT_FINITE or EDGE_ERR_CAPACITY.
 */
EDGE_API edge_status edge_vec_search(const edge_vec *vec, const float *queries, size_t n_queries,
                                     const edge_stage *stages, size_t n_stages,
                                     edge_match *matches, void *workspace, size_t workspace_size);

/**
 * The first stage alone, for slices searched by several threads.
 *
 * The best `keep` by (distance, id) of all slices' hits are those of the whole.
 *
 * @param exact       Nonzero: by the vectors even at prefix_dim.
 * @param begin, end  Rows to look at.
 * @param[out] hits   (n_queries, keep), ids ascending: min(keep, end - begin) are
 *                    filled. Less `distance` is nearer; it means nothing else.
 */
EDGE_API edge_status edge_vec_scan(const edge_vec *vec, const float *queries, size_t n_queries,
                                   edge_stage stage, int exact, uint64_t begin, uint64_t end,
                                   edge_hit *hits, void *workspace, size_t workspace_size);

/**
 * The later stages alone, of candidates in any order; their distances are ignored.
 *
 * @param candidates  (n_queries, n_candidates) rows below n, none twice.
 * @param workspace   8-byte aligned, for n_candidates.
 */
EDGE_API edge_status edge_vec_rerank(const edge_vec *vec, const float *queries, size_t n_queries,
                                     const edge_stage *stages, size_t n_stages,
                                     const edge_hit *candidates, size_t n_candidates,
                                     edge_match *matches, void *workspace, size_t workspace_size);

/* ---- log-mel: from samples to features ------------------------------------------- */

#define EDGE_LOGMEL_MAX_BANDS 62u
#define EDGE_LOGMEL_MAX_FLOOR 40u
#define EDGE_LOGMEL_MAX_WEIGHT 0x7ffc00u /* of a window's sum: nothing overflows below */

/*
 * A front end and its constants, which edge_sdk/audio/logmel.py makes. The
 * caller's arrays must outlive the front end and stay unchanged.
 */
typedef struct edge_logmel_config {
    uint32_t window;          /* samples in a frame: at least 2, at most n_fft */
    uint32_t hop;             /* from one frame to the next: 1 to window */
    uint32_t n_fft;           /* points of the transform: 256, 512 or 1024 */
    uint32_t n_bands;         /* 1 to EDGE_LOGMEL_MAX_BANDS */
    uint32_t floor_log2;      /* of the energy added to a band: to EDGE_LOGMEL_MAX_FLOOR */
    const int16_t *weights;   /* (window), from 0 on, 15 bits after the point */
    const int32_t *sine;      /* (n_fft / 4 + 1): sin(2 pi i / n_fft), 30 bits after the point */
    const uint16_t *position; /* (n_fft / 2 + 1): a point's place among the bands, 10 bits after
                                 the point; never falls, ends at n_bands + 1 or before */
} edge_logmel_config;

/* A front end at work on one stream. No field is the caller's to change. */
typedef struct edge_logmel {
    edge_logmel_config config;
    int32_t *points; /* (n_fft) */
    int16_t *recent; /* (window), a ring */
    uint32_t next;   /* where in it the next sample belongs */
    uint32_t held;   /* samples of the next frame that are there already */
} edge_logmel;

/**
 * Return the bytes of a front end's workspace: 1424 at 8 kHz, 2848 at 16 kHz.
 *
 * Only window and n_fft count. 0 if they are out of range.
 */
EDGE_API size_t edge_logmel_size(const edge_logmel_config *config);

/**
 * Start a front end on a stream; it keeps a copy of `config`, not of its arrays.
 *
 * All of the arrays is looked at, so that no later call can overflow: sines that
 * are none, weights that are negative or too many, and falling positions are refused.
 *
 * @param workspace  edge_logmel_size() bytes, 4-byte aligned; must outlive `logmel`.
 * @return EDGE_OK, EDGE_ERR_ARGUMENT or EDGE_ERR_CAPACITY.
 */
EDGE_API edge_status edge_logmel_init(edge_logmel *logmel, const edge_logmel_config *config,
                                      void *workspace, size_t workspace_size);

/** Forget all samples: the next one begins another stream. */
EDGE_API void edge_logmel_reset(edge_logmel *logmel);

/** Return how many frames `n` more samples will complete; 0 for a front end not started. */
EDGE_API size_t edge_logmel_frames(const edge_logmel *logmel, size_t n);

/**
 * Take samples, and write the features of every frame that they complete.
 *
 * However a stream is cut into calls, its frames are the same, on every processor:
 * integers, log2(energy + floor) with 9 bits after the point. It stops before a
 * sample that would complete a frame for which there is no room.
 *
 * @param samples        (n).
 * @param[out] features  (max_frames, n_bands), the oldest frame first.
 * @param[out] n_frames  Frames written.
 * @param[out] n_used    Samples taken; below `n` only for want of room.
 * @return EDGE_OK or EDGE_ERR_ARGUMENT (also for a front end not started), when both are 0.
 */
EDGE_API edge_status edge_logmel_push(edge_logmel *logmel, const int16_t *samples, size_t n,
                                      int16_t *features, size_t max_frames, size_t *n_frames,
                                      size_t *n_used);

/* ---- FastGRNN: the .grnn file --------------------------------------------------- */

#define EDGE_TAG_CELL EDGE_TAG('C', 'E', 'L', 'L') /* shapes, non-linearities, zeta and nu */
#define EDGE_TAG_NORM EDGE_TAG('N', 'O', 'R', 'M') /* means and scales of the inputs */

#define EDGE_FASTGRNN_MAX 65536u /* inputs, hidden units, classes */

typedef enum edge_nonlinearity {
    EDGE_SIGMOID = 0,
    EDGE_TANH = 1,
    EDGE_RELU = 2,
    EDGE_QUANT_SIGMOID = 3,  /* (x + 1) / 2, clipped to 0..1 */
    EDGE_QUANT_SIGMOID4 = 4, /* (x + 2) / 4, clipped to 0..1 */
    EDGE_QUANT_TANH = 5      /* x, clipped to -1..1 */
} edge_nonlinearity;

#define EDGE_TAG_FIXED EDGE_TAG('F', 'I', 'X', 'D') /* the bits of each integer */

/* A matrix, or one factor of it: y = x M, x of n_in and y of n_out numbers. */
typedef struct edge_factor {
    uint32_t n_in, n_out;   /* n_out is 0 where there is no such factor */
    const float *values;    /* (n_in, n_out), filled up to 2 and 8; sparse: without its zeros */
    const uint32_t *starts; /* sparse: where each row begins; NULL if dense */
    const uint8_t *indices; /* sparse: the outputs, of 1 byte each, or of 2 if n_out > 256 */
    const int8_t *q;        /* integers: (n_out, n_in), and their shifts (n_out) */
    const int8_t *shifts;
} edge_factor;

/* An opened cell. Read-only for callers; its pointers point into their bytes. */
typedef struct edge_fastgrnn {
    uint32_t n_inputs, n_hidden;
    uint32_t n_classes;      /* 0: a cell without a head */
    uint32_t rank_w, rank_u; /* 0: the matrix is whole */
    uint32_t gate, update;   /* edge_nonlinearity */
    float zeta, nu;          /* after the sigmoid */
    edge_factor w[2], u[2];  /* a whole matrix is the second one */
    edge_factor head;
    const float *mean, *scale; /* NULL: the features are the inputs */
    const float *bias_gate, *bias_update, *bias_head;
    /* Of a cell in integers, instead of the floats; edge_sdk/fastgrnn/integer.py has the rules. */
    uint32_t integers; /* 1: it is one */
    int32_t input_bits, state_bits, logit_bits, x_shift, zeta_q, nu_q;
    const int16_t *mean_q, *multiplier_q, *gate_q, *update_q;
    const int32_t *head_q;
} edge_fastgrnn;

/**
 * Open a cell that lies in memory, or is mapped into it; as edge_llc_open.
 *
 * @return EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_FORMAT or EDGE_ERR_VERSION.
 */
EDGE_API edge_status edge_fastgrnn_open(const uint8_t *bytes, size_t size, uint32_t flags,
                                        edge_fastgrnn *cell);

/**
 * Return the bytes of a state: h, and the scratch room of a step; 0 for a cell that is not open.
 *
 * A state is 4-byte aligned, better 64; it holds no pointers, and may be copied.
 */
EDGE_API size_t edge_fastgrnn_state_size(const edge_fastgrnn *cell);

/** Start a sequence: h = 0. Everything below needs a state that was started once. */
EDGE_API edge_status edge_fastgrnn_init(const edge_fastgrnn *cell, void *state, size_t state_size);

/**
 * Take one frame: h = the next state.
 *
 * @param x  (n_inputs) features, before normalization.
 * @return EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_CAPACITY, or EDGE_ERR_NOT_FINITE (a feature that
 *         is NaN or infinite, or a state that has become so); on an error h is as it was.
 */
EDGE_API edge_status edge_fastgrnn_step(const edge_fastgrnn *cell, void *state, size_t state_size,
                                        const float *x);

/**
 * Take `n_frames` frames, at least 1: the same bits as that many steps, in less time.
 *
 * @param x            (n_frames, n_inputs).
 * @param[out] states  (n_frames, n_hidden): h after each frame; or NULL.
 * @return As edge_fastgrnn_step; on an error `states` is not to be used.
 */
EDGE_API edge_status edge_fastgrnn_run(const edge_fastgrnn *cell, void *state, size_t state_size,
                                       const float *x, size_t n_frames, float *states);

/**
 * Compute the logits of the state.
 *
 * @param[out] logits  (n_classes).
 * @return EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_CAPACITY, EDGE_ERR_ABSENT (the cell has no head)
 *         or EDGE_ERR_NOT_FINITE.
 */
EDGE_API edge_status edge_fastgrnn_logits(const edge_fastgrnn *cell, void *state,
                                          size_t state_size, float *logits);

/*
 * Cells in integers take floats too: features are rounded half up to 2^-input_bits and
 * saturated, h is exact, and logits are rounded to float. These give the integers themselves.
 */

/** As edge_fastgrnn_run, of integers; EDGE_ERR_ABSENT for a cell in floats. */
EDGE_API edge_status edge_fastgrnn_run_i16(const edge_fastgrnn *cell, void *state,
                                           size_t state_size, const int16_t *x, size_t n_frames,
                                           int16_t *states);
/** As edge_fastgrnn_logits, times 2^logit_bits; EDGE_ERR_ABSENT for a cell in floats. */
EDGE_API edge_status edge_fastgrnn_logits_i32(const edge_fastgrnn *cell, void *state,
                                              size_t state_size, int32_t *logits);

/** Copy h, (n_hidden), out of a state. */
EDGE_API edge_status edge_fastgrnn_get(const edge_fastgrnn *cell, const void *state,
                                       size_t state_size, float *h);
/** Copy h into a state; EDGE_ERR_NOT_FINITE if it is not finite. */
EDGE_API edge_status edge_fastgrnn_set(const edge_fastgrnn *cell, void *state, size_t state_size,
                                       const float *h);

/* ---- sparse weights ------------------------------------------------------------- */

typedef enum edge_sparse_values {
    EDGE_SPARSE_FLOAT32 = 0,
    EDGE_SPARSE_INT8 = 1 /* times a scale of its row */
} edge_sparse_values;

#define EDGE_SPARSE_MAX 0x7fffffffu /* rows times columns */

/*
 * A matrix whose zeros are left out: a view of packed bytes (runtime/FORMAT.md), which may
 * lie at any address. Read-only for callers; only edge_sparse_open makes one.
 */
typedef struct edge_sparse {
    uint32_t rows, cols;
    uint32_t n_kept;         /* weights that are not zero */
    uint32_t n_stored;       /* and the zeros that bridge wide gaps */
    uint32_t values;         /* edge_sparse_values */
    uint32_t delta_bits;     /* 8 or 16 */
    const uint8_t *scales;   /* f32[rows]; NULL for float32 */
    const uint8_t *counts;   /* stored entries of each row: u16[rows], or u32 from 65536 columns on */
    const uint8_t *entries;  /* f32 or i8[n_stored] */
    const uint8_t *deltas;   /* u8 or u16[n_stored] */
} edge_sparse;

/**
 * Compute how many bytes a matrix packs into.
 *
 * int8 values are w / scale rounded half to even, scale = max |w| of the row / 127; what
 * rounds to zero is left out, and so is a row whose scale is below 2^-126.
 *
 * @param w           (rows, cols), row-major, as PyTorch keeps a weight.
 * @param delta_bits  8 or 16: of the distance from one column to the next. A gap that is wider
 *                    costs a stored zero.
 * @param[out] size   Bytes; 0 on an error.
 * @return EDGE_OK, EDGE_ERR_ARGUMENT (also for no rows, no columns, or more than
 *         EDGE_SPARSE_MAX weights) or EDGE_ERR_NOT_FINITE (a weight that is NaN or infinite).
 */
EDGE_API edge_status edge_sparse_pack_size(const float *w, uint32_t rows, uint32_t cols,
                                           edge_sparse_values values, uint32_t delta_bits,
                                           size_t *size);
/**
 * Pack a matrix. The same matrix gives the same bytes everywhere.
 *
 * @param size  Room in `bytes`; of it edge_sparse_pack_size() are written.
 * @return As edge_sparse_pack_size, or EDGE_ERR_CAPACITY.
 */
EDGE_API edge_status edge_sparse_pack(const float *w, uint32_t rows, uint32_t cols,
                                      edge_sparse_values values, uint32_t delta_bits, void *bytes,
                                      size_t size);
/**
 * Look at packed bytes, exactly `size` of them, which must outlive `w` and stay unchanged.
 *
 * Checks all that keeps readers inside them: the head, the rows' counts, the columns. That is
 * cheap beside any product, so an operator may do it at each call. Values are not looked at.
 *
 * @param[out] w  All zeros on an error; everything below then gives EDGE_ERR_ARGUMENT.
 * @return EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_FORMAT or EDGE_ERR_VERSION.
 */
EDGE_API edge_status edge_sparse_open(edge_sparse *w, const void *bytes, size_t size);
/**
 * Write the matrix with its zeros; int8 values times their scales.
 *
 * @param[out] dense  (rows, cols).
 * @return EDGE_OK or EDGE_ERR_ARGUMENT.
 */
EDGE_API edge_status edge_sparse_unpack(const edge_sparse *w, float *dense);

/*
 * Products. Each output is 0 + its row's entries times their inputs, one after the other in
 * ascending order of columns, each product rounded before it is added; then times the scale
 * (int8), plus the bias (or 0), then at least `low` and at most `high`, which may be infinite.
 * So an output's bits depend neither on the processor nor on what else is computed in the same
 * call; but 32-bit NEON has no denormals. NaN stays NaN; an infinite input gives NaN where it
 * meets a zero that bridges a gap. Outputs must not overlap inputs.
 *
 * Scratch room has any alignment, and is NULL where its size is 0.
 */

/** Compute the scratch bytes of edge_sparse_linear; EDGE_ERR_ARGUMENT if they are too many. */
EDGE_API edge_status edge_sparse_linear_scratch_size(const edge_sparse *w, uint32_t n,
                                                     size_t *size);
/**
 * y = clamp(x W^T + bias, low, high).
 *
 * @param x       (n, cols); n at least 1.
 * @param bias    (rows), or NULL.
 * @param[out] y  (n, rows).
 * @return EDGE_OK, EDGE_ERR_ARGUMENT (also unless low <= high) or EDGE_ERR_CAPACITY.
 */
EDGE_API edge_status edge_sparse_linear(const edge_sparse *w, const float *x, uint32_t n,
                                        const float *bias, float low, float high, float *y,
                                        void *scratch, size_t scratch_size);

/* A convolution of one group, without dilation. */
typedef struct edge_conv2d {
    uint32_t in_channels, in_height, in_width;
    uint32_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
} edge_conv2d;

/**
 * Compute the scratch bytes of edge_sparse_conv2d.
 *
 * @return EDGE_OK or EDGE_ERR_ARGUMENT: a size of 0, a kernel larger than the padded image,
 *         columns that are not in_channels * kernel_h * kernel_w, or more than EDGE_SPARSE_MAX
 *         numbers somewhere.
 */
EDGE_API edge_status edge_sparse_conv2d_scratch_size(const edge_sparse *w,
                                                     const edge_conv2d *shape, size_t *size);
/**
 * Convolve one image. W is (out_channels, in_channels * kernel_h * kernel_w), as PyTorch's
 * weight flattened; out_height is (in_height + 2 pad_h - kernel_h) / stride_h + 1, rounded down.
 *
 * @param x       (in_channels, in_height, in_width).
 * @param bias    (out_channels), or NULL.
 * @param[out] y  (out_channels, out_height, out_width).
 * @return EDGE_OK, EDGE_ERR_ARGUMENT (also unless low <= high) or EDGE_ERR_CAPACITY.
 */
EDGE_API edge_status edge_sparse_conv2d(const edge_sparse *w, const edge_conv2d *shape,
                                        const float *x, const float *bias, float low, float high,
                                        float *y, void *scratch, size_t scratch_size);

#ifdef __cplusplus
}
#endif

#endif /* EDGE_RUNTIME_H */
