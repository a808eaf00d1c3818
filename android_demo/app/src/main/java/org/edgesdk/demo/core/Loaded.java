package org.edgesdk.demo.core;

import org.edgesdk.Bundle;

import java.io.IOException;
import java.nio.ByteBuffer;

/** Passes files on and notes what was read, for the benchmark's report. */
public final class Loaded implements Bundle.Source {
    private static final String MANIFEST = "manifest.json";

    private final Bundle.Source source;
    private long nBytes;
    private String sha256 = "";

    public Loaded(Bundle.Source source) {
        this.source = source;
    }

    @Override
    public ByteBuffer map(String name) throws IOException {
        ByteBuffer bytes = source.map(name);
        nBytes += bytes.remaining();
        if (name.equals(MANIFEST)) {
            sha256 = Digests.sha256(bytes);
        }
        return bytes;
    }

    /** Of all files that were read. */
    public long nBytes() {
        return nBytes;
    }

    /** Of the manifest, which names every other file's. */
    public String sha256() {
        return sha256;
    }
}
