package org.edgesdk.demo.core;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** What a list of measurements says, by the rules of edge_sdk/bench/stats.py. */
public final class Quantiles {
    /** The percentiles that are told. */
    static final int[] PERCENTS = {1, 5, 10, 25, 50, 75, 90, 95, 99};

    /** A quantile is told if so many samples lie beyond it, or it is the median. */
    static final int TAIL = 5;

    public final int n;
    public final double mean;
    public final double min;
    private final double[] sorted;

    /**
     * Summarise.
     *
     * @param values one or more numbers, in any order; not changed.
     * @throws IllegalArgumentException there is none, or one is no number.
     */
    public Quantiles(double[] values) {
        sorted = values.clone();
        Arrays.sort(sorted);
        if (sorted.length == 0 || Double.isNaN(sorted[sorted.length - 1])) {
            throw new IllegalArgumentException("expected one number or more, got "
                    + (sorted.length == 0 ? "none" : "NaN"));
        }
        double sum = 0;
        for (double value : sorted) {
            sum += value;
        }
        n = sorted.length;
        mean = sum / n;
        min = sorted[0];
    }

    /** A percentile by linear interpolation, as numpy.percentile; 0 to 100. */
    public double at(int percent) {
        double place = percent / 100.0 * (n - 1);
        int low = (int) place;
        int high = Math.min(low + 1, n - 1);
        return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
    }

    /** As {@link #at}, but NaN where too few samples lie beyond. */
    public double told(int percent) {
        double beyond = n * Math.min(percent, 100 - percent) / 100.0;
        return percent == 50 || beyond >= TAIL ? at(percent) : Double.NaN;
    }

    /** What is told, by percent. */
    Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<String, Object>();
        for (int percent : PERCENTS) {
            map.put(Integer.toString(percent), told(percent));
        }
        return map;
    }
}
