package org.edgesdk;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.Map;

/**
 * A FastGRNN cell with its head ({@code .grnn}), used as the file lies in memory.
 *
 * <p>The same file and frames give the same bits on every processor, frame by frame or all at
 * once. Any number of threads may share a cell; a {@link Stream} is for one thread. All memory
 * is Java's: what is never closed leaks nothing.
 */
public final class FastGrnn implements AutoCloseable {
    private final int nInputs;
    private final int nHidden;
    private final int nClasses;
    private final boolean integers;
    private final List<String> labels;
    private final Map<String, Object> preprocessing;
    private final Map<String, Object> early;
    private volatile Opened opened;

    private FastGrnn(ByteBuffer bytes, boolean verify, String where) {
        Opened file = new Opened(bytes, "edge_fastgrnn");
        EdgeException.check(openFile(file.bytes, bytes.capacity(), verify ? 0 : 1, file.view),
                where);
        nInputs = file.number("edge_fastgrnn.n_inputs");
        nHidden = file.number("edge_fastgrnn.n_hidden");
        nClasses = file.number("edge_fastgrnn.n_classes");
        integers = file.number("edge_fastgrnn.integers") != 0;
        labels = CoreFile.names(bytes, "labl");
        preprocessing = CoreFile.object(bytes, "prep");
        early = CoreFile.object(bytes, "erly");
        opened = file;
    }

    /**
     * Opens a file's bytes, from position to limit, without a copy; they must stay unchanged.
     *
     * @param bytes Direct, at a multiple of 8.
     * @throws FormatException Not a .grnn file, or damaged.
     * @throws VersionException Written by a newer version.
     * @throws ShapeException Not a direct buffer, or not aligned.
     */
    public static FastGrnn open(ByteBuffer bytes) {
        return new FastGrnn(Memory.file(bytes, "`bytes`"), true, "`bytes`");
    }

    /** Opens a file, memory-mapped; errors as in open(bytes). */
    public static FastGrnn open(File file) {
        return new FastGrnn(Memory.map(file, ".grnn"), true, file.getPath());
    }

    /** Returns the numbers in a frame. */
    public int nInputs() {
        return nInputs;
    }

    /** Returns the numbers in the state. */
    public int nHidden() {
        return nHidden;
    }

    /** Returns the classes; 0 for a cell without a head. */
    public int nClasses() {
        return nClasses;
    }

    /** Returns whether it computes in integers; it takes and gives floats all the same. */
    public boolean isInteger() {
        return integers;
    }

    /** Returns the classes' names, or none. */
    public List<String> labels() {
        return labels;
    }

    /** Returns the log-mel front end that its inputs come from, or null if they are others. */
    public LogMelConfig logMel() {
        Object stored = preprocessing.get("log_mel");
        return stored instanceof Map
                ? LogMelConfig.fromJson(Json.object(stored, "log_mel")) : null;
    }

    /** Returns what makes features from raw data, as JSON. */
    public String preprocessing() {
        return Json.line(preprocessing);
    }

    /** Returns when to decide before a sequence ends, as the file has it, or null. */
    public EarlyDecision early() {
        return early.isEmpty() ? null : EarlyDecision.fromJson(early, "erly");
    }

    Map<String, Object> preprocessingContent() {
        return preprocessing;
    }

    /** Returns a state of its own, to be fed as frames come. */
    public Stream stream() {
        return new Stream(this);
    }

    /**
     * Returns the logits after the last of so many frames, one after the other.
     *
     * @throws ShapeException Not whole frames, or none.
     * @throws CodeException NaN or infinity, or a cell without a head.
     */
    public float[] run(float[] frames) {
        return stream().push(frames);
    }

    /** Lets go of the file; its streams throw then, and so does stream(). */
    @Override
    public void close() {
        opened = null;
    }

    private Opened open() {
        return Opened.open(opened, "FastGrnn");
    }

    /** What a cell has heard so far; for one thread. An error leaves the state as it was. */
    public static final class Stream implements AutoCloseable {
        private final FastGrnn cell;
        private final ByteBuffer state;
        private final FloatBuffer h;
        private final FloatBuffer logits;
        private FloatBuffer frames;
        private volatile boolean closed;

        private Stream(FastGrnn cell) {
            this.cell = cell;
            Opened file = cell.open();
            state = Memory.allocate(stateSize(file.bytes, file.view), "a state");
            h = Memory.floats(cell.nHidden, "h");
            logits = Memory.floats(cell.nClasses, "logits");
            frames = Memory.floats(cell.nInputs, "a frame");
            reset();
        }

        /** Begins a new sequence. */
        public void reset() {
            Opened file = open();
            EdgeException.check(init(file.bytes, file.view, state, state.capacity()), "`reset`");
        }

        /**
         * Takes a frame, or several one after the other; returns the logits after them.
         *
         * @param x Features, before normalization: nInputs() floats for each frame.
         * @throws ShapeException Not whole frames, or none.
         * @throws CodeException NaN or infinity, or a cell without a head.
         */
        public float[] push(float[] x) {
            float[] out = new float[cell.nClasses];
            push(x, out);
            return out;
        }

        /** As push(x), into an array of nClasses() floats: makes no garbage. */
        public void push(float[] x, float[] out) {
            Opened file = open();
            if (x == null || x.length == 0 || x.length % cell.nInputs != 0 || out == null
                    || out.length != cell.nClasses) {
                throw wrong(x == null ? -1 : x.length, out == null ? -1 : out.length);
            }
            if (frames.capacity() < x.length) {
                frames = Memory.floats(x.length, "`x`");
            }
            frames.clear();
            frames.put(x);
            EdgeException.check(take(file.bytes, file.view, state, state.capacity(), frames, 0,
                    x.length / cell.nInputs, logits, 0), "`x`");
            logits.clear();
            logits.get(out);
        }

        /**
         * As push(x), all floats from position to limit, without a copy; positions stay.
         *
         * @param x Direct, of native order.
         * @param out Direct, of native order: nClasses() floats from its position on are written.
         */
        public void push(FloatBuffer x, FloatBuffer out) {
            Opened file = open();
            Memory.direct(x, cell.nInputs, false, "`x`");
            Memory.direct(out, cell.nClasses, true, "`out`");
            if (x.remaining() % cell.nInputs != 0) {
                throw wrong(x.remaining(), cell.nClasses);
            }
            EdgeException.check(take(file.bytes, file.view, state, state.capacity(), x,
                    x.position(), x.remaining() / cell.nInputs, out, out.position()), "`x`");
        }

        private ShapeException wrong(int x, int out) {
            return new ShapeException("frames of " + cell.nInputs + " floats and room for "
                    + cell.nClasses, x + " and " + out, "`x`", "whole frames, at least one");
        }

        /** Returns a copy of the state, nHidden() floats. */
        public float[] h() {
            Opened file = open();
            EdgeException.check(get(file.bytes, file.view, state, state.capacity(), h), "`h`");
            float[] out = new float[cell.nHidden];
            h.clear();
            h.get(out);
            return out;
        }

        /** Sets the state; CodeException if it is not finite. */
        public void setH(float[] values) {
            Opened file = open();
            if (values == null || values.length != cell.nHidden) {
                throw new ShapeException(cell.nHidden + " floats",
                        values == null ? "null" : String.valueOf(values.length), "`values`",
                        "what h() returned");
            }
            h.clear();
            h.put(values);
            EdgeException.check(set(file.bytes, file.view, state, state.capacity(), h),
                    "`values`");
        }

        /** For tests: frames of a cell in integers; returns its states and its logits. */
        void integers(ByteBuffer x, int n, ByteBuffer states, ByteBuffer out) {
            Opened file = open();
            EdgeException.check(takeIntegers(file.bytes, file.view, state, state.capacity(), x, n,
                    states, out), "`x`");
        }

        /** Ends it; everything then throws. */
        @Override
        public void close() {
            closed = true;
        }

        private Opened open() {
            return Opened.open(closed ? null : cell.opened, "FastGrnn");
        }
    }

    private static native int openFile(ByteBuffer bytes, long size, int flags, ByteBuffer view);

    private static native long stateSize(ByteBuffer bytes, ByteBuffer view);

    private static native int init(ByteBuffer bytes, ByteBuffer view, ByteBuffer state, long size);

    private static native int take(ByteBuffer bytes, ByteBuffer view, ByteBuffer state, long size,
                                   FloatBuffer frames, int first, int nFrames, FloatBuffer logits,
                                   int firstLogit);

    private static native int takeIntegers(ByteBuffer bytes, ByteBuffer view, ByteBuffer state,
                                           long size, ByteBuffer frames, int nFrames,
                                           ByteBuffer states, ByteBuffer logits);

    private static native int get(ByteBuffer bytes, ByteBuffer view, ByteBuffer state, long size,
                                  FloatBuffer h);

    private static native int set(ByteBuffer bytes, ByteBuffer view, ByteBuffer state, long size,
                                  FloatBuffer h);
}
