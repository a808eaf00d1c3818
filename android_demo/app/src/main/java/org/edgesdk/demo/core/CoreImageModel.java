package org.edgesdk.demo.core;

import org.edgesdk.Bundle;
import org.edgesdk.CoreFfn;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** The elastic model on the core, without an engine: its layers lie in the assets. */
public final class CoreImageModel implements ImageModel, AutoCloseable {
    private final CoreFfn ffn;

    private CoreImageModel(CoreFfn ffn) {
        this.ffn = ffn;
    }

    /**
     * Open what {@code CoreFFN.save} wrote.
     *
     * @param where how errors name the folder.
     * @throws org.edgesdk.FormatException  a file is missing, damaged, or does not fit the others.
     * @throws org.edgesdk.VersionException written by a newer version.
     */
    public static CoreImageModel open(Bundle.Source source, String where) {
        return new CoreImageModel(CoreFfn.open(source, where));
    }

    /** Of the universal model's weights; the bundle beside it has the same. */
    public String weightsSha256() {
        return ffn.weightsSha256();
    }

    @Override
    public List<String> granularities() {
        return Collections.unmodifiableList(new ArrayList<String>(ffn.granularities().keySet()));
    }

    @Override
    public float[] embed(float[] pixels, String granularity) {
        return ffn.embed(pixels, granularity);
    }

    /** Let go of the layers; `embed` then throws. */
    @Override
    public void close() {
        ffn.close();
    }
}
