package org.edgesdk;

import java.util.Calendar;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What an inference may cost; NaN, or null, where there is no limit. Immutable.
 *
 * <p>{@code Budget.none().withLatencyMs(30).withBattery("last until 18:00")}
 */
public final class Budget {
    private static final String FORMS =
            "battery=\"last until 18:00\", \"last 6 h\", \"last 90 min\" or \"20 %\"";
    private static final Pattern UNTIL = Pattern.compile("last\\s+until\\s+(\\d{1,2}):(\\d{2})");
    private static final Pattern FOR =
            Pattern.compile("last\\s+(\\d+(?:\\.\\d+)?)\\s*(s|min|h)");
    private static final Pattern FLOOR = Pattern.compile("(\\d+(?:\\.\\d+)?)\\s*%");
    private static final double YEAR_S = 366 * 86400.0;
    private static final Budget NONE = new Budget(Double.NaN, Double.NaN, Double.NaN, Double.NaN,
            Double.NaN, null);

    /** Of the 95th percentile. */
    public final double latencyMs;
    /** Of an inference. */
    public final double energyMj;
    /** Of RAM. */
    public final double memoryMb;
    /** Of a cascade's early answer being another than the full model's, 0 to 1. */
    public final double risk;
    /** 0 to 1. */
    public final double minAccuracy;
    /** "last until 18:00", "last 6 h", "last 90 min" or "20 %"; null for none. */
    public final String battery;

    final double floorPct;
    final double forS;
    private final int untilHour;
    private final int untilMinute;

    private Budget(double latencyMs, double energyMj, double memoryMb, double risk,
                   double minAccuracy, String battery) {
        this.latencyMs = positive(latencyMs, "latencyMs");
        this.energyMj = positive(energyMj, "energyMj");
        this.memoryMb = positive(memoryMb, "memoryMb");
        this.risk = within(risk, 1, "risk", "NaN is no limit");
        this.minAccuracy = within(minAccuracy, 1, "minAccuracy", "NaN is no limit");
        this.battery = battery;
        double floor = Double.NaN;
        double length = Double.NaN;
        int hour = -1;
        int minute = 0;
        if (battery != null) {
            String text = battery.trim().toLowerCase(Locale.ROOT);
            Matcher until = UNTIL.matcher(text);
            Matcher lasting = FOR.matcher(text);
            Matcher least = FLOOR.matcher(text);
            if (until.matches() && Integer.parseInt(until.group(1)) < 24
                    && Integer.parseInt(until.group(2)) < 60) {
                hour = Integer.parseInt(until.group(1));
                minute = Integer.parseInt(until.group(2));
            } else if (lasting.matches() && seconds(lasting) > 0 && seconds(lasting) <= YEAR_S) {
                length = seconds(lasting);
            } else if (least.matches()) {
                floor = within(Double.parseDouble(least.group(1)), 100, "battery", FORMS);
            } else {
                throw new BudgetException("a battery policy", "'" + battery + "'", "`battery`",
                        FORMS);
            }
        }
        floorPct = floor;
        forS = length;
        untilHour = hour;
        untilMinute = minute;
    }

    /** Returns a budget without limits. */
    public static Budget none() {
        return NONE;
    }

    /** Returns this budget with a latency that the 95th percentile must keep; NaN for none. */
    public Budget withLatencyMs(double value) {
        return new Budget(value, energyMj, memoryMb, risk, minAccuracy, battery);
    }

    /** Returns this budget with a limit on an inference's energy; NaN for none. */
    public Budget withEnergyMj(double value) {
        return new Budget(latencyMs, value, memoryMb, risk, minAccuracy, battery);
    }

    /** Returns this budget with a limit on RAM; NaN for none. */
    public Budget withMemoryMb(double value) {
        return new Budget(latencyMs, energyMj, value, risk, minAccuracy, battery);
    }

    /** Returns this budget with a limit on a cascade's risk; NaN for none. */
    public Budget withRisk(double value) {
        return new Budget(latencyMs, energyMj, memoryMb, value, minAccuracy, battery);
    }

    /** Returns this budget with a least accuracy; NaN for none. */
    public Budget withMinAccuracy(double value) {
        return new Budget(latencyMs, energyMj, memoryMb, risk, value, battery);
    }

    /**
     * Returns this budget with a battery policy; null for none.
     *
     * @throws BudgetException It is of none of the forms that `battery` names.
     */
    public Budget withBattery(String policy) {
        return new Budget(latencyMs, energyMj, memoryMb, risk, minAccuracy, policy);
    }

    /** Returns the next such time of day after `nowMs`, in ms; -1 if none is named. */
    long endsMs(long nowMs) {
        if (untilHour < 0) {
            return -1;
        }
        Calendar end = Calendar.getInstance();
        end.setTimeInMillis(nowMs);
        end.set(Calendar.HOUR_OF_DAY, untilHour);
        end.set(Calendar.MINUTE, untilMinute);
        end.set(Calendar.SECOND, 0);
        end.set(Calendar.MILLISECOND, 0);
        if (end.getTimeInMillis() <= nowMs) {
            end.add(Calendar.DATE, 1);
        }
        return end.getTimeInMillis();
    }

    private static double seconds(Matcher lasting) {
        double unit = lasting.group(2).equals("s") ? 1 : lasting.group(2).equals("h") ? 3600 : 60;
        return Double.parseDouble(lasting.group(1)) * unit;
    }

    private static double positive(double value, String name) {
        if (value <= 0 || Double.isInfinite(value)) {
            throw new BudgetException("a number above 0", String.valueOf(value), "`" + name + "`",
                    "NaN is no limit");
        }
        return value;
    }

    private static double within(double value, double most, String name, String hint) {
        if (value < 0 || value > most) {
            throw new BudgetException("a number from 0 to " + Words.general(most, 6),
                    String.valueOf(value), "`" + name + "`", hint);
        }
        return value;
    }
}
