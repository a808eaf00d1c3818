package org.edgesdk;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The cheapest level that is sure of its answer gives it: {@code edge_sdk/cascade/cascade.py}.
 *
 * <p>Dims of one granularity are prefixes of one embedding and are evaluated in one call of the
 * core; a larger granularity runs the model again, and only if the smaller one was not sure.
 * Immutable; several threads may share a cascade. Source: Kusupati et al. 2022
 * (arXiv:2205.13147), adaptive classification.
 */
public final class Cascade {
    /** The signals, those of the core first, by their number there less 1. */
    public static final List<String> SIGNALS = Collections.unmodifiableList(
            Arrays.asList("max_softmax", "margin", "entropy", "llc_margin"));

    private static final String LLC = "llc_margin";

    private static final class At {
        static final int VERDICT = EdgeRuntime.at("edge_verdict");
        static final int ID = EdgeRuntime.at("edge_verdict.id");
        static final int STEP = EdgeRuntime.at("edge_verdict.step");
        static final int CONFIDENCE = EdgeRuntime.at("edge_verdict.confidence");
        static final int SURE = EdgeRuntime.at("edge_verdict.sure");
        static final int INTERPOLATE = EdgeRuntime.at("EDGE_MRL_INTERPOLATE");
        static final int AGREE = EdgeRuntime.at("EDGE_MRL_AGREE");
    }

    /** The levels of one granularity, as the core takes them. */
    private static final class Group {
        final String granularity;
        final int first;
        final ByteBuffer steps;

        Group(String granularity, int first, ByteBuffer steps) {
            this.granularity = granularity;
            this.first = first;
            this.steps = steps;
        }
    }

    private final Head head;
    private final List<Level> levels;
    private final float[] thresholds;
    private final String signal;
    private final CodeSignal codes;
    private final int flags;
    private final List<Group> groups = new ArrayList<Group>();
    private final Scratch.Pool pool = new Scratch.Pool();

    /**
     * Makes a cascade with thresholds that are known; Python's Cascade.learn finds them.
     *
     * @param head The Matryoshka head of all granularities.
     * @param levels In the order they are tried.
     * @param thresholds One for each level but the last; infinity where no input leaves.
     * @param signal What confidence is, one of SIGNALS.
     * @param agree An answer counts only if the level before gave the same class.
     * @param interpolate Dims between the trained ones are allowed (tied heads only).
     * @param codes For the signal "llc_margin" and for no other; else null.
     * @throws ShapeException The parts do not fit one another.
     */
    public Cascade(Head head, List<Level> levels, float[] thresholds, String signal, boolean agree,
                   boolean interpolate, CodeSignal codes) {
        if (head == null || levels == null || levels.isEmpty() || levels.contains(null)) {
            throw new ShapeException("a head and one level at least", "none", "`levels`",
                    "new Level(\"S\", 64)");
        }
        this.head = head;
        this.levels = Collections.unmodifiableList(new ArrayList<Level>(levels));
        this.thresholds = checked(thresholds, levels.size());
        this.signal = signal;
        this.codes = codes;
        flags = (agree ? At.AGREE : 0) | (interpolate ? At.INTERPOLATE : 0);
        checkSignal(agree);
        group(interpolate);
    }

    /**
     * Returns the cascade that Python's {@code Cascade.to_dict} stored as JSON.
     *
     * @param codes For cascades of the signal "llc_margin"; ignored by others.
     * @throws FormatException It is none.
     * @throws ShapeException It does not fit the head.
     */
    public static Cascade fromJson(String json, Head head, CodeSignal codes) {
        return fromJson(Json.object(Json.parse(json, "cascade"), "cascade"), head, codes,
                "cascade");
    }

    static Cascade fromJson(Map<String, Object> stored, Head head, CodeSignal codes,
                            String where) {
        List<Level> levels = new ArrayList<Level>();
        for (Object entry : Json.list(Json.member(stored, "levels", where), where)) {
            List<Object> pair = Json.list(entry, where);
            if (pair.size() != 2) {
                throw new FormatException("a level: granularity and dim", Json.canonical(pair),
                        where, "write it with Cascade.to_dict");
            }
            levels.add(new Level(Json.string(pair.get(0), where), Json.small(pair.get(1), where)));
        }
        List<Object> limits = Json.list(Json.member(stored, "thresholds", where), where);
        float[] thresholds = new float[limits.size()];
        for (int i = 0; i < thresholds.length; i++) {
            thresholds[i] = threshold(limits.get(i), where);
        }
        String signal = Json.string(Json.member(stored, "signal", where), where);
        Json.object(Json.member(stored, "provenance", where), where);
        return new Cascade(head, levels, thresholds, signal,
                Json.truth(Json.member(stored, "agree", where), where),
                Json.truth(Json.member(stored, "interpolate", where), where),
                signal.equals(LLC) ? codes : null);
    }

    /** JSON has no infinities: they are words. */
    private static float threshold(Object value, String where) {
        if (value instanceof String) {
            String word = (String) value;
            if (!word.equals("inf") && !word.equals("-inf")) {
                throw new FormatException("a threshold", word, where,
                        "write it with Cascade.to_dict");
            }
            return word.equals("inf") ? Float.POSITIVE_INFINITY : Float.NEGATIVE_INFINITY;
        }
        return (float) Json.number(value, where);
    }

    private static float[] checked(float[] thresholds, int nLevels) {
        if (thresholds == null || thresholds.length != nLevels - 1) {
            throw new ShapeException((nLevels - 1) + " thresholds, one for each level but the last",
                    thresholds == null ? "null" : String.valueOf(thresholds.length),
                    "`thresholds`", "the last level always answers and has none");
        }
        for (float threshold : thresholds) {
            if (threshold != threshold) {
                throw new ShapeException("thresholds without NaN", Arrays.toString(thresholds),
                        "`thresholds`", "infinity means that no input leaves at that level");
            }
        }
        return thresholds.clone();
    }

    private void checkSignal(boolean agree) {
        if (!SIGNALS.contains(signal)) {
            throw new ShapeException("one of the signals " + SIGNALS, String.valueOf(signal),
                    "`signal`", "max_softmax is the published one");
        }
        if (signal.equals(LLC) != (codes != null)) {
            throw new ShapeException("class codes for the signal llc_margin, and for no other",
                    "signal " + signal, "`codes`", "new CodeSignal(index, project)");
        }
        if (codes != null && agree) {
            throw new ShapeException("`agree` with a signal of the head", signal, "`agree`",
                    "leave one of them out");
        }
    }

    private void group(boolean interpolate) {
        Set<String> seen = new HashSet<String>();
        int first = 0;
        while (first < levels.size()) {
            String granularity = levels.get(first).granularity;
            int end = first;
            while (end < levels.size() && levels.get(end).granularity.equals(granularity)) {
                checkDim(levels.get(end).dim, interpolate);
                if (end > first && levels.get(end).dim <= levels.get(end - 1).dim
                        || end > first && codes != null) {
                    throw new ShapeException(codes != null
                            ? "one dim for each granularity with llc_margin"
                            : "each granularity once, with dims that grow", levels.toString(),
                            "`levels`", "S/32, S/64, XL/192");
                }
                end++;
            }
            if (!seen.add(granularity)) {
                throw new ShapeException("each granularity once, with dims that grow",
                        levels.toString(), "`levels`", "S/32, S/64, XL/192");
            }
            int[] dims = new int[end - first];
            float[] limits = new float[end - first];
            for (int i = 0; i < dims.length; i++) {
                dims[i] = levels.get(first + i).dim;
                limits[i] = threshold(first + i);
            }
            groups.add(new Group(granularity, first, Head.steps(dims, limits)));
            first = end;
        }
    }

    private void checkDim(int dim, boolean interpolate) {
        boolean between = interpolate && head.tied() && 1 <= dim && dim <= head.dim();
        if (Arrays.binarySearch(head.dims(), dim) < 0 && !between) {
            throw new ShapeException("one of the trained dims " + Arrays.toString(head.dims()),
                    String.valueOf(dim), "`levels`",
                    "a tied head (MRL-E) has others with interpolate");
        }
    }

    private float threshold(int place) {
        return place < thresholds.length ? thresholds[place] : Float.NEGATIVE_INFINITY;
    }

    /** Returns the head. */
    public Head head() {
        return head;
    }

    /** Returns the levels, in the order they are tried. */
    public List<Level> levels() {
        return levels;
    }

    /** Returns the thresholds, one for each level but the last. */
    public float[] thresholds() {
        return thresholds.clone();
    }

    /** Returns what confidence is, one of SIGNALS. */
    public String signal() {
        return signal;
    }

    /** Returns the granularities, in the order they are tried. */
    public List<String> granularities() {
        List<String> names = new ArrayList<String>();
        for (Group group : groups) {
            names.add(group.granularity);
        }
        return names;
    }

    /**
     * Returns the answer to one input.
     *
     * @param embedder Gives its embedding at each granularity that is needed.
     * @throws ShapeException An embedding that is too short.
     * @throws CodeException One with NaN, infinity or a coordinate beyond 1e15.
     */
    public Answer classify(Embedder embedder) {
        if (embedder == null) {
            throw new ShapeException("an embedder", "null", "`embedder`", "run the model there");
        }
        Scratch scratch = pool.take();
        ByteBuffer verdict = scratch.room(0, At.VERDICT, "a verdict");
        int number = codes == null ? SIGNALS.indexOf(signal) + 1 : 1;
        int previous = -1;
        for (Group group : groups) {
            float[] x = embedder.embed(group.granularity);
            head.cascade(x, group.steps, number, flags, previous, verdict);
            int place = group.first + verdict.getInt(At.STEP);
            float confidence = verdict.getFloat(At.CONFIDENCE);
            boolean sure = verdict.getInt(At.SURE) != 0;
            previous = verdict.getInt(At.ID);
            if (codes != null) {
                confidence = codes.confidence(x);
                sure = confidence > threshold(group.first);
            }
            if (sure || group == groups.get(groups.size() - 1)) {
                pool.give(scratch);
                return new Answer(previous, levels.get(place), place, confidence,
                        place < levels.size() - 1);
            }
        }
        throw new IllegalStateException("a cascade without levels");
    }
}
