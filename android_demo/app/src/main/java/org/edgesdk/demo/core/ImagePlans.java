package org.edgesdk.demo.core;

import org.edgesdk.Answer;
import org.edgesdk.Bundle;
import org.edgesdk.Cascade;
import org.edgesdk.Embedder;
import org.edgesdk.GranularityException;
import org.edgesdk.Level;
import org.edgesdk.Nearest;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The ways to run a bundle's model: each granularity, and each cascade. For one thread. */
final class ImagePlans {
    /** What one run gave. */
    static final class Run {
        final String plan;
        final int id;
        final double confidence;
        final String granularity;
        final int dim;

        /** Of that level in the cascade, from 0. */
        final int place;
        final Boolean known;
        final int codeDistance;

        /** Why the cascade stopped where it did; "" where there is one level. */
        final String stopped;

        Run(String plan, Answer answer, Boolean known, int codeDistance, String stopped) {
            this.plan = plan;
            id = answer.id;
            confidence = answer.confidence;
            granularity = answer.level.granularity;
            dim = answer.level.dim;
            place = answer.place;
            this.known = known;
            this.codeDistance = codeDistance;
            this.stopped = stopped;
        }
    }

    private final Bundle bundle;
    private final ImageModel model;
    private final Map<String, Cascade> plans = new LinkedHashMap<String, Cascade>();

    ImagePlans(Bundle bundle, ImageModel model) {
        this.bundle = bundle;
        this.model = model;
        for (String name : model.granularities()) {
            plans.put(name, alone(new Level(name, bundle.head().dim())));
        }
        plans.putAll(bundle.cascades());
    }

    List<String> names() {
        return new ArrayList<String>(plans.keySet());
    }

    /** A level as a cascade of its own. */
    Cascade alone(Level level) {
        return new Cascade(bundle.head(), Collections.singletonList(level), new float[0],
                "max_softmax", false, false, null);
    }

    Cascade cascade(String plan) {
        Cascade cascade = plans.get(plan);
        if (cascade == null) {
            throw new GranularityException("one of " + plans.keySet(), plan, "`plan`",
                    "a granularity, or a cascade of the bundle");
        }
        return cascade;
    }

    /**
     * Return the answer to one picture.
     *
     * @param pixels 784 numbers: {@link DigitPicture}.
     */
    Run run(String plan, float[] pixels) {
        return run(plan, cascade(plan), pixels);
    }

    /** As run(plan, pixels), of a cascade that may be none of the plans. */
    Run run(String plan, Cascade cascade, final float[] pixels) {
        final float[][] last = new float[1][];
        Answer answer = cascade.classify(new Embedder() {
            @Override
            public float[] embed(String granularity) {
                last[0] = model.embed(pixels, granularity);
                return last[0];
            }
        });
        Boolean known = bundle.known(last[0]);
        int distance = -1;
        if (known != null) {
            Nearest nearest = bundle.codes().nearest(last[0]);
            distance = nearest.distance;
        }
        return new Run(plan, answer, known, distance, stopped(cascade, answer));
    }

    /** The words of edge_sdk/session.py. */
    private static String stopped(Cascade cascade, Answer answer) {
        int levels = cascade.levels().size();
        if (levels == 1) {
            return "";
        }
        if (answer.place == levels - 1) {
            return "answered at the last level, " + answer.level;
        }
        return String.format(Locale.ROOT, "answered at %s: %s %.3f above %.3f", answer.level,
                cascade.signal(), answer.confidence, cascade.thresholds()[answer.place]);
    }
}
