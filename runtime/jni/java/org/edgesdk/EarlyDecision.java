package org.edgesdk;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * When to stop listening: {@code edge_sdk/fastgrnn/early.py}, without the fitting.
 *
 * <p>At certain frames the largest softmax probability is compared with a threshold; the first
 * one above it decides. A sequence that ends first is decided by its last frame.
 */
public final class EarlyDecision {
    private final Map<Integer, Double> thresholds;

    private EarlyDecision(Map<Integer, Double> thresholds) {
        this.thresholds = Collections.unmodifiableMap(thresholds);
    }

    /** Returns a rule that decides at the end alone. */
    public static EarlyDecision atTheEnd() {
        return new EarlyDecision(new LinkedHashMap<Integer, Double>());
    }

    /**
     * Returns the rule that {@code EarlyDecision.to_dict} stored.
     *
     * @throws FormatException It is none.
     */
    public static EarlyDecision fromJson(String json) {
        return fromJson(Json.object(Json.parse(json, "early"), "early"), "early");
    }

    static EarlyDecision fromJson(Map<String, Object> stored, String where) {
        String signal = Json.string(Json.member(stored, "signal", where), where);
        if (!signal.equals("max_softmax")) {
            throw wrong("signal " + signal, where);
        }
        List<Object> frames = Json.list(Json.member(stored, "frames", where), where);
        List<Object> limits = Json.list(Json.member(stored, "thresholds", where), where);
        Map<Integer, Double> found = new LinkedHashMap<Integer, Double>();
        int before = 0;
        for (int i = 0; i < frames.size(); i++) {
            int frame = Json.small(frames.get(i), where);
            double limit = i < limits.size() ? Json.number(limits.get(i), where) : -1;
            if (frame <= before || !(limit >= 0 && limit < 1 && (float) limit == limit)
                    || limits.size() != frames.size()) {
                throw wrong(Json.canonical(frames) + " and " + Json.canonical(limits), where);
            }
            found.put(frame, limit);
            before = frame;
        }
        if (limits.size() != frames.size()) {
            throw wrong(Json.canonical(frames) + " and " + Json.canonical(limits), where);
        }
        return new EarlyDecision(found);
    }

    private static FormatException wrong(String got, String where) {
        return new FormatException("a stored early decision", got, where,
                "write it with EarlyDecision.to_dict");
    }

    /** Returns what decides one sequence after the other. */
    public Decider stream() {
        return new Decider(thresholds);
    }

    /** What a sequence was taken for. */
    public static final class Decided {
        /** Class; of equal logits the lowest. */
        public final int id;
        /** Frames heard until then. */
        public final int frame;
        /** The largest softmax probability. */
        public final float confidence;
        /** Above a threshold; false where the sequence ended first. */
        public final boolean sure;

        Decided(int id, int frame, float confidence, boolean sure) {
            this.id = id;
            this.frame = frame;
            this.confidence = confidence;
            this.sure = sure;
        }
    }

    /** Decides sequences frame by frame; for one thread. */
    public static final class Decider {
        private final Map<Integer, Double> thresholds;
        private Decided decision;
        private int frame;
        private float[] last;

        private Decider(Map<Integer, Double> thresholds) {
            this.thresholds = thresholds;
        }

        /** Begins a new sequence. */
        public void reset() {
            decision = null;
            frame = 0;
            last = null;
        }

        /** Returns this sequence's decision, if there is one yet, else null. */
        public Decided decision() {
            return decision;
        }

        /**
         * Returns a decision once, when one falls with the logits after one more frame, else null.
         *
         * @throws ShapeException Another number of logits, or at a checkpoint NaN.
         */
        public Decided push(float[] logits) {
            if (logits == null || logits.length == 0
                    || last != null && last.length != logits.length) {
                throw new ShapeException("logits after one frame",
                        logits == null ? "null" : String.valueOf(logits.length), "`logits`",
                        "push them frame by frame");
            }
            frame++;
            last = logits.clone();
            Double threshold = thresholds.get(frame);
            if (decision == null && threshold != null) {
                Decided answer = decide(true);
                if (answer.confidence > threshold) {
                    decision = answer;
                    return answer;
                }
            }
            return null;
        }

        /**
         * Returns this sequence's decision: the early one, or else by its last frame.
         *
         * @throws ShapeException There was no frame, or the last one's logits hold NaN.
         */
        public Decided finish() {
            if (last == null) {
                throw new ShapeException("a frame or more", "none", "`push`",
                        "a sequence of length 0 has no answer");
            }
            if (decision == null) {
                decision = decide(false);
            }
            return decision;
        }

        private Decided decide(boolean sure) {
            int id = 0;
            for (int i = 0; i < last.length; i++) {
                if (last[i] != last[i]) {
                    throw new ShapeException("logits with a finite largest one in each row",
                            "NaN or infinity", "`logits`", "look where the model makes NaN");
                }
                if (last[i] > last[id]) {
                    id = i;
                }
            }
            if (Float.isInfinite(last[id])) {
                throw new ShapeException("logits with a finite largest one in each row",
                        "NaN or infinity", "`logits`", "look where the model makes NaN");
            }
            return new Decided(id, frame, largest(id), sure);
        }

        /** Returns the largest softmax probability: its power is 1. */
        private float largest(int id) {
            double sum = 0;
            for (float logit : last) {
                sum += StrictMath.exp((double) logit - (double) last[id]);
            }
            return (float) (1.0 / sum);
        }
    }
}
