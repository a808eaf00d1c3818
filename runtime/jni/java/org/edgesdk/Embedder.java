package org.edgesdk;

/** Runs a model on the input at hand. */
public interface Embedder {
    /**
     * Returns the input's embedding; called once for each granularity that is needed.
     *
     * @param granularity Such as "M".
     * @return As many floats as the head's dim, or more.
     */
    float[] embed(String granularity);
}
