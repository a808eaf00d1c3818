package org.edgesdk.demo.core;

import org.edgesdk.Digests;
import org.edgesdk.EarlyDecision;
import org.edgesdk.FastGrnn;
import org.edgesdk.LogMelConfig;
import org.edgesdk.UnsupportedModelException;

import java.nio.ByteBuffer;

/** A FastGRNN of spoken words with the front end that its file names. */
public final class SpeechModel implements AutoCloseable {
    final FastGrnn cell;
    final LogMelConfig config;
    final EarlyDecision early;
    final String sha256;
    final long nBytes;
    final double loadMs;

    /**
     * Open a .grnn file's bytes.
     *
     * @throws org.edgesdk.FormatException no such file, or damaged.
     * @throws UnsupportedModelException   its inputs are not log-mel features.
     */
    public SpeechModel(ByteBuffer bytes) {
        sha256 = Digests.sha256(bytes);
        nBytes = bytes.remaining();
        long start = System.nanoTime();
        cell = FastGrnn.open(bytes);
        config = cell.logMel();
        if (config == null) {
            throw new UnsupportedModelException("a model of log-mel features",
                    cell.preprocessing(), "digits.grnn", "its preprocessing names its front end");
        }
        early = cell.early();
        loadMs = (System.nanoTime() - start) / 1e6;
    }

    /** Begin to listen to sound of one channel at that rate. */
    public SpeechStream stream(int rateHz) {
        return new SpeechStream(this, rateHz);
    }

    @Override
    public void close() {
        cell.close();
    }
}
