package org.edgesdk;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * From embeddings to class codes: linear layers with ReLU between them, and the codes.
 *
 * <p>The signal "llc_margin" of a cascade, and the verdict on unknown inputs, need it.
 */
public final class CodeSignal {
    private final CodeIndex codes;
    private final List<Head> project;

    /**
     * Makes a signal.
     *
     * @param codes Class codes of k bits.
     * @param project Heads of one dim each: from an embedding to k scores, one for each bit.
     * @throws ShapeException The layers do not lead to k bits.
     */
    public CodeSignal(CodeIndex codes, List<Head> project) {
        if (codes == null || project == null || project.isEmpty() || project.contains(null)) {
            throw new ShapeException("codes and their layers", "null, or no layer", "`project`",
                    "codes and projection are trained together");
        }
        this.codes = codes;
        this.project = Collections.unmodifiableList(new ArrayList<Head>(project));
        for (int i = 0; i < project.size(); i++) {
            int next = i + 1 < project.size() ? project.get(i + 1).dim() : codes.bits();
            if (project.get(i).nClasses() != next) {
                throw new ShapeException("layers that lead to " + codes.bits() + " bits",
                        project.get(i).dim() + " to " + project.get(i).nClasses()
                        + " before " + next, "`project`",
                        "codes and projection are trained together");
            }
        }
    }

    /** Returns the class codes. */
    public CodeIndex codes() {
        return codes;
    }

    /** Returns the scores of the bits of an embedding, k of them. */
    public float[] scores(float[] embedding) {
        float[] x = embedding;
        for (int layer = 0; layer < project.size(); layer++) {
            if (layer > 0) {
                for (int i = 0; i < x.length; i++) {
                    x[i] = Math.max(x[i], 0);
                }
            }
            x = project.get(layer).logits(x);
        }
        return x;
    }

    /** Returns the code of an embedding: bit j is 1 where score j is 0 or more. */
    public long word(float[] embedding) {
        float[] scores = scores(embedding);
        long word = 0;
        for (int j = 0; j < scores.length; j++) {
            word |= scores[j] >= 0 ? 1L << j : 0;
        }
        return word;
    }

    /** Returns the class nearest to an embedding's code. */
    public Nearest nearest(float[] embedding) {
        return codes.nearest(new long[] {word(embedding)})[0];
    }

    /** Returns by how much of a code the second class is farther. */
    float confidence(float[] embedding) {
        return (float) ((double) nearest(embedding).margin() / codes.bits());
    }
}
