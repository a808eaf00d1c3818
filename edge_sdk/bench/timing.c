/*
 * Times a generated model, as edge_sdk/bench/child.py times an engine, and speaks its protocol:
 * the first line says what can be called, then
 *
 *     turn 0 SECONDS    time calls for so long: {"ms": [...]}
 *     spin 0 SECONDS    only make them: {"n": ...}
 *     end               {"ram": {...}}
 *
 * "edge_bench_model.h" is written beside it: prepare(), call(turn) and the macros used below.
 * Exit status 1: the self-test failed. 2: a call was refused.
 */
#define _POSIX_C_SOURCE 200112L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "edge_bench_model.h"

#define LEAD_S 3e-3
#define SAMPLE_S 20e-6
#define BLOCK_S 0.02
#define LEAST_WARM_S 0.1
#define MOST_WARM_S 2.0
#define MOST_SAMPLES 500

static long turns;

static double now_s(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

static void one(void)
{
    if (call(turns++) != 0) {
        fputs("a call was refused\n", stderr);
        exit(2);
    }
}

/* Return kB of a line of /proc/self/status, 0 where it does not tell. */
static long status_kb(const char *field)
{
    char line[256];
    long kb = 0;
    const size_t length = strlen(field);
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL)
        return 0;
    while (fgets(line, (int)sizeof line, file) != NULL)
        if (strncmp(line, field, length) == 0 && line[length] == ':')
            kb = strtol(line + length + 1, NULL, 10);
    fclose(file);
    return kb;
}

static void print_mb(const char *name, long kb)
{
    if (kb > 0)
        printf("\"%s\": %.6f", name, (double)kb / 1024);
    else
        printf("\"%s\": null", name);
}

/* Seconds of one call, the mean over a block. */
static double block_s(long *n)
{
    const double start = now_s();
    double taken = 0;
    long calls = 0;
    do {
        one();
        calls++;
        taken = now_s() - start;
    } while (taken < BLOCK_S || calls < 5);
    *n += calls;
    return taken / (double)calls;
}

static long spin(double seconds)
{
    const double end = now_s() + seconds;
    long n = 0;
    do {
        one();
        n++;
    } while (now_s() < end);
    return n;
}

static void turn(double seconds, long per_sample)
{
    double start, now, end;
    long n = 0, i;
    spin(LEAD_S);
    printf("{\"ms\": [");
    end = now_s() + seconds;
    do {
        start = now_s();
        for (i = 0; i < per_sample; i++)
            one();
        now = now_s();
        printf("%s%.9f", n > 0 ? ", " : "", (now - start) / (double)per_sample * 1e3);
        n++;
    } while (now < end && n < MOST_SAMPLES);
    puts("]}");
}

int main(void)
{
    char what[16];
    double seconds, start, first_ms, before, after, taken;
    long n = 0, per_sample, loaded_kb;
    int row;
    if (prepare() != 0) {
        fputs("its self-test failed\n", stderr);
        return 1;
    }
    loaded_kb = status_kb("VmRSS");
    start = now_s();
    one();
    first_ms = (now_s() - start) * 1e3;
    after = block_s(&n);
    do {
        before = after;
        after = block_s(&n);
        taken = now_s() - start;
    } while (taken < LEAST_WARM_S || (after < before * 0.95 && taken < MOST_WARM_S));
    per_sample = (long)(SAMPLE_S / (after > 1e-9 ? after : 1e-9) + 0.5);
    per_sample = per_sample > 0 ? per_sample : 1;
    printf("{\"rows\": [{\"name\": \"%s\", \"frames\": %s, \"first_ms\": %.9f, "
           "\"warm_calls\": %ld, \"calls_per_sample\": %ld}]}\n",
           ROW, FRAMES, first_ms, n, per_sample);
    fflush(stdout);
    while (scanf("%15s", what) == 1 && strcmp(what, "end") != 0) {
        if (scanf("%d %lf", &row, &seconds) != 2)
            return 2;
        if (strcmp(what, "turn") == 0)
            turn(seconds, per_sample);
        else
            printf("{\"n\": %ld}\n", spin(seconds));
        fflush(stdout);
    }
    printf("{\"ram\": {");
    print_mb("after_load_mb", loaded_kb);
    printf(", ");
    print_mb("peak_mb", status_kb("VmHWM"));
    puts("}}");
    return 0;
}
