package org.edgesdk.demo.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/**
 * Times items: the first call of each, a warm-up until the latency settles, then rounds in which
 * the items take turns in random order, so that a slow spell of the device meets them all.
 */
public final class BenchRunner {
    /** Nanoseconds that do not go back. */
    public interface Clock {
        long nanos();
    }

    /** Told what is being done, and asked whether to go on. */
    public interface Watch {
        void at(String name, int done, int ofAll);

        boolean isCancelled();
    }

    /** The user has cancelled. */
    public static final class CancelledException extends Exception {
        private static final long serialVersionUID = 1L;
    }

    /** A shorter sample is the mean of several calls: reading the clock must not count. */
    private static final double LEAST_SAMPLE_MS = 0.05;
    private static final int MOST_CALLS = 1000;
    private static final int BLOCK = 5;
    private static final int MOST_BLOCKS = 40;
    private static final double SETTLED = 0.05;

    private final Clock clock;
    private final Watch watch;

    public BenchRunner(Clock clock, Watch watch) {
        this.clock = clock;
        this.watch = watch;
    }

    /** With the system's clock. */
    public BenchRunner(Watch watch) {
        this(new Clock() {
            @Override
            public long nanos() {
                return System.nanoTime();
            }
        }, watch);
    }

    /**
     * Measure items.
     *
     * @param rounds  1 or more.
     * @param samples of each item in each round, 1 or more.
     * @param seed    of the turns.
     * @return a row for each item, in their order.
     * @throws CancelledException when asked to stop.
     * @throws Exception          whatever an item throws.
     */
    public List<BenchRow> measure(List<BenchItem> items, int rounds, int samples, long seed)
            throws Exception {
        List<Timed> all = new ArrayList<Timed>();
        for (BenchItem item : items) {
            watch.at(item.name, 0, rounds);
            all.add(new Timed(item));
        }
        List<Timed> turns = new ArrayList<Timed>(all);
        Random random = new Random(seed);
        for (int round = 0; round < rounds; round++) {
            Collections.shuffle(turns, random);
            for (Timed timed : turns) {
                watch.at(timed.item.name, round + 1, rounds);
                timed.round(samples);
            }
        }
        List<BenchRow> rows = new ArrayList<BenchRow>();
        for (Timed timed : all) {
            rows.add(new BenchRow(timed.item, timed.firstMs, timed.calls, timed.rounds));
        }
        return rows;
    }

    /** An item with its samples so far. */
    private final class Timed {
        final BenchItem item;
        final double firstMs;
        final int calls;
        final List<double[]> rounds = new ArrayList<double[]>();
        private int number;

        Timed(BenchItem item) throws Exception {
            this.item = item;
            firstMs = sample(1);
            double settledMs = warmUp();
            calls = (int) Math.max(1, Math.min(MOST_CALLS,
                    Math.ceil(LEAST_SAMPLE_MS / Math.max(settledMs, 1e-6))));
        }

        /** Run blocks until the median falls no more, and return the last one's. */
        private double warmUp() throws Exception {
            double before = Double.MAX_VALUE;
            for (int block = 0; ; block++) {
                double[] taken = new double[BLOCK];
                for (int i = 0; i < BLOCK; i++) {
                    taken[i] = sample(1);
                }
                double median = new Quantiles(taken).at(50);
                if (median >= before * (1 - SETTLED) || block == MOST_BLOCKS) {
                    return median;
                }
                before = median;
            }
        }

        void round(int samples) throws Exception {
            double[] taken = new double[samples];
            for (int i = 0; i < samples; i++) {
                taken[i] = sample(calls);
            }
            rounds.add(taken);
        }

        private double sample(int n) throws Exception {
            if (watch.isCancelled()) {
                throw new CancelledException();
            }
            long start = clock.nanos();
            for (int i = 0; i < n; i++) {
                item.call(number++);
            }
            // A clock that stood still has ticked at most once.
            return Math.max(clock.nanos() - start, 1) / 1e6 / n;
        }
    }
}
