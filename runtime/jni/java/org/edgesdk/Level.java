package org.edgesdk;

/** One entry of a cascade: which submodel, and how much of its embedding. Immutable. */
public final class Level {
    /** Such as "M". */
    public final String granularity;
    /** Coordinates of the embedding. */
    public final int dim;

    /** Makes a level. */
    public Level(String granularity, int dim) {
        if (granularity == null) {
            throw new ShapeException("a granularity", "null", "`granularity`", "such as \"M\"");
        }
        this.granularity = granularity;
        this.dim = dim;
    }

    @Override
    public String toString() {
        return granularity + "/" + dim;
    }
}
