package org.edgesdk;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;

/**
 * A Matryoshka classifier of trained dims ({@code .mrl}), used as the file lies in memory.
 *
 * <p>The same file and embedding give the same bits on every processor. Any number of threads may
 * share a head. All memory is Java's: a head that is never closed leaks nothing.
 */
public final class Head implements AutoCloseable {
    private static final class At {
        static final int INTERPOLATE = EdgeRuntime.at("EDGE_MRL_INTERPOLATE");
        static final int STEP = EdgeRuntime.at("edge_step");
        static final int STEP_DIM = EdgeRuntime.at("edge_step.dim");
        static final int STEP_THRESHOLD = EdgeRuntime.at("edge_step.threshold");
        static final int DIMS = EdgeRuntime.at("edge_mrl.dims");
        static final int SCALE = EdgeRuntime.at("edge_mrl.scale");
    }

    private final int nClasses;
    private final int dim;
    private final int[] dims;
    private final boolean tied;
    private final boolean normalized;
    private final float scale;
    private final long roomSize;
    private final Scratch.Pool pool = new Scratch.Pool();
    private volatile Opened opened;

    private Head(ByteBuffer bytes, boolean verify, String where) {
        Opened file = new Opened(bytes, "edge_mrl");
        EdgeException.check(openFile(file.bytes, bytes.capacity(), verify ? 0 : 1, file.view),
                where);
        nClasses = file.number("edge_mrl.n_classes");
        dim = file.number("edge_mrl.dim");
        dims = new int[file.number("edge_mrl.n_dims")];
        for (int i = 0; i < dims.length; i++) {
            dims[i] = file.view.getInt(At.DIMS + 4 * i);
        }
        tied = file.number("edge_mrl.tied") != 0;
        normalized = file.number("edge_mrl.normalized") != 0;
        scale = file.view.getFloat(At.SCALE);
        roomSize = room(file.bytes, file.view);
        opened = file;
    }

    /**
     * Opens a file's bytes, from position to limit, without a copy; they must stay unchanged.
     *
     * @param bytes Direct, at a multiple of 8.
     * @throws FormatException Not an .mrl file, or damaged.
     * @throws VersionException Written by a newer version.
     * @throws ShapeException Not a direct buffer, or not aligned.
     */
    public static Head open(ByteBuffer bytes) {
        return open(bytes, "`bytes`");
    }

    /** As open(bytes); errors name `where`. */
    static Head open(ByteBuffer bytes, String where) {
        return new Head(Memory.file(bytes, where), true, where);
    }

    /** Opens a file, memory-mapped; errors as in open(bytes). */
    public static Head open(File file) {
        return new Head(Memory.map(file, ".mrl"), true, file.getPath());
    }

    /** Returns the classes. */
    public int nClasses() {
        return nClasses;
    }

    /** Returns the coordinates of an embedding: the largest of dims(). */
    public int dim() {
        return dim;
    }

    /** Returns the trained dims, ascending. */
    public int[] dims() {
        return dims.clone();
    }

    /** Returns whether one matrix serves every dim (MRL-E). */
    public boolean tied() {
        return tied;
    }

    /** Returns whether prefixes are divided by their length, and multiplied by scale(). */
    public boolean normalized() {
        return normalized;
    }

    /** Returns what normalized prefixes are multiplied by. */
    public float scale() {
        return scale;
    }

    /** Returns the logits at the largest dim. */
    public float[] logits(float[] x) {
        return logits(x, dim, false);
    }

    /** As logits(x, dim, false). */
    public float[] logits(float[] x, int dim) {
        return logits(x, dim, false);
    }

    /**
     * Returns the logits of an embedding at one dim, nClasses() of them.
     *
     * @param x At least dim() coordinates.
     * @param at A trained dim.
     * @param interpolate Of a tied head, any dim.
     * @throws ShapeException Too few coordinates, or the head was not trained for the dim.
     * @throws CodeException NaN, infinity or a coordinate beyond 1e15 among the first `at`.
     */
    public float[] logits(float[] x, int at, boolean interpolate) {
        Opened file = open();
        Scratch scratch = pool.take();
        FloatBuffer from = embedding(scratch, x);
        FloatBuffer to = scratch.room(1, 4L * nClasses, "logits").asFloatBuffer();
        ByteBuffer work = scratch.room(2, roomSize, "a workspace");
        EdgeException.check(logitsAt(file.bytes, file.view, from, 0, at,
                interpolate ? At.INTERPOLATE : 0, work, roomSize, to, 0), "`x`");
        float[] logits = new float[nClasses];
        to.get(logits);
        pool.give(scratch);
        return logits;
    }

    /**
     * As logits(x, at, false), without a copy; positions stay.
     *
     * @param x Direct, of native order: dim() floats from its position on.
     * @param out Direct, of native order: nClasses() floats from its position on are written.
     */
    public void logits(FloatBuffer x, int at, FloatBuffer out) {
        Opened file = open();
        Memory.direct(x, dim, false, "`x`");
        Memory.direct(out, nClasses, true, "`out`");
        Scratch scratch = pool.take();
        ByteBuffer work = scratch.room(2, roomSize, "a workspace");
        EdgeException.check(logitsAt(file.bytes, file.view, x, x.position(), at, 0, work, roomSize,
                out, out.position()), "`x`");
        pool.give(scratch);
    }

    /** Lets go of the file; logits then throw, and so do cascades that use it. */
    @Override
    public void close() {
        opened = null;
    }

    /** Returns the steps of a cascade as the core takes them. */
    static ByteBuffer steps(int[] dims, float[] thresholds) {
        ByteBuffer steps = Memory.allocate((long) dims.length * At.STEP, "`levels`");
        for (int i = 0; i < dims.length; i++) {
            steps.putInt(i * At.STEP + At.STEP_DIM, dims[i]);
            steps.putFloat(i * At.STEP + At.STEP_THRESHOLD, thresholds[i]);
        }
        return steps;
    }

    /**
     * Takes the steps of a cascade; with EDGE_MRL_EVERY_STEP `verdicts` holds one for each.
     *
     * @param previous The class of the step before, or -1.
     */
    void cascade(float[] x, ByteBuffer steps, int signal, int flags, int previous,
                 ByteBuffer verdicts) {
        Opened file = open();
        Scratch scratch = pool.take();
        FloatBuffer from = embedding(scratch, x);
        ByteBuffer work = scratch.room(2, roomSize, "a workspace");
        EdgeException.check(cascade(file.bytes, file.view, from, 0, steps,
                steps.capacity() / At.STEP, signal, flags, previous, work, roomSize, verdicts),
                "`x`");
        pool.give(scratch);
    }

    private FloatBuffer embedding(Scratch scratch, float[] x) {
        if (x == null || x.length < dim) {
            throw new ShapeException("an embedding of " + dim + " floats",
                    x == null ? "null" : String.valueOf(x.length), "`x`",
                    "all dims the head knows");
        }
        FloatBuffer from = scratch.room(0, 4L * dim, "`x`").asFloatBuffer();
        from.put(x, 0, dim);
        return from;
    }

    private Opened open() {
        return Opened.open(opened, "Head");
    }

    private static native int openFile(ByteBuffer bytes, long size, int flags, ByteBuffer view);

    private static native long room(ByteBuffer bytes, ByteBuffer view);

    private static native int logitsAt(ByteBuffer bytes, ByteBuffer view, FloatBuffer x, int firstX,
                                       int dim, int flags, ByteBuffer room, long roomSize,
                                       FloatBuffer logits, int firstLogit);

    private static native int cascade(ByteBuffer bytes, ByteBuffer view, FloatBuffer x, int firstX,
                                      ByteBuffer steps, int nSteps, int signal, int flags,
                                      int previous, ByteBuffer room, long roomSize,
                                      ByteBuffer verdicts);
}
