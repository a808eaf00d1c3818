package org.edgesdk.demo.core;

import org.edgesdk.CodeIndex;
import org.edgesdk.Digests;

import java.nio.ByteBuffer;

/** Class codes of many classes, for measuring what their decoding takes. */
public final class CodesFile implements AutoCloseable {
    final CodeIndex index;
    final String sha256;
    final long nBytes;
    final double loadMs;

    /**
     * Open an .llc file's bytes.
     *
     * @throws org.edgesdk.FormatException no such file, or damaged.
     */
    public CodesFile(ByteBuffer bytes) {
        sha256 = Digests.sha256(bytes);
        nBytes = bytes.remaining();
        long start = System.nanoTime();
        index = CodeIndex.open(bytes);
        loadMs = (System.nanoTime() - start) / 1e6;
    }

    @Override
    public void close() {
        index.close();
    }
}
