package org.edgesdk.demo.core;

import org.edgesdk.Budget;
import org.edgesdk.Cascade;
import org.edgesdk.CodeIndex;
import org.edgesdk.FastGrnn;
import org.edgesdk.Governor;
import org.edgesdk.Level;
import org.edgesdk.Listener;
import org.edgesdk.LogMel;
import org.edgesdk.Signals;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;

/** What is measured: every granularity, cascade and level, decoding, the governor, and speech. */
public final class BenchSuite {
    private static final String IMAGES = "digits.edge";
    private static final String SPEECH = "digits.grnn";
    private static final String CODES = "omniglot.llc";
    private static final int N_DIGITS = 10;
    private static final int N_WORDS = 64;

    private final BenchReport report;
    private final String version;
    private final List<BenchItem> items = new ArrayList<BenchItem>();

    /**
     * Begin a suite.
     *
     * @param version of the core, with its instruction set.
     */
    public BenchSuite(BenchReport report, String version) {
        this.report = report;
        this.version = version;
    }

    /** In the order of the report. */
    public List<BenchItem> items() {
        return Collections.unmodifiableList(items);
    }

    /** Add a bundle's plans, the levels of its cascades, and its governor. */
    public void addImages(ImageSession session) {
        Loaded loaded = session.loaded();
        report.addFile(IMAGES, "bundle", loaded.sha256(), loaded.nBytes(), session.loadMs(),
                "ten digits drawn by code", version);
        report.setEngine(IMAGES, loaded.engine());
        final float[][] digits = new float[N_DIGITS][];
        for (int digit = 0; digit < N_DIGITS; digit++) {
            digits[digit] = SampleDigits.pixels(digit);
        }
        final ImagePlans plans = session.imagePlans();
        for (final String plan : session.plans()) {
            final boolean cascade = session.bundle().cascades().containsKey(plan);
            items.add(new BenchItem(IMAGES, cascade ? "cascade" : "granularity", plan) {
                @Override
                public Map<String, Object> answered() {
                    return cascade ? shares(plans, plan, digits) : null;
                }

                @Override
                public void call(int number) {
                    plans.run(plan, digits[number % N_DIGITS]);
                }
            });
        }
        for (final Level level : levels(session)) {
            final Cascade alone = plans.alone(level);
            items.add(new BenchItem(IMAGES, "level", level.toString()) {
                @Override
                public void call(int number) {
                    plans.run(level.toString(), alone, digits[number % N_DIGITS]);
                }
            });
        }
        items.add(new BenchItem(IMAGES, "method", "picture to pixels") {
            private final Drawing[] drawings = new Drawing[N_DIGITS];

            @Override
            public void call(int number) throws DigitPicture.NoInkException {
                int digit = number % N_DIGITS;
                if (drawings[digit] == null) {
                    drawings[digit] = SampleDigits.drawing(digit);
                }
                drawings[digit].pixels();
            }
        });
        addGovernor(session.newGovernor());
    }

    private static Map<String, Object> shares(ImagePlans plans, String plan, float[][] digits) {
        List<Level> levels = plans.cascade(plan).levels();
        int[] counts = new int[levels.size()];
        for (float[] digit : digits) {
            counts[plans.run(plan, digit).place]++;
        }
        Map<String, Object> shares = new LinkedHashMap<String, Object>();
        for (int i = 0; i < counts.length; i++) {
            shares.put(levels.get(i).toString(), (double) counts[i] / digits.length);
        }
        return shares;
    }

    /** The levels of all cascades that are no plans by themselves. */
    private static List<Level> levels(ImageSession session) {
        List<Level> found = new ArrayList<Level>();
        Set<String> names = new LinkedHashSet<String>();
        for (Cascade cascade : session.bundle().cascades().values()) {
            for (Level level : cascade.levels()) {
                if (level.dim != session.bundle().head().dim() && names.add(level.toString())) {
                    found.add(level);
                }
            }
        }
        return found;
    }

    private void addGovernor(final Governor governor) {
        if (governor == null) {
            return;
        }
        final Budget budget = Budget.none().withLatencyMs(1);
        final Signals signals = new Signals();
        items.add(new BenchItem(IMAGES, "method", "governor decision") {
            @Override
            public void call(int number) {
                signals.nowS = number * 0.1;
                governor.decide(budget, signals);
            }
        });
    }

    /** Add every decoder, of words and scores that are drawn at random: few are any class's. */
    public void addCodes(CodesFile codes) {
        final CodeIndex index = codes.index;
        report.addFile(CODES, "artifact", codes.sha256, codes.nBytes, codes.loadMs,
                N_WORDS + " random words of " + index.bits() + " bits among " + index.size(),
                version);
        final long[] words = new long[N_WORDS];
        final float[] scores = new float[N_WORDS * index.bits()];
        Random random = new Random(0);
        for (int i = 0; i < N_WORDS; i++) {
            words[i] = random.nextLong() >>> 64 - index.bits();
        }
        for (int i = 0; i < scores.length; i++) {
            scores[i] = (float) random.nextGaussian();
        }
        items.add(new BenchItem(CODES, "method", "nearest of 64 words") {
            @Override
            public void call(int number) {
                index.nearest(words);
            }
        });
        items.add(new BenchItem(CODES, "method", "exact of 64 words") {
            @Override
            public void call(int number) {
                index.decodeEd(words);
            }
        });
        items.add(new BenchItem(CODES, "method", "ordered of 64 words") {
            @Override
            public void call(int number) {
                index.decodeOrd(scores);
            }
        });
    }

    /** Add a frame of log-mel, a frame of the cell, and a second of all of it. */
    public void addSpeech(final SpeechModel model) {
        report.addFile(SPEECH, "grnn", model.sha256, model.nBytes, model.loadMs,
                "noise of an even loudness", version);
        final short[] second = new short[model.config.rateHz];
        Random random = new Random(0);
        for (int i = 0; i < second.length; i++) {
            second[i] = (short) (random.nextGaussian() * 1000);
        }
        items.add(new BenchItem(SPEECH, "method", "log-mel frame") {
            private final LogMel front = new LogMel(model.config);

            @Override
            public void call(int number) {
                int hop = model.config.hop();
                front.push(second, number % (second.length / hop) * hop, hop);
            }
        });
        items.add(new BenchItem(SPEECH, "method", "cell frame") {
            private final FastGrnn.Stream stream = model.cell.stream();
            private final float[] frame = new float[model.cell.nInputs()];
            private final float[] logits = new float[model.cell.nClasses()];

            @Override
            public void call(int number) {
                stream.push(frame, logits);
            }
        });
        items.add(new BenchItem(SPEECH, "method", "a second of sound") {
            private final Listener listener = new Listener(model.cell);

            @Override
            public void call(int number) {
                listener.push(second);
            }
        });
    }
}
