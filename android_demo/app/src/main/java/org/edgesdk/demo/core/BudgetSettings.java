package org.edgesdk.demo.core;

/** What the two sliders of the image screen stand for. */
public final class BudgetSettings {
    /** Places of the latency slider: the last is "no limit". */
    public static final int LATENCY_STEPS = 60;

    private static final double LEAST_MS = 0.02;
    private static final double MOST_MS = 50;

    private static final int[] FLOORS_PCT = {10, 20, 30, 50, 80};
    private static final int[] HOURS = {2, 4, 8, 12, 24};

    /** Places of the battery slider: none, floors, then hours. */
    public static final int BATTERY_STEPS = FLOORS_PCT.length + HOURS.length;

    public final int latencyPlace;
    public final int batteryPlace;

    /** Places outside of a slider count as its nearer end. */
    public BudgetSettings(int latencyPlace, int batteryPlace) {
        this.latencyPlace = Math.max(0, Math.min(LATENCY_STEPS, latencyPlace));
        this.batteryPlace = Math.max(0, Math.min(BATTERY_STEPS, batteryPlace));
    }

    /** No limit and no policy. */
    public static BudgetSettings none() {
        return new BudgetSettings(LATENCY_STEPS, 0);
    }

    /** The limit in ms, from 0.02 to 50 in equal ratios; NaN without one. */
    public double latencyMs() {
        if (latencyPlace == LATENCY_STEPS) {
            return Double.NaN;
        }
        double exact = LEAST_MS * Math.pow(MOST_MS / LEAST_MS,
                latencyPlace / (LATENCY_STEPS - 1.0));
        // Two digits: what is shown is what is asked for.
        double digit = Math.pow(10, Math.floor(Math.log10(exact)) - 1);
        return Math.round(exact / digit) * digit;
    }

    /** The battery level in percent from which on the thriftiest runs; -1 without such a policy. */
    public int floorPct() {
        return batteryPlace >= 1 && batteryPlace <= FLOORS_PCT.length
                ? FLOORS_PCT[batteryPlace - 1] : -1;
    }

    /** The hours the battery has to last; -1 without such a policy. */
    public int hours() {
        return batteryPlace > FLOORS_PCT.length
                ? HOURS[batteryPlace - FLOORS_PCT.length - 1] : -1;
    }

    /** The policy in the words that a budget takes; null for none. */
    public String battery() {
        if (floorPct() >= 0) {
            return floorPct() + " %";
        }
        return hours() >= 0 ? "last " + hours() + " h" : null;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof BudgetSettings
                && ((BudgetSettings) other).latencyPlace == latencyPlace
                && ((BudgetSettings) other).batteryPlace == batteryPlace;
    }

    @Override
    public int hashCode() {
        return 31 * latencyPlace + batteryPlace;
    }
}
