/*
 * The governor, by the public header alone: test_governor [tests/vectors].
 *
 * The vectors' decisions come from a plain version in Python (tests/governor_oracle.py)
 * and must be met to the last bit.
 */
#include <math.h>

#include "vectors.h"

enum { N_TOLD = 17 };

static double next_number(char **at) {
    const char *begin = *at;
    const double value = strtod(begin, at);
    CHECK(*at != begin);
    return value;
}

static int same(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

/* ---- the vectors ----------------------------------------------------------------- */

static edge_choice choices[EDGE_GOVERNOR_MAX_CHOICES];
static uint32_t n_choices;
static edge_governor governor, restored;
static int started;

static void start_if_needed(void) {
    if (started) return;
    memset(&governor, 0xa5, sizeof governor); /* what a caller's memory holds by chance */
    CHECK(edge_governor_start(&governor, choices, n_choices) == EDGE_OK);
    started = 1;
}

static void read_choice(char *at) {
    edge_choice *c = &choices[n_choices++];
    c->latency_p50_ms = next_number(&at);
    c->latency_p95_ms = next_number(&at);
    c->energy_mj = next_number(&at);
    c->accuracy = next_number(&at);
    c->risk = next_number(&at);
    c->ram_mb = next_number(&at);
}

static void read_told(char **at, edge_budget *b, edge_signals *s) {
    double told[N_TOLD];
    for (int i = 0; i < N_TOLD; i++) told[i] = next_number(at);
    edge_budget_clear(b);
    edge_signals_clear(s);
    b->latency_ms = told[0];
    b->energy_mj = told[1];
    b->memory_mb = told[2];
    b->risk = told[3];
    b->min_accuracy = told[4];
    b->battery_floor_pct = told[5];
    b->last_until_s = told[6];
    s->now_s = told[7];
    s->battery_pct = told[8];
    s->energy_left_mj = told[9];
    s->battery_power_mw = told[10];
    s->thermal_headroom = told[11];
    s->free_ram_mb = told[12];
    s->rate_hz = told[13];
    s->charging = (int32_t)told[14];
    s->throttled = (int32_t)told[15];
    s->power_saver = (int32_t)told[16];
}

static void check_decision(const edge_decision *d, char *at) {
    CHECK(d->choice == (uint32_t)next_number(&at));
    CHECK(d->missed == (uint32_t)next_number(&at));
    CHECK(d->met == (d->missed == 0));
    CHECK(d->why == (uint32_t)next_number(&at));
    while (*at == ' ') at++;
    if (*at == '-') {
        at++;
        CHECK(d->better == EDGE_NONE && isnan(d->better_p95_ms));
    } else {
        CHECK(d->better == (uint32_t)next_number(&at));
    }
    CHECK(d->better_missed == (uint32_t)next_number(&at));
    CHECK(d->unpaced == (uint32_t)next_number(&at));
    CHECK(d->switched == (uint32_t)next_number(&at));
    CHECK(same(d->predicted_p95_ms, next_number(&at)));
    CHECK(same(d->slowdown, next_number(&at)));
    CHECK(same(d->allowed_mj, next_number(&at)));
    CHECK(same(d->wait_s, next_number(&at)));
}

static void read_decide(char *at) {
    edge_budget budget;
    edge_signals signals;
    edge_decision decision, twin;
    read_told(&at, &budget, &signals);
    /* A state copied as bytes decides alike, and is the same bytes after it. */
    memcpy(&restored, &governor, sizeof governor);
    memset(&decision, 0xa5, sizeof decision);
    memset(&twin, 0x5a, sizeof twin);
    CHECK(edge_governor_decide(&governor, &budget, &signals, &decision) == EDGE_OK);
    CHECK(edge_governor_decide(&restored, &budget, &signals, &twin) == EDGE_OK);
    CHECK(memcmp(&decision, &twin, sizeof twin) == 0);
    CHECK(memcmp(&governor, &restored, sizeof governor) == 0);
    at = strstr(at, "-> ");
    CHECK(at != NULL);
    if (at) check_decision(&decision, at + 3);
}

static void read_observe(char *at) {
    const uint32_t choice = (uint32_t)next_number(&at);
    const double latency = next_number(&at), energy = next_number(&at);
    CHECK(edge_governor_observe(&governor, choice, latency, energy, next_number(&at)) == EDGE_OK);
}

static unsigned long the_vectors_are_met(void) {
    static char line[MAX_LINE];
    FILE *file = vectors("governor_events.txt");
    unsigned long n = 0;
    while (fgets(line, sizeof line, file)) {
        current = line;
        if (strncmp(line, "start ", 6) == 0) {
            n_choices = 0;
            started = 0;
        } else if (strncmp(line, "choice ", 7) == 0) {
            read_choice(line + 7);
        } else if (strncmp(line, "decide ", 7) == 0) {
            start_if_needed();
            read_decide(line + 7);
            n++;
        } else if (strncmp(line, "observe ", 8) == 0) {
            start_if_needed();
            read_observe(line + 8);
        } else {
            CHECK(*line == '#');
        }
    }
    fclose(file);
    CHECK(n > 200);
    return n;
}

/* ---- what is refused --------------------------------------------------------------- */

static edge_choice plain(double p50, double p95) {
    edge_choice choice = {p50, p95, NAN, NAN, NAN, NAN};
    return choice;
}

static void profiles_that_are_none_are_refused(void) {
    static const double bad[][2] = {{0, 1},   {-1, 1},  {2, 1},        {NAN, 1},
                                    {1, NAN}, {1, INFINITY}, {INFINITY, INFINITY}};
    edge_choice many[EDGE_GOVERNOR_MAX_CHOICES + 1];
    for (uint32_t i = 0; i <= EDGE_GOVERNOR_MAX_CHOICES; i++) many[i] = plain(1, 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        many[1] = plain(bad[i][0], bad[i][1]);
        CHECK(edge_governor_start(&governor, many, 2) == EDGE_ERR_ARGUMENT);
        CHECK(edge_governor_observe(&governor, 0, 1, 1, 1) == EDGE_ERR_ARGUMENT);
    }
    many[1] = plain(1, 1);
    CHECK(edge_governor_start(&governor, many, 0) == EDGE_ERR_ARGUMENT);
    CHECK(edge_governor_start(&governor, many, EDGE_GOVERNOR_MAX_CHOICES + 1) ==
          EDGE_ERR_ARGUMENT);
    CHECK(edge_governor_start(&governor, NULL, 1) == EDGE_ERR_ARGUMENT);
    CHECK(edge_governor_start(NULL, many, 1) == EDGE_ERR_ARGUMENT);
    CHECK(edge_governor_start(&governor, many, EDGE_GOVERNOR_MAX_CHOICES) == EDGE_OK);
}

static void nulls_and_choices_out_of_range_are_refused(void) {
    const edge_choice choice = plain(1, 2);
    edge_budget budget;
    edge_signals signals;
    edge_decision decision;
    edge_budget_clear(NULL);
    edge_signals_clear(NULL);
    edge_budget_clear(&budget);
    edge_signals_clear(&signals);
    memset(&governor, 0, sizeof governor);
    CHECK(edge_governor_decide(&governor, &budget, &signals, &decision) == EDGE_ERR_ARGUMENT);
    CHECK(edge_governor_start(&governor, &choice, 1) == EDGE_OK);
    CHECK(edge_governor_decide(NULL, &budget, &signals, &decision) == EDGE_ERR_ARGUMENT);
    CHECK(edge_governor_decide(&governor, NULL, &signals, &decision) == EDGE_ERR_ARGUMENT);
    CHECK(edge_governor_decide(&governor, &budget, NULL, &decision) == EDGE_ERR_ARGUMENT);
    CHECK(edge_governor_decide(&governor, &budget, &signals, NULL) == EDGE_ERR_ARGUMENT);
    CHECK(edge_governor_observe(NULL, 0, 1, 1, 1) == EDGE_ERR_ARGUMENT);
    CHECK(edge_governor_observe(&governor, 1, 1, 1, 1) == EDGE_ERR_ARGUMENT);
    CHECK(edge_governor_observe(&governor, EDGE_NONE, 1, 1, 1) == EDGE_ERR_ARGUMENT);
    CHECK(edge_governor_decide(&governor, &budget, &signals, &decision) == EDGE_OK);
    CHECK(decision.met && decision.choice == 0 && decision.predicted_p95_ms == 2);
}

static void the_state_has_no_padding_that_could_differ(void) {
    CHECK(sizeof(edge_choice) == 6 * 8);
    CHECK(sizeof(edge_budget) == 7 * 8);
    CHECK(sizeof(edge_signals) == 7 * 8 + 4 * 4);
    CHECK(sizeof(edge_decision) == 6 * 8 + 8 * 4);
    CHECK(sizeof(edge_governor) % 8 == 0);
}

int main(int n_arguments, char **arguments) {
    folder = n_arguments > 1 ? arguments[1] : NULL;
    const unsigned long n = the_vectors_are_met();
    current = "refusals";
    profiles_that_are_none_are_refused();
    nulls_and_choices_out_of_range_are_refused();
    the_state_has_no_padding_that_could_differ();
    printf("governor %lu decisions  %lu checks  %lu failures\n", n, n_checks, n_failures);
    return n_failures != 0;
}
