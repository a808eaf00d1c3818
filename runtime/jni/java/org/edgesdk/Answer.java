package org.edgesdk;

/** What one input got from a cascade. Immutable. */
public final class Answer {
    /** Class; of equal logits the lowest. */
    public final int id;
    /** The level that answered. */
    public final Level level;
    /** Its place in the cascade, from 0. */
    public final int place;
    /** Of that level's signal. */
    public final float confidence;
    /** Whether it left before the last level: surer than the threshold. */
    public final boolean sure;

    Answer(int id, Level level, int place, float confidence, boolean sure) {
        this.id = id;
        this.level = level;
        this.place = place;
        this.confidence = confidence;
        this.sure = sure;
    }
}
