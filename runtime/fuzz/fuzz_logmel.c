/*
 * Fuzzing of the log-mel front end: arbitrary tables, samples, and cuts of the stream.
 *
 * The bytes are a recipe: numbers in and out of range, tables as they should be, as they
 * come, or changed in places, and a signal, often at full scale. What is refused must have
 * a reason; of what is taken, plain code in 64 bits says the same features to the bit,
 * however the stream is cut, so nothing overflowed.
 *
 * Built by run.sh with libFuzzer; with EDGE_FUZZ_MAIN, a program that replays files.
 */
#include "steer.h"

enum { MAX_FFT = 1024, MAX_SAMPLES = 4096 };

/* All that a front end is made of, in arrays of just their size. */
typedef struct recipe {
    edge_logmel_config config;
    int16_t *weights, *samples;
    int32_t *sine;
    uint16_t *position;
    size_t n;
} recipe;

/* ---- the obvious answers ------------------------------------------------------------- */

/* sin(x) for x from 0 to 1.6, by its series. */
static double sine_of(double x) {
    double term = x, sum = x;
    for (int i = 2; i < 24; i += 2) {
        term *= -x * x / (i * (i + 1.0));
        sum += term;
    }
    return sum;
}

static int64_t true_sine(uint32_t i, uint32_t n_fft) {
    return (int64_t)(sine_of(6.283185307179586 * i / n_fft) * (1 << 30) + 0.5);
}

/* log2(1 + i / 32) with 15 bits after the point, rounded: one bit for each squaring. */
static int64_t log2_entry(int i) {
    double x = 1 + i / 32.0;
    int64_t bits = 0;
    if (i == 32) return 1 << 15;
    for (int bit = 0; bit < 20; bit++) {
        x *= x;
        bits = 2 * bits + (x >= 2);
        if (x >= 2) x /= 2;
    }
    return (bits + 16) >> 5;
}

typedef struct number {
    int64_t re, im;
} number;

static number times(const recipe *r, number z, uint32_t turn) {
    const uint32_t quarter = r->config.n_fft / 4;
    const int64_t s = r->sine[turn <= quarter ? turn : 2 * quarter - turn];
    const int64_t c = turn <= quarter ? r->sine[quarter - turn] : -r->sine[turn - quarter];
    number product;
    product.re = (z.re * c + z.im * s + (1 << 29)) >> 30;
    product.im = (z.im * c - z.re * s + (1 << 29)) >> 30;
    return product;
}

/* The transform of every `stride`-th of `in`, `n` of them. */
static void obvious_transform(const recipe *r, const number *in, uint32_t stride, uint32_t n,
                              number *out) {
    number even[MAX_FFT / 4], odd[MAX_FFT / 4];
    if (n == 1) {
        out[0] = in[0];
        return;
    }
    obvious_transform(r, in, 2 * stride, n / 2, even);
    obvious_transform(r, in + stride, 2 * stride, n / 2, odd);
    for (uint32_t j = 0; j < n / 2; j++) {
        const number t = times(r, odd[j], j * (r->config.n_fft / n));
        out[j].re = even[j].re + t.re;
        out[j].im = even[j].im + t.im;
        out[j + n / 2].re = even[j].re - t.re;
        out[j + n / 2].im = even[j].im - t.im;
    }
}

static int16_t obvious_log2(int64_t energy) {
    int high = 0;
    while (energy >> (high + 1)) high++;
    const int64_t mantissa = (high >= 15 ? energy >> (high - 15) : energy << (15 - high)) - 32768;
    const int64_t low = log2_entry((int)(mantissa / 1024));
    const int64_t next = log2_entry((int)(mantissa / 1024) + 1);
    const int64_t fraction = low + (((next - low) * (mantissa % 1024) + 512) >> 10);
    return (int16_t)((high - 10) * 512 + ((fraction + 32) >> 6));
}

static void obvious_frame(const recipe *r, const int16_t *samples, int16_t *features) {
    const edge_logmel_config *c = &r->config;
    const uint32_t half = c->n_fft / 2;
    number in[MAX_FFT / 2], z[MAX_FFT / 2];
    int64_t energy[EDGE_LOGMEL_MAX_BANDS];
    memset(in, 0, sizeof in);
    for (uint32_t i = 0; i < c->window; i++) {
        const int64_t windowed = ((int64_t)samples[i] * r->weights[i] + 128) >> 8;
        if (i % 2) in[i / 2].im = windowed;
        else in[i / 2].re = windowed;
    }
    obvious_transform(r, in, 1, half, z);
    for (uint32_t b = 0; b < c->n_bands; b++) energy[b] = (int64_t)1 << (c->floor_log2 + 10);
    for (uint32_t k = 0; k <= half; k++) {
        const number here = z[k % half], other = z[(half - k) % half];
        number odd;
        odd.re = here.im + other.im;
        odd.im = other.re - here.re;
        const number t = times(r, odd, k);
        const int64_t re = here.re + other.re + t.re, im = here.im - other.im + t.im;
        REQUIRE(re >= INT32_MIN && re <= INT32_MAX && im >= INT32_MIN && im <= INT32_MAX);
        const int64_t power = (re * re + im * im) >> 16;
        const int64_t foot = r->position[k] / 1024, part = r->position[k] % 1024;
        if (foot >= 1 && foot <= c->n_bands) energy[foot - 1] += power * (1024 - part);
        if (foot < c->n_bands) energy[foot] += power * part;
    }
    for (uint32_t b = 0; b < c->n_bands; b++) features[b] = obvious_log2(energy[b]);
}

/* Whether there is nothing to refuse but the sines. */
static int is_allowed(const recipe *r) {
    const edge_logmel_config *c = &r->config;
    uint64_t sum = 0;
    int fits = c->window >= 2 && c->window <= c->n_fft && c->hop >= 1 && c->hop <= c->window;
    fits &= c->n_bands >= 1 && c->n_bands <= EDGE_LOGMEL_MAX_BANDS;
    fits &= c->floor_log2 <= EDGE_LOGMEL_MAX_FLOOR;
    if (!fits) return 0;
    for (uint32_t i = 0; i < c->window; i++) {
        fits &= r->weights[i] >= 0;
        sum += (uint64_t)r->weights[i] & 0xffff;
    }
    for (uint32_t k = 1; k <= c->n_fft / 2; k++) fits &= r->position[k - 1] <= r->position[k];
    fits &= r->position[c->n_fft / 2] <= (c->n_bands + 1) * 1024;
    return fits && sum <= EDGE_LOGMEL_MAX_WEIGHT;
}

/* 1: each is the nearest integer; 0: none is off by more than 2^-19; -1: one is. */
static int sines_are_true(const recipe *r) {
    int64_t worst = 0;
    for (uint32_t i = 0; i <= r->config.n_fft / 4; i++) {
        const int64_t error = r->sine[i] - true_sine(i, r->config.n_fft);
        if (error > worst) worst = error;
        if (-error > worst) worst = -error;
    }
    return worst == 0 ? 1 : worst <= 1 << 11 ? 0 : -1;
}

/* ---- a recipe ------------------------------------------------------------------------ */

static void draw_numbers(cursor *c, edge_logmel_config *config) {
    const int careless = draw8(c) % 16 == 7;
    config->n_fft = 256u << draw8(c) % 3;
    config->window = draw8(c) % 4 ? config->n_fft / 4 * 3 : 2 + (uint32_t)draw(c, 2) %
                                                                (config->n_fft - 1);
    config->hop = draw8(c) % 4 ? config->window / 2 : 1 + (uint32_t)draw(c, 2) % config->window;
    config->n_bands = 1 + draw8(c) % EDGE_LOGMEL_MAX_BANDS;
    config->floor_log2 = draw8(c) % (EDGE_LOGMEL_MAX_FLOOR + 1);
    if (!careless) return;
    switch (draw8(c) % 4) {
    case 0: config->window = (uint32_t)draw(c, 2) % (config->n_fft + 2); break;
    case 1: config->hop = (uint32_t)draw(c, 2) % (config->n_fft + 2); break;
    case 2: config->n_bands = draw8(c) % (EDGE_LOGMEL_MAX_BANDS + 3); break;
    default: config->floor_log2 = draw8(c) % 64; break;
    }
}

static void draw_tables(cursor *c, recipe *r) {
    const uint32_t n_fft = r->config.n_fft, window = r->config.window;
    const uint32_t feet = (r->config.n_bands + 1) * 1024, style = draw8(c);
    for (uint32_t i = 0; i < window; i++) {
        const uint32_t any = (uint32_t)draw(c, 2);
        const uint32_t most = EDGE_LOGMEL_MAX_WEIGHT / window;
        const uint32_t heaviest = most < 32767 ? most : 32767;
        r->weights[i] = (int16_t)(style % 8 == 7   ? any
                                  : style % 8 == 6 ? any % 32768
                                  : style % 8 > 2  ? heaviest
                                                   : any % (heaviest + 1));
    }
    for (uint32_t i = 0; i <= n_fft / 4; i++)
        r->sine[i] = style / 8 % 8 == 7 ? (int32_t)draw(c, 4) : (int32_t)true_sine(i, n_fft);
    if (style / 8 % 8 == 6) {
        const uint32_t changes = 1 + draw8(c) % 8;
        for (uint32_t i = 0; i < changes; i++)
            r->sine[draw(c, 2) % (n_fft / 4 + 1)] += (int32_t)(draw8(c) % 7) - 3;
    }
    uint32_t at = 0;
    for (uint32_t k = 0; k <= n_fft / 2; k++) {
        const uint32_t any = (uint32_t)draw(c, 2);
        at += any % (4 * feet / n_fft + 1);
        r->position[k] = (uint16_t)(style / 64 == 3 ? any : at < feet ? at : feet);
    }
}

/* Some at full scale, and of the sign that adds up in one point of the spectrum. */
static void draw_samples(cursor *c, recipe *r) {
    const uint32_t style = draw8(c) % 4, period = 1 + draw8(c) % 64;
    r->n = (size_t)draw(c, 2) % MAX_SAMPLES;
    r->samples = (int16_t *)room(r->n * sizeof *r->samples);
    for (size_t i = 0; i < r->n; i++) {
        const int up = i / period % 2 == 0;
        r->samples[i] = style == 0   ? (int16_t)draw(c, 2)
                        : style == 1 ? (int16_t)((int)(draw8(c) % 8) - 4)
                        : style == 2 ? (int16_t)-32768
                                     : (int16_t)(up ? 32767 : -32768);
    }
}

/* ---- the stream ---------------------------------------------------------------------- */

static void try_stream(const recipe *r, cursor *c, edge_logmel *logmel) {
    const size_t window = r->config.window, hop = r->config.hop, n_bands = r->config.n_bands;
    const size_t n_frames = r->n < window ? 0 : 1 + (r->n - window) / hop;
    const size_t most = n_frames < 12 ? n_frames : 12; /* the others are only streamed */
    int16_t expected[EDGE_LOGMEL_MAX_BANDS];
    size_t at = 0, done = 0;
    REQUIRE(edge_logmel_frames(logmel, r->n) == n_frames);
    while (at < r->n) {
        const size_t piece = 1 + draw(c, 2) % (draw8(c) % 2 ? 2048 : 64), left = r->n - at;
        const size_t n = piece < left ? piece : left, max_frames = draw8(c) % 5;
        const size_t coming = edge_logmel_frames(logmel, n);
        int16_t *samples = (int16_t *)room(n * sizeof *samples);
        int16_t *features = (int16_t *)room(max_frames * n_bands * sizeof *features);
        size_t got, used;
        memcpy(samples, r->samples + at, n * sizeof *samples);
        REQUIRE(edge_logmel_push(logmel, samples, n, features, max_frames, &got, &used) ==
                EDGE_OK);
        REQUIRE(got == (coming < max_frames ? coming : max_frames));
        REQUIRE(used == n || (got == max_frames && edge_logmel_frames(logmel, 1) == 1));
        for (size_t i = 0; i < got; i++, done++) {
            if (done >= most) continue;
            obvious_frame(r, r->samples + done * hop, expected);
            REQUIRE(memcmp(features + i * n_bands, expected, n_bands * sizeof *expected) == 0);
        }
        at += used;
        free(features);
        free(samples);
        if (used == 0 && max_frames == 0 && c->at > 100000) return; /* bytes that give no room */
    }
    REQUIRE(done == n_frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cursor c = cursor_on(data, size);
    recipe r;
    edge_logmel logmel;
    draw_numbers(&c, &r.config);
    const uint32_t n_fft = r.config.n_fft;
    r.config.weights = r.weights = (int16_t *)room(r.config.window * sizeof *r.weights);
    r.config.sine = r.sine = (int32_t *)room((n_fft / 4 + 1) * sizeof *r.sine);
    r.config.position = r.position = (uint16_t *)room((n_fft / 2 + 1) * sizeof *r.position);
    draw_tables(&c, &r);
    draw_samples(&c, &r);
    const size_t room_size = edge_logmel_size(&r.config);
    void *workspace = room(room_size);
    const edge_status status = edge_logmel_init(&logmel, &r.config, workspace, room_size);
    const int sines = sines_are_true(&r);
    REQUIRE(status == EDGE_OK || status == EDGE_ERR_ARGUMENT);
    if (status == EDGE_OK)
        REQUIRE(is_allowed(&r) && sines >= 0);
    else
        REQUIRE(!is_allowed(&r) || sines != 1);
    if (status == EDGE_OK) try_stream(&r, &c, &logmel);
    free(workspace);
    free(r.samples);
    free(r.position);
    free(r.sine);
    free(r.weights);
    return 0;
}
