package org.edgesdk;

/** When a word begins and ends. A frame is 10 ms, an octave of energy 3 dB. Immutable. */
public final class GateConfig {
    /** Frames so far above the floor begin a word. */
    public final double onOctaves;
    /** So many of them in a row; a click is in three. */
    public final int onFrames;
    /** Frames farther above the floor keep it going. */
    public final double offOctaves;
    /** So many that are not, in a row, end it. */
    public final int offFrames;
    /** Quieter frames before it that belong to the word all the same. */
    public final int before;
    /** Quieter frames after it that do. */
    public final int after;
    /** Loud for so many frames is no word but noise: it gets no answer. */
    public final int longest;
    /** What is assumed at first: silence is so far above the front end's floor. */
    public final double startOctaves;
    /** For so long. */
    public final int startFrames;

    /** The usual ones. */
    public GateConfig() {
        this(2.0, 4, 1.5, 20, 7, 5, 150, 3.0, 50);
    }

    /**
     * Makes a config; the fields say what is what.
     *
     * @throws ShapeException A number that is negative or NaN, or no frame where one is needed.
     */
    public GateConfig(double onOctaves, int onFrames, double offOctaves, int offFrames, int before,
                      int after, int longest, double startOctaves, int startFrames) {
        if (!(onOctaves >= 0 && offOctaves >= 0 && startOctaves >= 0 && onOctaves < 64
                && offOctaves < 64 && startOctaves < 64) || onFrames < 1 || offFrames < 1
                || before < 0 || after < 0 || longest < 1 || startFrames < 0
                || onFrames > 10000 || offFrames > 10000 || before > 10000) {
            throw new ShapeException("octaves from 0 to 64, and frames up to 10000",
                    "others", "`config`", "new GateConfig()");
        }
        this.onOctaves = onOctaves;
        this.onFrames = onFrames;
        this.offOctaves = offOctaves;
        this.offFrames = offFrames;
        this.before = before;
        this.after = after;
        this.longest = longest;
        this.startOctaves = startOctaves;
        this.startFrames = startFrames;
    }
}
