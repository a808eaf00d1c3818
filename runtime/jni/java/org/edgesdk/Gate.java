package org.edgesdk;

/**
 * Cuts words out of a stream of log-mel frames: {@code edge_sdk/audio/gate.py}.
 *
 * <p>It compares a frame's loudness, the mean of its bands in octaves of energy, with a floor: the
 * lowest mean of three frames in the last two seconds (minimum statistics: Martin 2001,
 * doi:10.1109/89.928915). For one thread.
 */
public final class Gate {
    private static final int BLOCKS = 8;
    private static final int BLOCK_FRAMES = 25;
    private static final int SMOOTHED = 3;

    /** What one more frame means for words. */
    public static final class Cut {
        /** A word begins with the first of `frames`. */
        public final boolean begins;
        /** The next frames of a word, often none: doubtful ones are held back. */
        public final short[][] frames;
        /** The word has ended. */
        public final boolean ends;
        /** It was none. */
        public final boolean dropped;

        Cut(boolean begins, short[][] frames, boolean ends, boolean dropped) {
            this.begins = begins;
            this.frames = frames;
            this.ends = ends;
            this.dropped = dropped;
        }
    }

    private final GateConfig config;
    private final int nBands;
    private final long on;
    private final long off;
    private final long start;
    private final short[][] ring;
    private final long[] recent = new long[SMOOTHED]; // loudness of the last frames
    private final long[] minima = new long[BLOCKS]; // of the last blocks
    private int nRecent;
    private int nMinima;
    private long frame; // frames heard
    private long began; // the loud frame that began the last word
    private long peak; // its loudest three frames
    private int loud; // loud frames in a row, in silence
    private long lastLoud;
    private long given; // frames before it belong to earlier words, or were given
    private boolean open;
    private boolean dropped;

    /**
     * Begins a stream.
     *
     * @param nBands Of a frame.
     * @param floorLog2 As in LogMelConfig.
     * @param config Null for the usual one.
     */
    public Gate(int nBands, int floorLog2, GateConfig config) {
        if (nBands < 1 || nBands > 10000 || floorLog2 < 0 || floorLog2 > 62) {
            throw new ShapeException("a band or more, and a floor of 2**0 or more",
                    nBands + " and 2**" + floorLog2, "`nBands`", "those of the front end");
        }
        this.config = config == null ? new GateConfig() : config;
        this.nBands = nBands;
        // Loudness is the sum of SMOOTHED frames' integers: thresholds in the same unit.
        double octave = (long) nBands * SMOOTHED << LogMelConfig.FEATURE_BITS;
        on = (long) Math.rint(this.config.onOctaves * octave);
        off = (long) Math.rint(this.config.offOctaves * octave);
        start = (long) Math.rint((floorLog2 + this.config.startOctaves) * octave);
        int room = Math.max(this.config.before + this.config.onFrames, this.config.offFrames) + 1;
        ring = new short[room][nBands];
        reset();
    }

    /** Forgets all frames. */
    public void reset() {
        nRecent = 0;
        nMinima = 0;
        frame = 0;
        began = 0;
        peak = 0;
        loud = 0;
        lastLoud = 0;
        given = 0;
        open = false;
        dropped = false;
    }

    /** Returns whether a word is being heard. */
    public boolean isOpen() {
        return open && !dropped;
    }

    /** Returns whether the floor has been heard, not assumed. */
    public boolean isSettled() {
        return frame >= config.startFrames;
    }

    /** Returns the frames heard. */
    public long frame() {
        return frame;
    }

    /** Returns the loud frame that began the last word. */
    public long began() {
        return began;
    }

    /**
     * Takes one more frame.
     *
     * @throws ShapeException Another number of bands.
     */
    public Cut push(short[] bands) {
        if (bands == null || bands.length != nBands) {
            throw new ShapeException("a frame of " + nBands + " bands",
                    bands == null ? "null" : String.valueOf(bands.length), "`bands`",
                    "those of the front end");
        }
        long at = frame;
        System.arraycopy(bands, 0, ring[(int) (at % ring.length)], 0, nBands);
        long loudness = 0;
        for (short band : bands) {
            loudness += band;
        }
        nRecent = append(recent, nRecent, loudness);
        long sum = 0;
        for (int i = 0; i < nRecent; i++) {
            sum += recent[i];
        }
        long smooth = floorDiv(sum * SMOOTHED, nRecent);
        if (at % BLOCK_FRAMES == 0) {
            nMinima = append(minima, nMinima, smooth);
        }
        minima[nMinima - 1] = Math.min(minima[nMinima - 1], smooth);
        frame++;
        long above = loudness * SMOOTHED - floor();
        return open ? inWord(at, smooth, above) : inSilence(at, smooth, above);
    }

    /** Appends to the last values; returns how many there are. */
    private static int append(long[] values, int n, long value) {
        if (n < values.length) {
            values[n] = value;
            return n + 1;
        }
        System.arraycopy(values, 1, values, 0, n - 1);
        values[n - 1] = value;
        return n;
    }

    /** Math.floorDiv, which Android has only since API 24. */
    private static long floorDiv(long a, long b) {
        long quotient = a / b;
        return quotient * b > a ? quotient - 1 : quotient;
    }

    private long floor() {
        long lowest = nMinima == 0 ? start : minima[0];
        for (int i = 1; i < nMinima; i++) {
            lowest = Math.min(lowest, minima[i]);
        }
        return isSettled() ? lowest : Math.min(lowest, start);
    }

    private Cut inSilence(long at, long smooth, long above) {
        loud = above > on ? loud + 1 : 0;
        if (loud < config.onFrames) {
            return cut(false, 0, false, false);
        }
        open = true;
        lastLoud = at;
        peak = smooth;
        began = at - config.onFrames + 1;
        given = Math.max(given, began - config.before);
        return cut(true, at + 1, false, false);
    }

    private Cut inWord(long at, long smooth, long above) {
        peak = Math.max(peak, smooth);
        if (above > off) {
            lastLoud = at;
        }
        long quiet = at - lastLoud;
        if (quiet >= config.offFrames) {
            boolean ends = !dropped;
            open = false;
            dropped = false;
            loud = 0;
            return cut(false, 0, ends, false);
        }
        if (dropped) {
            return cut(false, 0, false, false);
        }
        if (at - began >= config.longest
                || frame == config.startFrames && peak - floor() <= on) {
            dropped = true;
            return cut(false, 0, false, true);
        }
        return cut(false, quiet <= config.after ? at + 1 : 0, false, false);
    }

    /** Returns what is new: the frames not given yet, before `until`. */
    private Cut cut(boolean begins, long until, boolean ends, boolean wasNone) {
        int n = (int) Math.max(until - given, 0);
        short[][] frames = new short[n][];
        for (int i = 0; i < n; i++) {
            frames[i] = ring[(int) ((given + i) % ring.length)].clone();
        }
        given += n;
        return new Cut(begins, frames, ends, wasNone);
    }
}
