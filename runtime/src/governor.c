/*
 * The governor: which choice runs next, from the profile, what was observed, the
 * budget and what the device says. A pure function of its state and inputs.
 *
 * Latency. A choice's predicted p95 is its profile's, times how much slower the
 * device is now, times how much longer the tail is, times what the choice alone
 * is slower by. The first two are shared, so that a slowdown seen at one choice
 * informs the others, and recovery is noticed while a small one runs:
 *   speed  median of latency / p50 over the last 63. Where the median of the last
 *          13 differs from it by more than noise does, the device has changed, and
 *          it starts anew from them. No single outlier moves either.
 *   tail   each observation against the median of the 13 around it, beside its
 *          profile's p95 / p50; of the last 64 the 4th largest is the likely p95,
 *          and p95 is surely above the 7th largest (binomial, 96 %).
 *   own    a choice that was left because it was slow, while the next one shows
 *          a faster device, keeps the difference as its own for a while.
 *
 * Switching. Down at once, when the sure p95 or another limit is missed. Up only
 * for more accuracy or less energy, after DWELL seconds and decisions, with at most
 * one switch within the minute before, and not while the device throttles. The
 * second and third switch within a minute need room to spare, so that none follows.
 * A choice that fails is held back; if it does within a minute of a step up, for
 * twice as long as the time before. A new budget is followed at once. Without a
 * clock there is no step up after the first switch.
 *
 * Battery. Even spending allows each inference
 *   ((energy left - reserve) / seconds to last - what others drain) / rate
 * smoothed over decisions. Charging lifts it, and the floor.
 */
#include "bytes.h"
#include "edge_runtime.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

enum { FAST = EDGE_GOVERNOR_FAST, SLOW = EDGE_GOVERNOR_SLOW, TAIL = EDGE_GOVERNOR_TAIL };
enum { BY_ACCURACY, BY_THRIFT };
enum { NORMAL, SAVER, FLOOR };

#define CHANGE_LEAST 1.3   /* of the device's speed; see least_change */
#define CHANGE_MOST 1.6
#define OWN_LEAST 1.15     /* a difference below is noise */
#define OWN_MOST 4.0
#define RATIO_MOST 64.0    /* of one observation; beyond is a stopped clock or process */
#define DWELL_S 10.0
#define DWELL_DECISIONS 16u
#define MINUTE_S 60.0
#define HOLD_MOST_S 640.0
#define ROOM_SECOND 0.9    /* of each limit, at the second switch within a minute */
#define ROOM_THIRD 0.5
#define FLOOR_MARGIN_PCT 2.0
#define STEP_MOST_S 86400.0
#define LONG_AGO_S (-1e9)

static double unknown(void) {
    /* One NaN for all, so that states compare as bytes. */
    const uint64_t bits = UINT64_C(0x7ff8000000000000);
    double nan;
    memcpy(&nan, &bits, sizeof nan);
    return nan;
}

static int is_known(double x) { return x == x; }
static int is_within(double x, double least, double most) { return x >= least && x <= most; }
static EDGE_SMALL double known_within(double x, double least, double most) {
    return is_within(x, least, most) ? x : unknown();
}
static int exceeds(double cost, double limit) { return is_known(limit) && !(cost <= limit); }
static double larger(double a, double b) { return a > b ? a : b; }
static double smaller(double a, double b) { return a < b ? a : b; }

#define HUGE_COST 1e300 /* larger is not a number that a device has */

void edge_budget_clear(edge_budget *budget) {
    const double none = unknown();
    if (!budget) return;
    budget->latency_ms = budget->energy_mj = budget->memory_mb = none;
    budget->risk = budget->min_accuracy = none;
    budget->battery_floor_pct = budget->last_until_s = none;
}

void edge_signals_clear(edge_signals *signals) {
    const double none = unknown();
    if (!signals) return;
    signals->now_s = signals->battery_pct = signals->energy_left_mj = none;
    signals->battery_power_mw = signals->thermal_headroom = none;
    signals->free_ram_mb = signals->rate_hz = none;
    signals->charging = signals->throttled = signals->power_saver = -1;
    signals->reserved = 0;
}

/* ---- the order of choices --------------------------------------------------------- */

/* Unknown costs come after known ones. */
static int compare(double a, double b) {
    if (is_known(a) != is_known(b)) return is_known(a) ? -1 : 1;
    return a < b ? -1 : a > b;
}

static int is_before(const edge_governor *g, int by, uint32_t a, uint32_t b) {
    const edge_choice *x = &g->choices[a], *y = &g->choices[b];
    int c;
    if (by == BY_ACCURACY) {
        if (!is_known(x->accuracy) && !is_known(y->accuracy)) return a > b;
        if (is_known(x->accuracy) != is_known(y->accuracy)) return is_known(x->accuracy);
        if (x->accuracy != y->accuracy) return x->accuracy > y->accuracy;
    }
    c = compare(x->energy_mj, y->energy_mj);
    if (c == 0) c = compare(x->latency_p95_ms, y->latency_p95_ms);
    return c ? c < 0 : a < b;
}

static EDGE_SMALL void put_in_order(edge_governor *g, int by) {
    uint8_t *order = g->order[by];
    for (uint32_t i = 0; i < g->n; i++) {
        uint32_t at = i;
        for (; at > 0 && is_before(g, by, i, order[at - 1]); at--) order[at] = order[at - 1];
        order[at] = (uint8_t)i;
    }
}

static EDGE_SMALL void fill_with_ones(double *values, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) values[i] = 1;
}

static EDGE_SMALL int copy_choices(edge_governor *g, const edge_choice *choices, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        const edge_choice *from = &choices[i];
        edge_choice *to = &g->choices[i];
        if (!is_within(from->latency_p50_ms, 1e-9, 1e12) ||
            !is_within(from->latency_p95_ms, from->latency_p50_ms, 1e12))
            return 0;
        to->latency_p50_ms = from->latency_p50_ms;
        to->latency_p95_ms = from->latency_p95_ms;
        to->energy_mj = known_within(from->energy_mj, 0, HUGE_COST);
        to->accuracy = known_within(from->accuracy, -HUGE_COST, HUGE_COST);
        to->risk = known_within(from->risk, 0, HUGE_COST);
        to->ram_mb = known_within(from->ram_mb, 0, HUGE_COST);
    }
    return 1;
}

EDGE_SMALL edge_status edge_governor_start(edge_governor *g, const edge_choice *choices,
                                           uint32_t n) {
    if (!g) return EDGE_ERR_ARGUMENT;
    memset(g, 0, sizeof *g);
    if (!choices || n == 0 || n > EDGE_GOVERNOR_MAX_CHOICES || !copy_choices(g, choices, n))
        return EDGE_ERR_ARGUMENT;
    g->n = n;
    for (uint32_t i = 0; i < n; i++) {
        g->energy_mj[i] = g->choices[i].energy_mj;
        g->own[i] = 1;
        g->hold_s[i] = DWELL_S;
        g->own_until_s[i] = g->held_until_s[i] = LONG_AGO_S;
    }
    put_in_order(g, BY_ACCURACY);
    put_in_order(g, BY_THRIFT);
    /* Nothing observed yet is as if all had been as the profile says. */
    for (int i = 0; i < 2; i++) {
        fill_with_ones(g->fast[i], FAST);
        fill_with_ones(g->slow[i], SLOW);
        fill_with_ones(g->tail[i], TAIL);
    }
    fill_with_ones(g->shape, FAST);
    g->speed = g->likely_tail = g->sure_tail = 1;
    g->switched_s[0] = g->switched_s[1] = LONG_AGO_S;
    g->allowed_mj = g->spent_mj = unknown();
    g->slow_n = g->slow_next = FAST;
    g->current = g->running = g->left = EDGE_NONE;
    edge_budget_clear(&g->budget);
    return EDGE_OK;
}

static int is_started(const edge_governor *g) {
    return g && g->n >= 1 && g->n <= EDGE_GOVERNOR_MAX_CHOICES;
}

/* ---- time --------------------------------------------------------------------------- */

/* A clock that is unknown or goes back stands still; a leap is a day at most. */
static void advance(edge_governor *g, double now_s) {
    if (!is_within(now_s, -HUGE_COST, HUGE_COST)) return;
    if (g->has_clock && now_s > g->last_s) g->time_s += smaller(now_s - g->last_s, STEP_MOST_S);
    g->last_s = now_s;
    g->has_clock = 1;
}

/* Decisions a second over the last 32 or so. */
static EDGE_SMALL double learn_rate(edge_governor *g, double expected_hz) {
    if (g->current != EDGE_NONE) {
        const double kept_events = g->rate_events * 0.96875, kept_s = g->rate_s * 0.96875;
        g->rate_events = kept_events + 1;
        g->rate_s = kept_s + (g->time_s - g->decided_s);
    }
    g->decided_s = g->time_s;
    if (is_within(expected_hz, 1e-9, 1e9)) return expected_hz;
    return g->rate_s > 0 ? g->rate_events / g->rate_s : unknown();
}

/* ---- what a choice would cost, and what there is ------------------------------------ */

typedef struct limits {
    const edge_budget *budget;
    double allowed_mj; /* by even spending; NaN: no limit */
    double free_ram_mb, rate_hz;
    int hot, unpaced, at_floor;
} limits;

static double own(const edge_governor *g, uint32_t i) {
    return g->time_s < g->own_until_s[i] ? g->own[i] : 1;
}

static double predicted_ms(const edge_governor *g, uint32_t i, double tail) {
    return g->choices[i].latency_p95_ms * (g->speed * tail * own(g, i));
}

/* What the running choice holds is not free, but would be without it. */
static int lacks_ram(const edge_governor *g, const limits *l, uint32_t i, double room) {
    double needed = g->choices[i].ram_mb;
    if (g->running != EDGE_NONE && is_known(g->choices[g->running].ram_mb))
        needed = needed - g->choices[g->running].ram_mb;
    return needed > 0 && needed > l->free_ram_mb * room;
}

static EDGE_SMALL uint32_t misses(const edge_governor *g, const limits *l, uint32_t i, double tail,
                       double room) {
    const edge_choice *c = &g->choices[i];
    const edge_budget *b = l->budget;
    uint32_t missed = 0;
    if (exceeds(predicted_ms(g, i, tail), b->latency_ms * room)) missed |= EDGE_LIMIT_LATENCY;
    if (exceeds(g->energy_mj[i], b->energy_mj)) missed |= EDGE_LIMIT_ENERGY;
    if (l->at_floor || exceeds(g->energy_mj[i], l->allowed_mj * room))
        missed |= EDGE_LIMIT_BATTERY;
    if (exceeds(c->ram_mb, b->memory_mb)) missed |= EDGE_LIMIT_MEMORY;
    if (lacks_ram(g, l, i, room)) missed |= EDGE_LIMIT_FREE_RAM;
    if (exceeds(c->risk, b->risk)) missed |= EDGE_LIMIT_RISK;
    if (is_known(b->min_accuracy) && !(c->accuracy >= b->min_accuracy))
        missed |= EDGE_LIMIT_ACCURACY;
    return missed;
}

static int knows_an_energy(const edge_governor *g) {
    for (uint32_t i = 0; i < g->n; i++)
        if (is_known(g->energy_mj[i])) return 1;
    return 0;
}

/* Even spending of what is left, or NaN. mW are mJ a second. */
static EDGE_SMALL double even_spending(const edge_governor *g, const edge_budget *budget,
                            const edge_signals *s, double rate_hz) {
    const double energy = known_within(s->energy_left_mj, 0, HUGE_COST);
    const double pct = known_within(s->battery_pct, 1e-3, 100);
    const double floor_pct = known_within(budget->battery_floor_pct, 0, 100);
    const double power = known_within(s->battery_power_mw, 0, HUGE_COST);
    double reserve = 0, others = 0, allowed;
    if (is_known(pct) && is_known(floor_pct)) reserve = smaller(1, floor_pct / pct) * energy;
    if (is_known(power) && is_known(g->spent_mj)) others = larger(0, power - g->spent_mj * rate_hz);
    allowed = ((energy - reserve) / (budget->last_until_s - s->now_s) - others) / rate_hz;
    return is_known(allowed) ? larger(allowed, 0) : unknown();
}

static EDGE_SMALL void pace(edge_governor *g, limits *l, const edge_signals *s) {
    double allowed;
    /* Also if the time is over, or either is NaN. */
    if (s->charging == 1 || !(l->budget->last_until_s - s->now_s > 0)) {
        l->unpaced = s->charging != 1 && is_known(l->budget->last_until_s) && !is_known(s->now_s);
        g->allowed_mj = unknown();
        return;
    }
    allowed = knows_an_energy(g) ? even_spending(g, l->budget, s, l->rate_hz) : unknown();
    l->unpaced = !is_known(allowed);
    g->allowed_mj = is_known(allowed) && is_known(g->allowed_mj)
                        ? g->allowed_mj + (allowed - g->allowed_mj) * 0.125
                        : allowed;
    l->allowed_mj = g->allowed_mj;
}

static int same(double a, double b) { return a == b || (!is_known(a) && !is_known(b)); }

/* last_until_s may be worked out anew each time: only whether it is set counts. */
static EDGE_SMALL int is_same_budget(const edge_budget *a, const edge_budget *b) {
    return same(a->latency_ms, b->latency_ms) && same(a->energy_mj, b->energy_mj) &&
           same(a->memory_mb, b->memory_mb) && same(a->risk, b->risk) &&
           same(a->min_accuracy, b->min_accuracy) &&
           same(a->battery_floor_pct, b->battery_floor_pct) &&
           is_known(a->last_until_s) == is_known(b->last_until_s);
}

static EDGE_SMALL uint32_t mode_of(const edge_governor *g, const edge_budget *budget,
                                   const edge_signals *s) {
    const double pct = known_within(s->battery_pct, 0, 100);
    /* Once at the floor, a little above it still counts. */
    const double margin = g->mode == FLOOR ? FLOOR_MARGIN_PCT : 0;
    if (s->charging != 1 && is_known(pct) && pct - margin <= budget->battery_floor_pct)
        return FLOOR;
    return s->power_saver == 1 ? SAVER : NORMAL;
}

/* ---- the choice ----------------------------------------------------------------------- */

static const uint8_t *order_of(const edge_governor *g) {
    return g->order[g->mode == NORMAL ? BY_ACCURACY : BY_THRIFT];
}

static int is_held(const edge_governor *g, uint32_t i) { return g->time_s < g->held_until_s[i]; }

/* Of all, or of those that fit and are not held back: then there may be none. */
static EDGE_SMALL uint32_t fastest(const edge_governor *g, const limits *l, int fitting) {
    uint32_t best = EDGE_NONE;
    double least = 0;
    for (uint32_t k = 0; k < g->n; k++) {
        const uint32_t i = g->order[BY_THRIFT][k];
        const double ms = predicted_ms(g, i, 1);
        if ((best == EDGE_NONE || ms < least) &&
            (!fitting || (!is_held(g, i) && misses(g, l, i, g->likely_tail, 1) == 0))) {
            best = i;
            least = ms;
        }
    }
    return best;
}

/* Of a choice that comes before `current`: whether that is for more than its latency alone. */
static int is_worth_it(const edge_governor *g, uint32_t i, uint32_t current) {
    const edge_choice *x = &g->choices[i], *y = &g->choices[current];
    return g->mode != NORMAL || x->accuracy != y->accuracy || x->energy_mj < y->energy_mj;
}

/* The first in order that fits, or EDGE_NONE; of those better than `current`, if it is one. */
static EDGE_SMALL uint32_t first_fit(const edge_governor *g, const limits *l, uint32_t current,
                                     double room, int held_too) {
    const uint8_t *order = order_of(g);
    for (uint32_t k = 0; k < g->n && order[k] != current; k++)
        if ((held_too || !is_held(g, order[k])) &&
            (current == EDGE_NONE || is_worth_it(g, order[k], current)) &&
            misses(g, l, order[k], g->likely_tail, room) == 0)
            return order[k];
    return EDGE_NONE;
}

static double until_rise_s(const edge_governor *g) {
    return larger(DWELL_S - (g->time_s - g->switched_s[0]),
                  MINUTE_S - (g->time_s - g->switched_s[1]));
}

/* The sooner after others, the more room: the third within a minute is to be the last. */
static double room_for_switch(const edge_governor *g) {
    if (g->time_s - g->switched_s[1] < MINUTE_S) return ROOM_THIRD;
    return g->time_s - g->switched_s[0] < MINUTE_S ? ROOM_SECOND : 1;
}

static EDGE_SMALL uint32_t pick(const edge_governor *g, const limits *l, int fresh, int *failed) {
    uint32_t found;
    *failed = 0;
    if (g->mode == FLOOR) return g->order[BY_THRIFT][0];
    if (fresh) {
        found = first_fit(g, l, EDGE_NONE, 1, 1);
        return found == EDGE_NONE ? fastest(g, l, 0) : found;
    }
    const double room = room_for_switch(g);
    const int stays = misses(g, l, g->current, g->sure_tail, 1) == 0;
    if (!stays && g->met) { /* it did fit: leave it at once */
        *failed = 1;
        found = first_fit(g, l, EDGE_NONE, room, 0);
        if (found == EDGE_NONE) found = fastest(g, l, 1);
        return found == EDGE_NONE ? fastest(g, l, 0) : found;
    }
    if (!l->hot && until_rise_s(g) <= 0 && g->decisions >= DWELL_DECISIONS) {
        found = first_fit(g, l, stays ? g->current : EDGE_NONE, room, 0);
        if (found != EDGE_NONE) return found;
    }
    return stays ? g->current : fastest(g, l, 0);
}

/* Hold back a choice that failed, longer each time; see later what was its own fault. */
static void leave(edge_governor *g, uint32_t missed) {
    const uint32_t i = g->current;
    const int soon = g->rose && g->time_s - g->arrived_s < MINUTE_S;
    g->hold_s[i] = soon ? smaller(2 * g->hold_s[i], HOLD_MOST_S) : DWELL_S;
    g->held_until_s[i] = g->time_s + g->hold_s[i];
    if (missed & EDGE_LIMIT_LATENCY) {
        g->left = i;
        g->left_speed = g->speed * own(g, i);
        g->left_seen = 0;
    }
}

static EDGE_SMALL void move(edge_governor *g, uint32_t choice, int fresh, int failed,
                            uint32_t missed) {
    if (failed) leave(g, missed);
    g->switched_s[1] = fresh ? LONG_AGO_S : g->switched_s[0];
    g->switched_s[0] = fresh ? LONG_AGO_S : g->time_s;
    g->arrived_s = g->time_s;
    g->rose = !fresh && !failed;
    g->decisions = 0;
    g->current = choice;
}

static uint32_t place_of(const edge_governor *g, uint32_t choice) {
    uint32_t k = 0;
    while (k < g->n - 1 && order_of(g)[k] != choice) k++;
    return k;
}

/* Why not a better one. */
static EDGE_SMALL void explain(const edge_governor *g, const limits *l, edge_decision *d) {
    const uint32_t waiting =
        g->mode == FLOOR ? EDGE_NONE : first_fit(g, l, d->met ? d->choice : EDGE_NONE, 1, 1);
    uint32_t place = place_of(g, d->choice);
    d->why = g->mode == FLOOR ? EDGE_WHY_FLOOR : g->mode == SAVER ? EDGE_WHY_SAVER : EDGE_WHY_BEST;
    d->better = EDGE_NONE;
    d->better_p95_ms = d->wait_s = unknown();
    if (waiting != EDGE_NONE && waiting != d->choice) {
        d->why = l->hot ? EDGE_WHY_THROTTLED : EDGE_WHY_WAITS;
        d->better = waiting;
        d->wait_s = larger(larger(until_rise_s(g), g->held_until_s[waiting] - g->time_s), 0);
    } else if (d->missed && g->mode != FLOOR) {
        d->why = EDGE_WHY_MISSED;
    } else if (g->mode == NORMAL) {
        /* One that fits too is no better but for its latency. */
        while (place > 0 && misses(g, l, order_of(g)[place - 1], g->likely_tail, 1) == 0) place--;
        if (place > 0) d->better = order_of(g)[place - 1];
    }
    if (d->better == EDGE_NONE) return;
    d->better_missed = misses(g, l, d->better, g->likely_tail, 1);
    d->better_p95_ms = predicted_ms(g, d->better, g->likely_tail);
}

EDGE_SMALL edge_status edge_governor_decide(edge_governor *g, const edge_budget *budget,
                                            const edge_signals *signals, edge_decision *d) {
    limits l;
    int fresh, failed;
    uint32_t mode, choice, missed;
    if (!is_started(g) || !budget || !signals || !d) return EDGE_ERR_ARGUMENT;
    memset(&l, 0, sizeof l);
    advance(g, signals->now_s);
    l.budget = budget;
    l.rate_hz = learn_rate(g, signals->rate_hz);
    l.hot = signals->throttled == 1 || is_within(signals->thermal_headroom, 1, 10);
    l.free_ram_mb = known_within(signals->free_ram_mb, 0, HUGE_COST);
    l.allowed_mj = unknown();
    mode = mode_of(g, budget, signals);
    l.at_floor = mode == FLOOR;
    fresh = g->current == EDGE_NONE || !is_same_budget(&g->budget, budget) ||
            (mode != g->mode && !(l.hot && mode == NORMAL));
    pace(g, &l, signals);
    g->mode = mode;
    g->budget = *budget;
    if (g->decisions < DWELL_DECISIONS) g->decisions++;

    choice = pick(g, &l, fresh, &failed);
    memset(d, 0, sizeof *d);
    d->switched = g->current != EDGE_NONE && choice != g->current;
    missed = failed ? misses(g, &l, g->current, g->sure_tail, 1) : 0;
    if (choice != g->current) move(g, choice, fresh, failed, missed);
    d->choice = choice;
    d->missed = misses(g, &l, choice, d->switched ? g->likely_tail : g->sure_tail, 1);
    d->met = d->missed == 0;
    g->met = d->met;
    d->predicted_p95_ms = predicted_ms(g, choice, g->likely_tail);
    d->slowdown = g->speed;
    d->allowed_mj = l.allowed_mj;
    d->rate_hz = l.rate_hz;
    d->unpaced = (uint32_t)l.unpaced;
    explain(g, &l, d);
    return EDGE_OK;
}

/* ---- what is learnt ---------------------------------------------------------------------- */

/* Add a value to a window of at most `most`, in place of the oldest if it is full. */
static EDGE_SMALL void push(double *recent, double *sorted, uint32_t *n, uint32_t most,
                            uint32_t *next, double value) {
    uint32_t i = 0;
    if (*n < most)
        i = (*n)++;
    else
        while (i < most - 1 && sorted[i] != recent[*next]) i++;
    for (; i > 0 && sorted[i - 1] > value; i--) sorted[i] = sorted[i - 1];
    for (; i + 1 < *n && sorted[i + 1] < value; i++) sorted[i] = sorted[i + 1];
    sorted[i] = value;
    recent[*next] = value;
    *next = *next + 1 < most ? *next + 1 : 0;
}

/* What a median of the last few must differ by: noise differs less. */
static double least_change(const edge_governor *g, double shape) {
    return larger(CHANGE_LEAST, smaller(CHANGE_MOST, g->likely_tail / shape));
}

static EDGE_SMALL void learn_speed(edge_governor *g, const edge_choice *c, double ratio) {
    const double shape = c->latency_p50_ms / c->latency_p95_ms;
    const double change = least_change(g, shape);
    uint32_t fast_n = FAST, tail_n = TAIL, middle;
    double fast;
    g->shape[g->fast_next] = shape;
    push(g->fast[0], g->fast[1], &fast_n, FAST, &g->fast_next, ratio);
    push(g->slow[0], g->slow[1], &g->slow_n, SLOW, &g->slow_next, ratio);
    fast = g->fast[1][FAST / 2];
    g->speed = g->slow[1][g->slow_n / 2];
    if (fast > g->speed * change || g->speed > fast * change) { /* start anew from the last few */
        memcpy(g->slow[0], g->fast[0], sizeof g->fast[0]);
        memcpy(g->slow[1], g->fast[1], sizeof g->fast[1]);
        g->slow_n = g->slow_next = FAST;
        g->speed = fast;
    }
    if (g->observations < FAST) g->observations++;
    if (g->observations < FAST) return;
    /* The one in the middle of the last 13 has its neighbours on both sides by now. */
    middle = g->fast_next + FAST / 2;
    if (middle >= FAST) middle -= FAST;
    push(g->tail[0], g->tail[1], &tail_n, TAIL, &g->tail_next,
         g->fast[0][middle] / fast * g->shape[middle]);
    g->likely_tail = g->tail[1][TAIL - 4];
    g->sure_tail = g->tail[1][TAIL - 7];
}

/* The choice left for its latency was slow by itself if the device is faster now. */
static EDGE_SMALL void learn_own(edge_governor *g, uint32_t choice) {
    const uint32_t left = g->left;
    double slower;
    if (left == EDGE_NONE || choice != g->current || choice == left) return;
    if (++g->left_seen < FAST) return;
    slower = g->left_speed / g->fast[1][FAST / 2];
    if (slower > OWN_LEAST) {
        g->own[left] = smaller(slower, OWN_MOST);
        g->own_until_s[left] = larger(g->held_until_s[left], g->time_s + g->hold_s[left]);
    }
    g->left = EDGE_NONE;
}

static EDGE_SMALL void learn_energy(edge_governor *g, uint32_t choice, double energy_mj) {
    double *known = &g->energy_mj[choice];
    if (!is_within(energy_mj, 0, HUGE_COST)) energy_mj = *known;
    else *known = is_known(*known) ? *known + (energy_mj - *known) * 0.0625 : energy_mj;
    if (!is_known(energy_mj)) return;
    g->spent_mj =
        is_known(g->spent_mj) ? g->spent_mj + (energy_mj - g->spent_mj) * 0.0625 : energy_mj;
}

EDGE_SMALL edge_status edge_governor_observe(edge_governor *g, uint32_t choice, double latency_ms,
                                             double energy_mj, double now_s) {
    const edge_choice *c;
    if (!is_started(g) || choice >= g->n) return EDGE_ERR_ARGUMENT;
    advance(g, now_s);
    c = &g->choices[choice];
    if (latency_ms > 0 && latency_ms <= HUGE_COST) {
        const double ratio = latency_ms / (c->latency_p50_ms * own(g, choice));
        learn_speed(g, c, larger(smaller(ratio, RATIO_MOST), 1 / RATIO_MOST));
        learn_own(g, choice);
    }
    learn_energy(g, choice, energy_mj);
    g->running = choice;
    return EDGE_OK;
}
