package org.edgesdk.demo.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** What one item took, in ms a call. */
public final class BenchRow {
    public final BenchItem item;
    public final double firstMs;
    public final int callsPerSample;
    public final Quantiles ms;
    private final List<Object> roundsMs;

    BenchRow(BenchItem item, double firstMs, int callsPerSample, List<double[]> rounds) {
        this.item = item;
        this.firstMs = firstMs;
        this.callsPerSample = callsPerSample;
        roundsMs = new ArrayList<Object>();
        double[] all = new double[0];
        for (double[] round : rounds) {
            roundsMs.add(new Quantiles(round).at(50));
            int before = all.length;
            all = Arrays.copyOf(all, before + round.length);
            System.arraycopy(round, 0, all, before, round.length);
        }
        ms = new Quantiles(all);
    }

    /** The row in the form of edge_sdk/bench/result.py: one pass of several rounds. */
    Map<String, Object> toMap() {
        Map<String, Object> row = new LinkedHashMap<String, Object>();
        row.put("name", item.name);
        row.put("kind", item.kind);
        row.put("frames", null);
        row.put("first_ms", firstMs);
        row.put("n", ms.n);
        row.put("calls_per_sample", callsPerSample);
        row.put("mean_ms", ms.mean);
        row.put("min_ms", ms.min);
        row.put("quantiles_ms", ms.toMap());
        row.put("rounds_ms", Collections.singletonList(roundsMs));
        row.put("energy_mj", null);
        row.put("energy_source", "no counter that an app may read");
        row.put("answered", item.answered());
        return row;
    }

    /** One aligned line; {@link #heading} names its columns. */
    public String line() {
        return String.format(Locale.ROOT, "%-22s %9s %9s %9s %9s %6d", item.name, number(ms.at(50)),
                number(ms.told(90)), number(ms.told(99)), number(firstMs), ms.n);
    }

    /** The columns' names. */
    public static String heading() {
        return String.format(Locale.ROOT, "%-24s %9s %9s %9s %9s %6s", "ms a call", "p50",
                "p90", "p99", "first", "n");
    }

    private static String number(double value) {
        return Double.isNaN(value) ? "-" : String.format(Locale.ROOT, "%.4f", value);
    }
}
