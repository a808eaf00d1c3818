package org.edgesdk;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Picks granularity, thresholds and threads of the next inference, and learns from the last.
 *
 * <p>For one stream of inferences in one thread. Equal inputs from the start on give equal
 * decisions, in C, Python and Java; the rules are in {@code runtime/src/governor.c}. Its state is
 * direct memory of Java's.
 */
public final class Governor implements AutoCloseable {
    private static final int FORMAT = 1;
    private static final double REFRESH_S = 60;
    private static final String[] LIMITS = {"latency_ms", "energy_mj", "memory_mb", "risk",
        "min_accuracy", "battery_floor_pct", "last_until_s"};

    /** The local time of day; for tests. */
    interface Clock {
        long nowMs();
    }

    private final List<Choice> choices;
    private final Appendable log;
    private final Clock clock;
    private final Struct state = new Struct("edge_governor");
    private final Struct limits = new Struct("edge_budget");
    private final Struct signals = new Struct("edge_signals");
    private final Answer answer = new Answer();
    private Budget budget;
    private long endsMs;
    private double endsS;
    private double lookUpS = Double.POSITIVE_INFINITY;
    private volatile boolean closed;

    /**
     * Starts a governor.
     *
     * @param choices The profile; 1 to 32. Where accuracies are unknown, in ascending order.
     * @throws ShapeException No choice, or more than 32.
     */
    public Governor(List<Choice> choices) {
        this(choices, null);
    }

    /**
     * As Governor(choices), with a log.
     *
     * @param log Where lines of JSON go that {@code python -m edge_sdk.governor replay} reads; the
     *     caller closes it.
     * @throws OutputException The log can not be written.
     */
    public Governor(List<Choice> choices, Appendable log) {
        this(choices, log, new Clock() {
            @Override
            public long nowMs() {
                return System.currentTimeMillis();
            }
        });
    }

    Governor(List<Choice> choices, Appendable log, Clock clock) {
        int most = EdgeRuntime.at("EDGE_GOVERNOR_MAX_CHOICES");
        if (choices == null || choices.isEmpty() || choices.size() > most
                || choices.contains(null)) {
            throw new ShapeException("1 to " + most + " choices",
                    choices == null ? "null" : choices.toString(), "`choices`",
                    "leave out those that are never best");
        }
        this.choices = Collections.unmodifiableList(new ArrayList<Choice>(choices));
        this.log = log;
        this.clock = clock;
        int n = this.choices.size();
        int width = EdgeRuntime.at("edge_choice");
        ByteBuffer rows = Memory.allocate((long) n * width, "`choices`");
        for (int i = 0; i < n; i++) {
            Choice choice = this.choices.get(i);
            int row = i * width;
            put(rows, row, "edge_choice.latency_p50_ms", choice.latencyP50Ms);
            put(rows, row, "edge_choice.latency_p95_ms", choice.latencyP95Ms);
            put(rows, row, "edge_choice.energy_mj", choice.energyMj);
            put(rows, row, "edge_choice.accuracy", choice.accuracy);
            put(rows, row, "edge_choice.risk", choice.risk);
            put(rows, row, "edge_choice.ram_mb", choice.ramMb);
        }
        EdgeException.check(start(state.bytes, rows, n), "`choices`");
        if (log != null) {
            List<Object> told = new ArrayList<Object>();
            for (Choice choice : this.choices) {
                told.add(choice.toJson());
            }
            Map<String, Object> head = new LinkedHashMap<String, Object>();
            head.put("edge_governor", FORMAT);
            head.put("version", EdgeRuntime.version());
            head.put("choices", told);
            write(head);
        }
    }

    private static void put(ByteBuffer rows, int row, String field, double value) {
        rows.putDouble(row + EdgeRuntime.at(field), value);
    }

    /** Returns what it chooses among. */
    public List<Choice> choices() {
        return choices;
    }

    /**
     * Returns how to run the next inference: the most accurate choice that fits.
     *
     * <p>If nothing fits, the fastest choice runs, and the decision says that the budget was
     * missed.
     *
     * @param budget A new one is followed at once.
     * @param told What the device says; null: nothing is known but the time.
     */
    public Decision decide(Budget budget, Signals told) {
        open();
        if (budget == null) {
            throw new ShapeException("a budget", "null", "`budget`", "Budget.none()");
        }
        Signals now = told == null ? Signals.now() : told;
        if (budget != this.budget || !(now.nowS < lookUpS)) {
            allow(budget, now.nowS);
        }
        return decideAllowed(budget, now);
    }

    private Decision decideAllowed(Budget budget, Signals now) {
        signals.put("now_s", now.nowS);
        signals.put("battery_pct", now.batteryPct);
        signals.put("energy_left_mj", now.energyLeftMj);
        signals.put("battery_power_mw", now.batteryPowerMw);
        signals.put("thermal_headroom", now.thermalHeadroom);
        signals.put("free_ram_mb", now.freeRamMb);
        signals.put("rate_hz", now.rateHz);
        signals.put("charging", now.charging);
        signals.put("throttled", now.throttled);
        signals.put("power_saver", now.powerSaver);
        EdgeException.check(decideNow(state.bytes, limits.bytes, signals.bytes, answer.bytes),
                "`told`");
        Decision decision = new Decision(answer, choices, budget);
        if (log != null) {
            write(record(now, decision));
        }
        return decision;
    }

    /**
     * As decide(budget, told), but nothing may be missed.
     *
     * @throws BudgetException Nothing fits.
     */
    public Decision decideStrictly(Budget budget, Signals told) {
        Decision decision = decide(budget, told);
        if (!decision.met()) {
            throw new BudgetException("a choice within the budget", decision.reason(), "`budget`",
                    "allow more, or call decide");
        }
        return decision;
    }

    /**
     * Learns from an inference that has run; latencies that are no such thing are ignored.
     *
     * @param energyMj NaN if unknown.
     * @param nowS On the clock of Signals.nowS.
     */
    public void observe(Decision ran, double latencyMs, double energyMj, double nowS) {
        observe(ran == null ? -1 : ran.index(), latencyMs, energyMj, nowS);
    }

    /** As observe(decision, ...), of a choice of this governor by its place. */
    public void observe(int choice, double latencyMs, double energyMj, double nowS) {
        open();
        if (choice < 0 || choice >= choices.size()) {
            throw new ShapeException("a choice of this governor", String.valueOf(choice), "`ran`",
                    "pass the decision");
        }
        EdgeException.check(observeNow(state.bytes, choice, latencyMs, energyMj, nowS), "`ran`");
        if (log != null) {
            Map<String, Object> seen = new LinkedHashMap<String, Object>();
            seen.put("choice", choice);
            seen.put("latency_ms", latencyMs);
            seen.put("energy_mj", energyMj);
            seen.put("now_s", nowS);
            write(Collections.<String, Object>singletonMap("observe", seen));
        }
    }

    /** As observe(decision, ...), at System.nanoTime(), of unknown energy. */
    public void observe(Decision ran, double latencyMs) {
        observe(ran, latencyMs, Double.NaN, System.nanoTime() * 1e-9);
    }

    /** Ends it; everything then throws. */
    @Override
    public void close() {
        closed = true;
    }

    private void open() {
        if (closed) {
            throw new ClosedException("an open Governor", "a closed one", "`this`",
                    "make a new one");
        }
    }

    /** Hands the core a budget, its time of day on the clock of `nowS`. */
    private void allow(Budget next, double nowS) {
        if (next != budget) {
            endsMs = next.endsMs(clock.nowMs());
            endsS = Double.NaN;
        }
        budget = next;
        lookUpS = Double.POSITIVE_INFINITY;
        double now = nowS;
        if (Double.isNaN(now) || Double.isInfinite(now)) { // no time yet: look again next time
            now = Double.NaN;
            lookUpS = Double.NaN;
        }
        if (endsMs >= 0) {
            endsS = now + (endsMs - clock.nowMs()) / 1e3;
            lookUpS = now + REFRESH_S;
        } else if (!Double.isNaN(next.forS) && Double.isNaN(endsS)) {
            endsS = now + next.forS;
        }
        limit(next.latencyMs, next.energyMj, next.memoryMb, next.risk, next.minAccuracy,
                next.floorPct, endsS);
    }

    private void limit(double... values) {
        for (int i = 0; i < values.length; i++) {
            limits.put(LIMITS[i], values[i]);
        }
    }

    /** For tests: limits that no Budget can express, by LIMITS; `budget` is for the words. */
    Decision decide(Budget budget, double[] allowed, Signals told) {
        limit(allowed);
        this.budget = null;
        return decideAllowed(budget, told);
    }

    private Map<String, Object> record(Signals now, Decision decision) {
        Map<String, Object> told = new LinkedHashMap<String, Object>();
        for (String name : LIMITS) {
            told.put(name, limits.real(name));
        }
        told.put("battery_pct", now.batteryPct);
        told.put("energy_left_mj", now.energyLeftMj);
        told.put("battery_power_mw", now.batteryPowerMw);
        told.put("thermal_headroom", now.thermalHeadroom);
        told.put("free_ram_mb", now.freeRamMb);
        told.put("charging", now.charging);
        told.put("throttled", now.throttled);
        told.put("power_saver", now.powerSaver);
        told.put("now_s", now.nowS);
        told.put("rate_hz", now.rateHz);
        Map<String, Object> line = new LinkedHashMap<String, Object>();
        line.put("decide", told);
        line.put("decision", decision.toJson());
        return line;
    }

    private void write(Map<String, Object> line) {
        try {
            log.append(Json.line(line)).append('\n');
        } catch (IOException error) {
            throw new OutputException("room for the log", error.getMessage(), "`log`",
                    "free some space");
        }
    }

    /** A struct of C in direct memory, its fields by name. */
    static class Struct {
        final ByteBuffer bytes;
        private final String type;
        private final Map<String, Integer> places = new LinkedHashMap<String, Integer>();

        Struct(String type) {
            this.type = type;
            bytes = Memory.allocate(EdgeRuntime.value(type), type);
        }

        private int place(String field) {
            Integer place = places.get(field);
            if (place == null) {
                place = EdgeRuntime.at(type + "." + field);
                places.put(field, place);
            }
            return place;
        }

        void put(String field, double value) {
            bytes.putDouble(place(field), value);
        }

        void put(String field, Boolean flag) {
            bytes.putInt(place(field), flag == null ? -1 : flag ? 1 : 0);
        }

        double real(String field) {
            return bytes.getDouble(place(field));
        }

        int number(String field) {
            return bytes.getInt(place(field));
        }
    }

    /** An edge_decision. */
    static final class Answer extends Struct {
        Answer() {
            super("edge_decision");
        }
    }

    private static native int start(ByteBuffer state, ByteBuffer choices, int n);

    private static native int decideNow(ByteBuffer state, ByteBuffer budget, ByteBuffer signals,
                                        ByteBuffer decision);

    private static native int observeNow(ByteBuffer state, int choice, double latencyMs,
                                         double energyMj, double nowS);
}
