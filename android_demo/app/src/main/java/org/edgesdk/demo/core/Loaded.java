package org.edgesdk.demo.core;

import org.edgesdk.Bundle;
import org.edgesdk.Digests;

import java.io.IOException;
import java.nio.ByteBuffer;

/** Passes a bundle's files on and notes what of them is used, for the benchmark's report. */
public final class Loaded implements Bundle.Source {
    private static final String MANIFEST = "manifest.json";
    private static final String MODEL = "model.";

    private final Bundle.Source source;
    private long nBytes;
    private String sha256 = "";
    private String engine = "core";

    public Loaded(Bundle.Source source) {
        this.source = source;
    }

    @Override
    public ByteBuffer map(String name) throws IOException {
        ByteBuffer bytes = source.map(name);
        // Models count where an engine runs them: see `useModel`.
        nBytes += name.startsWith(MODEL) ? 0 : bytes.remaining();
        if (name.equals(MANIFEST)) {
            sha256 = Digests.sha256(bytes);
        }
        return bytes;
    }

    /** Return another source, whose files count too. */
    public Bundle.Source beside(final Bundle.Source other) {
        return new Bundle.Source() {
            @Override
            public ByteBuffer map(String name) throws IOException {
                ByteBuffer bytes = other.map(name);
                nBytes += bytes.remaining();
                return bytes;
            }
        };
    }

    /** Note that an engine runs a model of the bundle, of that many bytes. */
    public void useModel(String name, long modelBytes) {
        engine = name;
        nBytes += modelBytes;
    }

    /** Of all files that are used. */
    public long nBytes() {
        return nBytes;
    }

    /** Of the manifest, which names every other file's. */
    public String sha256() {
        return sha256;
    }

    /** What runs the model. */
    public String engine() {
        return engine;
    }
}
