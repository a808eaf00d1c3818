package org.edgesdk;

import java.nio.ByteBuffer;

/**
 * A log-mel front end at work on one stream: samples in, features of whole frames out.
 *
 * <p>However a stream is cut into calls, its frames are the same, on every processor. For one
 * thread. All memory is Java's.
 */
public final class LogMel implements AutoCloseable {
    private final LogMelConfig config;
    private final int bands;
    private final ByteBuffer tables;
    private final ByteBuffer room;
    private final Scratch scratch = new Scratch();
    private volatile ByteBuffer front;

    /** Starts a front end. */
    public LogMel(LogMelConfig config) {
        this(config, demand(config).weights(), config.sine(), config.position(), config.window(),
                config.hop(), config.nFft(), config.nBands, config.floorLog2);
    }

    /** For tests: with tables and sizes of the caller's. */
    LogMel(LogMelConfig config, short[] weights, int[] sine, int[] position, int window, int hop,
           int nFft, int nBands, int floorLog2) {
        this.config = config;
        int sinesAt = (2 * weights.length + 7) / 8 * 8;
        int positionsAt = (sinesAt + 4 * sine.length + 7) / 8 * 8;
        tables = Memory.allocate(positionsAt + 2L * position.length, "tables");
        tables.asShortBuffer().put(weights);
        ByteBuffer sines = part(sinesAt, 4 * sine.length);
        sines.asIntBuffer().put(sine);
        ByteBuffer positions = part(positionsAt, 2 * position.length);
        for (int i = 0; i < position.length; i++) {
            positions.putShort(2 * i, (short) position[i]);
        }
        long size = room(window, nFft);
        room = Memory.allocate(size, "a workspace");
        ByteBuffer made = Memory.allocate(EdgeRuntime.value("edge_logmel"), "a front end");
        EdgeException.check(init(made, window, hop, nFft, nBands, floorLog2,
                part(0, 2 * weights.length), sines, positions, room, size), "`config`");
        bands = nBands;
        front = made;
    }

    private static LogMelConfig demand(LogMelConfig config) {
        if (config == null) {
            throw new ShapeException("a config", "null", "`config`", "new LogMelConfig()");
        }
        return config;
    }

    private ByteBuffer part(int at, int size) {
        ByteBuffer part = tables.duplicate();
        part.position(at);
        part.limit(at + size);
        return part.slice().order(tables.order());
    }

    /** Returns what it was made with. */
    public LogMelConfig config() {
        return config;
    }

    /**
     * Takes samples; returns the features of every frame that they complete, the oldest first.
     *
     * @param samples Of one channel.
     * @return Frames of nBands numbers each, log2 of energy with 9 bits after the point.
     */
    public short[] push(short[] samples) {
        return push(samples, 0, samples == null ? 0 : samples.length);
    }

    /** As push(samples), of `n` samples from `begin` on. */
    public short[] push(short[] samples, int begin, int n) {
        if (samples == null || begin < 0 || n < 0 || n > samples.length - begin) {
            throw new ShapeException("samples from begin to begin + n", samples == null ? "null"
                    : begin + " and " + n + " of " + samples.length, "`samples`",
                    "pass an array of int16");
        }
        ByteBuffer started = open();
        long frames = frames(started, tables, room, n);
        ByteBuffer from = scratch.room(0, 2L * n, "`samples`");
        from.asShortBuffer().put(samples, begin, n);
        ByteBuffer to = scratch.room(1, 2L * frames * bands, "`samples`");
        EdgeException.check(take(started, tables, room, from, n, to, (int) frames), "`samples`");
        short[] features = new short[(int) frames * bands];
        to.asShortBuffer().get(features);
        return features;
    }

    /** Forgets all samples: the next one begins another stream. */
    public void reset() {
        forget(open(), tables, room);
    }

    /** Ends it; everything then throws. */
    @Override
    public void close() {
        front = null;
    }

    private ByteBuffer open() {
        ByteBuffer started = front;
        if (started == null) {
            throw new ClosedException("an open LogMel", "a closed one", "`this`", "make a new one");
        }
        return started;
    }

    private static native long room(int window, int nFft);

    private static native int init(ByteBuffer front, int window, int hop, int nFft, int nBands,
                                   int floorLog2, ByteBuffer weights, ByteBuffer sine,
                                   ByteBuffer position, ByteBuffer room, long roomSize);

    private static native void forget(ByteBuffer front, ByteBuffer tables, ByteBuffer room);

    private static native long frames(ByteBuffer front, ByteBuffer tables, ByteBuffer room,
                                      long n);

    private static native int take(ByteBuffer front, ByteBuffer tables, ByteBuffer room,
                                   ByteBuffer samples, int n, ByteBuffer features, int nFrames);
}
