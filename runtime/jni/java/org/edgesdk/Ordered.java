package org.edgesdk;

/** An ordered-reliability answer. */
public final class Ordered {
    /** How a class was found. */
    public enum Met { NONE, ORDER, MHD, SOFT }

    /** The class; -1 where none was met. */
    public final int id;
    /** Sum of |z| of the bits in which class and signs differ; infinite for no class. */
    public final double penalty;
    /** Flip patterns tested. */
    public final int lookups;
    /** How it was found. */
    public final Met met;

    Ordered(int id, double penalty, int lookups, int met) {
        this.id = id;
        this.penalty = penalty;
        this.lookups = lookups;
        this.met = Met.values()[met];
    }
}
