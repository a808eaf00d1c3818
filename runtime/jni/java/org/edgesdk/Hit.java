package org.edgesdk;

/** A stored code that a search found. */
public final class Hit {
    /** Row of the codebook. */
    public final long id;
    /** Bits that differ. */
    public final int distance;

    Hit(long id, int distance) {
        this.id = id;
        this.distance = distance;
    }
}
