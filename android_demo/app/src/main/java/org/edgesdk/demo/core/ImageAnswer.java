package org.edgesdk.demo.core;

/** The answer to one picture, and what it took. */
public final class ImageAnswer {
    public final String label;
    public final double confidence;

    /** The level that answered. */
    public final String granularity;
    public final int dim;

    /** What was run: a granularity or a cascade. */
    public final String plan;

    /** Whether the picture's code lies near that of a class; null without codes. */
    public final Boolean known;

    /** Hamming distance to the nearest class code; -1 without codes. */
    public final int codeDistance;

    /** From pixels to answer. */
    public final double latencyMs;

    /** The last latencies, this one included. */
    public final Quantiles recent;

    /** Whether the plan was expected to keep the budget. */
    public final boolean met;

    /** Why this plan, and why this level, in words. */
    public final String reason;

    ImageAnswer(ImagePlans.Run run, String label, boolean met, double latencyMs, Quantiles recent,
                String reason) {
        this.label = label;
        confidence = run.confidence;
        granularity = run.granularity;
        dim = run.dim;
        plan = run.plan;
        known = run.known;
        codeDistance = run.codeDistance;
        this.met = met;
        this.latencyMs = latencyMs;
        this.recent = recent;
        this.reason = reason;
    }
}
