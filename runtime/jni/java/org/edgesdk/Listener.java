package org.edgesdk;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Samples in, words out: {@code edge_sdk/listen.py}.
 *
 * <p>Samples become log-mel frames, a gate cuts words out of the silence between them, a FastGRNN
 * reads a word frame by frame, and its answer comes when it is sure, or else at the word's end.
 * All of it in memory that does not grow. For one thread.
 */
public final class Listener implements AutoCloseable {
    /** Samples that are turned into frames at once, however many are pushed. */
    private static final int BLOCK = 4096;

    /** A word. */
    public static final class Heard {
        /** When it began, in seconds from the start of the stream. */
        public final double startS;
        /** How much of the stream had been heard when it was decided. */
        public final double decidedS;
        /** Class. */
        public final int id;
        /** Its name. */
        public final String label;
        /** The largest softmax probability. */
        public final float confidence;
        /** Decided before its end. */
        public final boolean sure;

        Heard(double startS, double decidedS, String label, EarlyDecision.Decided decided) {
            this.startS = startS;
            this.decidedS = decidedS;
            this.label = label;
            id = decided.id;
            confidence = decided.confidence;
            sure = decided.sure;
        }

        /** Returns the line that {@code python -m edge_sdk.listen} prints. */
        @Override
        public String toString() {
            StringBuilder seconds = new StringBuilder(Words.fixed(startS, 2));
            while (seconds.length() < 6) {
                seconds.insert(0, ' ');
            }
            return seconds + " s  " + label + "  " + Words.fixed(confidence, 2);
        }
    }

    private final LogMelConfig config;
    private final List<String> labels;
    private final LogMel front;
    private final Gate gate;
    private final FastGrnn.Stream stream;
    private final EarlyDecision.Decider decider;
    private final float[] features;
    private boolean told;

    /** Begins a stream that decides as the model's file says, with the usual gate. */
    public Listener(FastGrnn model) {
        this(model, model == null ? null : model.early(), null);
    }

    /**
     * Begins a stream.
     *
     * @param model Of log-mel features: its preprocessing says which.
     * @param early When to decide before a word ends; null: at the end alone.
     * @param gate What is a word; null: as usual.
     * @throws UnsupportedModelException The model's features are not log-mel.
     */
    public Listener(FastGrnn model, EarlyDecision early, GateConfig gate) {
        if (model == null) {
            throw new ShapeException("a model", "null", "`model`", "FastGrnn.open");
        }
        config = model.logMel();
        if (config == null) {
            throw new UnsupportedModelException("a model of log-mel features",
                    "one of " + (model.preprocessingContent().isEmpty() ? "unknown features"
                    : model.preprocessingContent().keySet()), "`model`",
                    "its preprocessing names its front end");
        }
        if (config.nBands != model.nInputs()) {
            throw new UnsupportedModelException(model.nInputs() + " bands, the model's inputs",
                    String.valueOf(config.nBands), "`model`",
                    "its preprocessing is of another model");
        }
        labels = model.labels();
        front = new LogMel(config);
        this.gate = new Gate(config.nBands, config.floorLog2, gate);
        stream = model.stream();
        decider = (early == null ? EarlyDecision.atTheEnd() : early).stream();
        features = new float[config.nBands];
    }

    /** Returns the front end. */
    public LogMelConfig config() {
        return config;
    }

    /** Returns whether a word is being heard. */
    public boolean isHearing() {
        return gate.isOpen();
    }

    /** Takes samples of one channel; returns the words that they decide. */
    public List<Heard> push(short[] samples) {
        return push(samples, 0, samples == null ? 0 : samples.length);
    }

    /** As push(samples), of `n` samples from `begin` on. */
    public List<Heard> push(short[] samples, int begin, int n) {
        List<Heard> heard = new ArrayList<Heard>();
        int done = 0;
        do {
            int block = Math.min(BLOCK, n - done);
            short[] frames = front.push(samples, begin + done, block);
            for (int i = 0; i < frames.length; i += config.nBands) {
                take(gate.push(Arrays.copyOfRange(frames, i, i + config.nBands)), heard);
            }
            done += block;
        } while (done < n);
        return heard;
    }

    /** Returns the word that the stream's end cut off, if any, and begins a new stream. */
    public List<Heard> finish() {
        List<Heard> heard = new ArrayList<Heard>();
        if (gate.isOpen()) {
            tell(heard);
        }
        front.reset();
        gate.reset();
        return heard;
    }

    /** Ends it; push then throws. The model stays open. */
    @Override
    public void close() {
        front.close();
        stream.close();
    }

    private void take(Gate.Cut cut, List<Heard> heard) {
        if (cut.begins) {
            stream.reset();
            decider.reset();
            told = false;
        }
        for (short[] frame : cut.frames) {
            for (int i = 0; i < features.length; i++) {
                features[i] = (float) frame[i] / (1 << LogMelConfig.FEATURE_BITS);
            }
            decider.push(stream.push(features));
        }
        if (cut.dropped) {
            told = true;
        }
        // A decision waits until the gate knows that this is no noise.
        if (cut.ends || decider.decision() != null && gate.isSettled()) {
            tell(heard);
        }
    }

    /** Adds a word once. */
    private void tell(List<Heard> heard) {
        if (told) {
            return;
        }
        EarlyDecision.Decided decided = decider.finish();
        told = true;
        double second = config.rateHz;
        heard.add(new Heard((double) gate.began() * config.hop() / second,
                ((double) (gate.frame() - 1) * config.hop() + config.window()) / second,
                decided.id < labels.size() ? labels.get(decided.id) : String.valueOf(decided.id),
                decided));
    }
}
