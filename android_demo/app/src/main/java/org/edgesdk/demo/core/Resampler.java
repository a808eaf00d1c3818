package org.edgesdk.demo.core;

/**
 * A stream of samples at another rate: a windowed sinc below the lower rate's half.
 *
 * <p>Each output sample weighs 2 * WIDTH input samples around its own time with sinc times a Hann
 * window; where the rate falls, both are stretched, so that what the lower rate can not hold is
 * taken out. In one thread.
 */
public final class Resampler {
    private static final int WIDTH = 16;

    private final double step;
    private final double cutoff;
    private final int reach;
    private double[] held;
    private int nHeld;
    private double at;

    /**
     * Begin a stream.
     *
     * @param fromHz rate of what is pushed, toHz of what comes back; both above 0.
     */
    public Resampler(int fromHz, int toHz) {
        if (fromHz < 1 || toHz < 1) {
            throw new IllegalArgumentException("expected rates above 0 Hz, got " + fromHz + " and "
                    + toHz);
        }
        step = (double) fromHz / toHz;
        // Five hundredths below the half rate: the window's slope takes some room.
        cutoff = step > 1 ? 0.95 / step : fromHz == toHz ? 1 : 0.95;
        reach = (int) Math.ceil(WIDTH / cutoff);
        reset();
    }

    /** Begin a new stream. */
    public void reset() {
        held = new double[4 * reach];
        nHeld = reach;
        at = reach;
    }

    /** Take n samples of an array; return those of the other rate that are settled by them. */
    public short[] push(short[] samples, int n) {
        if (step == 1) {
            return java.util.Arrays.copyOf(samples, n);
        }
        if (nHeld + n > held.length) {
            held = java.util.Arrays.copyOf(held, 2 * (nHeld + n));
        }
        for (int i = 0; i < n; i++) {
            held[nHeld++] = samples[i];
        }
        int count = (int) Math.max(0, Math.ceil((nHeld - reach - at) / step));
        short[] out = new short[count];
        int done = 0;
        while (done < count && at + reach < nHeld) {
            out[done++] = value();
            at += step;
        }
        drop((int) at - reach);
        return done == count ? out : java.util.Arrays.copyOf(out, done);
    }

    private short value() {
        int first = (int) Math.ceil(at - reach);
        int last = (int) Math.floor(at + reach);
        double sum = 0;
        double total = 0;
        for (int i = Math.max(0, first); i <= last; i++) {
            double x = (i - at) * cutoff;
            double hann = Math.abs(x) >= WIDTH ? 0 : 0.5 + 0.5 * Math.cos(Math.PI * x / WIDTH);
            double weight = hann * (x == 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
            sum += weight * held[i];
            total += weight;
        }
        return (short) Math.max(-32768, Math.min(32767, Math.rint(sum / total)));
    }

    private void drop(int n) {
        if (n > 0) {
            System.arraycopy(held, n, held, 0, nHeld - n);
            nHeld -= n;
            at -= n;
        }
    }
}
