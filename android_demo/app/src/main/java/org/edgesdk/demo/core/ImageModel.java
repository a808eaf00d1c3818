package org.edgesdk.demo.core;

import java.util.List;

/** An elastic model from a picture's pixels to an embedding, whatever computes it. */
public interface ImageModel {
    /** Names such as "S", cheapest first. */
    List<String> granularities();

    /**
     * Return the embedding of one picture.
     *
     * @param pixels      784 numbers, 0 for paper to 1 for ink: {@link DigitPicture}.
     * @param granularity one of {@link #granularities}.
     * @throws org.edgesdk.EdgeException another number of pixels, or no such granularity.
     */
    float[] embed(float[] pixels, String granularity);
}
