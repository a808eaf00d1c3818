/*
 * Keep a budget: govern LATENCY_MS
 *
 * Four sizes of one model, profiled on a device, and a governor that picks for each
 * inference the most accurate one whose 95th percentile stays below LATENCY_MS. In
 * the middle of the run the device becomes twice as slow, as a hot phone does, and
 * cools down again later. Prints every change of size, and why.
 *
 * The device is made up, and so is its profile: replace run_model by your model and
 * a clock, and `profile` by what `python -m edge_sdk.profile` measures.
 */
#include <edge_runtime.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define N_SIZES 4u
static const char *const names[N_SIZES] = {"S", "M", "L", "XL"};

enum { INFERENCES = 600, HOT_FROM = 200, HOT_UNTIL = 350 };
#define PERIOD_S 0.1 /* between two inferences */

/* What an inference takes: its median, times what the heat makes of it. Yours would be timed. */
static double run_model(const edge_choice *size, int inference)
{
    const int hot = inference >= HOT_FROM && inference < HOT_UNTIL;
    return size->latency_p50_ms * (hot ? 2.0 : 1.0);
}

static const char *reason(const edge_decision *decision)
{
    switch (decision->why) {
    case EDGE_WHY_BEST: return "the best that fits";
    case EDGE_WHY_WAITS: return "a better one fits, and has to last";
    case EDGE_WHY_THROTTLED: return "the device is hot";
    case EDGE_WHY_SAVER: return "the power saver is on";
    case EDGE_WHY_FLOOR: return "the battery is at its floor";
    default: return "nothing fits, so the fastest";
    }
}

int main(int argc, char **argv)
{
    edge_choice profile[N_SIZES];
    edge_governor governor;
    edge_budget budget;
    edge_signals signals;
    edge_decision decision;
    uint32_t size;
    int i;

    edge_budget_clear(&budget); /* no limit but those that are set */
    budget.latency_ms = argc == 2 ? atof(argv[1]) : 0;
    if (!(budget.latency_ms > 0)) {
        fprintf(stderr, "usage: govern LATENCY_MS\n");
        return 2;
    }
    for (size = 0; size < N_SIZES; size++) {
        profile[size].latency_p50_ms = 2.0 * (1u << size);
        profile[size].latency_p95_ms = 2.5 * (1u << size);
        profile[size].accuracy = 0.80 + 0.02 * size;
        profile[size].energy_mj = NAN; /* unknown is NaN, never 0 */
        profile[size].risk = 0;
        profile[size].ram_mb = NAN;
    }
    if (edge_governor_start(&governor, profile, N_SIZES) != EDGE_OK) {
        return 1;
    }
    edge_signals_clear(&signals); /* this device tells nothing of itself but the time */
    for (i = 0; i < INFERENCES; i++) {
        double latency_ms;
        signals.now_s = i * PERIOD_S;
        if (edge_governor_decide(&governor, &budget, &signals, &decision) != EDGE_OK) {
            return 1;
        }
        latency_ms = run_model(&profile[decision.choice], i);
        if (i == 0 || decision.switched) {
            printf("%5.1f s  %-2s  p95 %.2f ms  slowdown %.2f  %s\n", signals.now_s,
                   names[decision.choice], decision.predicted_p95_ms, decision.slowdown,
                   reason(&decision));
        }
        edge_governor_observe(&governor, decision.choice, latency_ms, NAN,
                              signals.now_s + latency_ms / 1000);
    }
    return 0;
}
