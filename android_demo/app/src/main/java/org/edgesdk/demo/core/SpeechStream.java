package org.edgesdk.demo.core;

import org.edgesdk.Listener;

import java.util.List;

/** Sound at any rate in, words out. For one thread. */
public final class SpeechStream implements AutoCloseable {
    private final Listener listener;
    private final Resampler resampler;
    private final int rateHz;
    private long nSamples;
    private long tookNanos;

    SpeechStream(SpeechModel model, int rateHz) {
        this.rateHz = rateHz;
        listener = new Listener(model.cell);
        resampler = new Resampler(rateHz, model.config.rateHz);
    }

    /** Take the first n samples of an array; return the words that they decide. */
    public List<Listener.Heard> push(short[] samples, int n) {
        long start = System.nanoTime();
        List<Listener.Heard> heard = listener.push(resampler.push(samples, n));
        tookNanos += System.nanoTime() - start;
        nSamples += n;
        return heard;
    }

    /** Return the word that the end has cut off, if any. */
    public List<Listener.Heard> finish() {
        return listener.finish();
    }

    /** Seconds of sound so far. */
    public double heardS() {
        return (double) nSamples / rateHz;
    }

    /** Seconds that resampling, features, gate and model have taken. */
    public double tookS() {
        return tookNanos * 1e-9;
    }

    @Override
    public void close() {
        listener.close();
    }
}
