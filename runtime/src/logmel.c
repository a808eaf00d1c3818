/*
 * The log-mel front end, one hop at a time: the integers of edge_sdk/audio/logmel.py.
 *
 * A frame of samples is weighted and put, in the order that the butterflies want,
 * into n_fft / 2 complex points: even samples are real parts, odd ones imaginary.
 * Their transform, in place, holds that of the frame; its powers go straight into
 * the two triangles that are open at a time. A few kilobytes in all, no floats.
 *
 * Nothing overflows, whatever the tables that edge_logmel_init lets pass: a
 * windowed frame sums to less than 2^30 - 2^17 (EDGE_LOGMEL_MAX_WEIGHT), twice
 * that is the largest value of the transform, and the errors of sines and of
 * rounding stay below the 2^17. By Parseval the energies stay below 2^60.
 */
#include "bytes.h"
#include "edge_runtime.h"

enum {
    SINE_BITS = 30,
    POSITION_BITS = 10,
    WINDOW_SHIFT = 8,  /* samples times 15 bits to samples with 7 */
    POWER_SHIFT = 16,  /* their squares, of twice the transform, to squares of samples */
    LOG2_BITS = 15,
    FEATURE_SHIFT = 6, /* to 9 bits after the point */
    SINE_ERROR = 2     /* of one rounded sine against its neighbours */
};

/* log2(1 + i / 32), 15 bits after the point. */
static const uint16_t log2_table[33] = {
    0,     1455,  2866,  4236,  5568,  6863,  8124,  9352,  10549, 11716, 12855,
    13968, 15055, 16117, 17156, 18173, 19168, 20143, 21098, 22034, 22952, 23852,
    24736, 25604, 26455, 27292, 28114, 28922, 29717, 30498, 31267, 32024, 32768};

/* ---- starting ------------------------------------------------------------------------ */

static int is_sized(const edge_logmel_config *c) {
    return c && (c->n_fft == 256 || c->n_fft == 512 || c->n_fft == 1024) && c->window >= 2 &&
           c->window <= c->n_fft;
}

EDGE_SMALL size_t edge_logmel_size(const edge_logmel_config *config) {
    if (!is_sized(config)) return 0;
    return edge_align(config->n_fft * sizeof(int32_t) + config->window * sizeof(int16_t), 4);
}

static EDGE_SMALL int weights_are_sound(const edge_logmel_config *c) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < c->window; i++) {
        if (c->weights[i] < 0) return 0;
        sum += (uint32_t)c->weights[i];
    }
    return sum <= EDGE_LOGMEL_MAX_WEIGHT;
}

/*
 * Each sine must follow from the one before by the sine of a sum. As they rise from
 * 0 to 1 in a quarter turn, all are then right to 2^-20.
 */
static EDGE_SMALL int sines_are_sines(const edge_logmel_config *c) {
    const uint32_t quarter = c->n_fft / 4;
    const int32_t *sine = c->sine, one = (int32_t)1 << SINE_BITS;
    if (sine[0] != 0 || sine[quarter] != one) return 0;
    for (uint32_t i = 0; i < quarter; i++)
        if (sine[i + 1] < sine[i] || sine[i + 1] > one) return 0;
    for (uint32_t i = 0; i < quarter; i++) {
        const int64_t sum = (int64_t)sine[i] * sine[quarter - 1] +
                            (int64_t)sine[quarter - i] * sine[1];
        const int64_t error = ((sum + one / 2) >> SINE_BITS) - sine[i + 1];
        if (error < -SINE_ERROR || error > SINE_ERROR) return 0;
    }
    return 1;
}

static EDGE_SMALL int positions_are_sound(const edge_logmel_config *c) {
    uint32_t before = 0;
    for (uint32_t k = 0; k <= c->n_fft / 2; k++) {
        if (c->position[k] < before) return 0;
        before = c->position[k];
    }
    return before <= (c->n_bands + 1) << POSITION_BITS;
}

static EDGE_SMALL int is_sound(const edge_logmel_config *c) {
    return is_sized(c) && c->hop >= 1 && c->hop <= c->window && c->n_bands >= 1 &&
           c->n_bands <= EDGE_LOGMEL_MAX_BANDS && c->floor_log2 <= EDGE_LOGMEL_MAX_FLOOR &&
           c->weights && c->sine && c->position && edge_aligned(c->weights, 2) &&
           edge_aligned(c->sine, 4) && edge_aligned(c->position, 2) && weights_are_sound(c) &&
           sines_are_sines(c) && positions_are_sound(c);
}

EDGE_SMALL edge_status edge_logmel_init(edge_logmel *logmel, const edge_logmel_config *config,
                                        void *workspace, size_t workspace_size) {
    if (!logmel) return EDGE_ERR_ARGUMENT;
    memset(logmel, 0, sizeof *logmel);
    if (!is_sound(config) || !workspace || !edge_aligned(workspace, 4)) return EDGE_ERR_ARGUMENT;
    if (workspace_size < edge_logmel_size(config)) return EDGE_ERR_CAPACITY;
    logmel->config = *config;
    logmel->points = (int32_t *)workspace;
    logmel->recent = (int16_t *)(logmel->points + config->n_fft);
    return EDGE_OK;
}

void edge_logmel_reset(edge_logmel *logmel) {
    if (logmel) logmel->next = logmel->held = 0;
}

size_t edge_logmel_frames(const edge_logmel *logmel, size_t n) {
    if (!logmel || !logmel->points) return 0;
    const size_t missing = logmel->config.window - logmel->held;
    return n < missing ? 0 : 1 + (n - missing) / logmel->config.hop;
}

/* ---- the transform ------------------------------------------------------------------- */

typedef struct turned {
    int32_t re, im;
} turned;

/* (re, im) times exp(-2 pi i turn / n_fft), rounded half up; turns to n_fft / 2. */
static turned turn_by(const edge_logmel_config *c, int32_t re, int32_t im, uint32_t turn) {
    const uint32_t quarter = c->n_fft / 4;
    const int64_t half = (int64_t)1 << (SINE_BITS - 1);
    const int32_t sine = c->sine[turn <= quarter ? turn : 2 * quarter - turn];
    const int32_t cosine = turn <= quarter ? c->sine[quarter - turn] : -c->sine[turn - quarter];
    turned t;
    t.re = (int32_t)(((int64_t)re * cosine + (int64_t)im * sine + half) >> SINE_BITS);
    t.im = (int32_t)(((int64_t)im * cosine - (int64_t)re * sine + half) >> SINE_BITS);
    return t;
}

/* The frame, weighted, 7 bits after the point; zeros fill it up. */
static void load_frame(edge_logmel *logmel) {
    const edge_logmel_config *c = &logmel->config;
    const uint32_t half = c->n_fft / 2;
    uint32_t at = logmel->next; /* the oldest sample, now that the ring is full */
    uint32_t to = 0;            /* the index's bits from last to first */
    memset(logmel->points, 0, c->n_fft * sizeof *logmel->points);
    for (uint32_t i = 0; i < c->window; i++) {
        const int32_t product = logmel->recent[at] * c->weights[i];
        logmel->points[2 * to + i % 2] = (product + (1 << (WINDOW_SHIFT - 1))) >> WINDOW_SHIFT;
        if (++at == c->window) at = 0;
        if (i % 2) {
            uint32_t bit = half / 2;
            for (; to & bit; bit /= 2) to ^= bit;
            to |= bit;
        }
    }
}

/* n_fft / 2 complex points, decimation in time, without scaling. */
static void transform(edge_logmel *logmel) {
    const edge_logmel_config *c = &logmel->config;
    const uint32_t n = c->n_fft;
    uint32_t step = n / 2; /* turns from one butterfly to the next */
    for (uint32_t span = 2; span < n; span *= 2, step /= 2) /* numbers from low to high */
        for (uint32_t j = 0; j < span; j += 2)
            for (uint32_t at = j; at < n; at += 2 * span) {
                int32_t *low = logmel->points + at, *high = low + span;
                turned t;
                t.re = high[0];
                t.im = high[1];
                if (j) t = turn_by(c, t.re, t.im, j / 2 * step);
                high[0] = low[0] - t.re;
                high[1] = low[1] - t.im;
                low[0] += t.re;
                low[1] += t.im;
            }
}

/* |X_k|^2 of the frame, in squares of samples: from the even samples' transform and the odd's. */
static int64_t power_at(const edge_logmel *logmel, uint32_t k) {
    const uint32_t half = logmel->config.n_fft / 2;
    const int32_t *here = logmel->points + 2 * (k & (half - 1));
    const int32_t *mirrored = logmel->points + 2 * ((half - k) & (half - 1));
    const turned t = turn_by(&logmel->config, here[1] + mirrored[1], mirrored[0] - here[0], k);
    const int64_t re = here[0] + mirrored[0] + t.re, im = here[1] - mirrored[1] + t.im;
    return (re * re + im * im) >> POWER_SHIFT;
}

/* ---- features ------------------------------------------------------------------------ */

/* log2(energy / 2^10), 9 bits after the point; energy at least 2^10, below 2^62. */
static int16_t log2_of(int64_t energy) {
    int32_t high = 0;
    for (int32_t bit = 32; bit; bit /= 2)
        if (energy >> (high + bit)) high += bit;
    const int64_t shifted = high >= LOG2_BITS ? energy >> (high - LOG2_BITS)
                                              : energy << (LOG2_BITS - high);
    const int32_t mantissa = (int32_t)shifted - (1 << LOG2_BITS); /* without its leading one */
    const int32_t step = mantissa >> 10, rest = mantissa & 1023;
    const int32_t rise = log2_table[step + 1] - log2_table[step];
    const int32_t fraction = log2_table[step] + ((rise * rest + 512) >> 10);
    return (int16_t)((high - POSITION_BITS) * 512 +
                     ((fraction + (1 << (FEATURE_SHIFT - 1))) >> FEATURE_SHIFT));
}

/* Of a full ring. Positions never fall, so the points come foot by foot: those between the
   `band`-th foot and the next are on the way down from one triangle and up the next. */
static void compute_frame(edge_logmel *logmel, int16_t *features) {
    const edge_logmel_config *c = &logmel->config;
    const int64_t silence = (int64_t)1 << (c->floor_log2 + POSITION_BITS);
    int64_t falling = 0, rising = 0;
    uint32_t k = 0;
    load_frame(logmel);
    transform(logmel);
    for (uint32_t band = 0; band <= c->n_bands; band++) {
        for (; k <= c->n_fft / 2 && c->position[k] >> POSITION_BITS == band; k++) {
            const int64_t power = power_at(logmel, k);
            const int64_t part = c->position[k] & ((1 << POSITION_BITS) - 1);
            falling += power * ((1 << POSITION_BITS) - part);
            rising += power * part;
        }
        if (band > 0) features[band - 1] = log2_of(falling + silence);
        falling = rising;
        rising = 0;
    }
}

/* Into the ring; at most as many as it holds. */
static void keep(edge_logmel *logmel, const int16_t *samples, uint32_t n) {
    const uint32_t window = logmel->config.window, to_end = window - logmel->next;
    const uint32_t first = n < to_end ? n : to_end;
    memcpy(logmel->recent + logmel->next, samples, first * sizeof *samples);
    memcpy(logmel->recent, samples + first, (n - first) * sizeof *samples);
    logmel->next = first == to_end ? n - first : logmel->next + n;
    logmel->held += n;
}

edge_status edge_logmel_push(edge_logmel *logmel, const int16_t *samples, size_t n,
                             int16_t *features, size_t max_frames, size_t *n_frames,
                             size_t *n_used) {
    if (!n_frames || !n_used) return EDGE_ERR_ARGUMENT;
    *n_frames = *n_used = 0;
    if (!logmel || !logmel->points || (n && (!samples || !edge_aligned(samples, 2))) ||
        (max_frames && (!features || !edge_aligned(features, 2))))
        return EDGE_ERR_ARGUMENT;
    while (*n_used < n) {
        const uint32_t window = logmel->config.window;
        const uint32_t most = window - logmel->held - (*n_frames == max_frames);
        const uint32_t take = n - *n_used < most ? (uint32_t)(n - *n_used) : most;
        if (take == 0) break;
        keep(logmel, samples + *n_used, take);
        *n_used += take;
        if (logmel->held == window) {
            compute_frame(logmel, features + *n_frames * logmel->config.n_bands);
            logmel->held -= logmel->config.hop;
            (*n_frames)++;
        }
    }
    return EDGE_OK;
}
