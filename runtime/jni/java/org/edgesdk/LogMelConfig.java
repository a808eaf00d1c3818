package org.edgesdk;

import java.util.Map;

/**
 * A log-mel front end, 25 ms windows every 10 ms, and its constants.
 *
 * <p>The rules are those of {@code edge_sdk/audio/logmel.py}. Logarithm and sine are StrictMath's:
 * the same tables on every device.
 */
public final class LogMelConfig {
    static final int FEATURE_BITS = 9;
    private static final int SINE_BITS = 30;
    private static final int WINDOW_BITS = 15;
    private static final int POSITION_BITS = 10;

    /** 8000 or 16000. */
    public final int rateHz;
    /** Triangles, 1 to 62. */
    public final int nBands;
    /** Lower foot of the first triangle; the upper foot of the last is rateHz / 2. */
    public final double lowHz;
    /** log2 of the energy added to each band: what counts as silence. */
    public final int floorLog2;

    /** 8 kHz, 32 bands from 60 Hz, a floor of 2^12. */
    public LogMelConfig() {
        this(8000, 32, 60.0, 12);
    }

    /**
     * Makes a front end.
     *
     * @throws ShapeException Out of range, or a band without a point of the spectrum.
     */
    public LogMelConfig(int rateHz, int nBands, double lowHz, int floorLog2) {
        this.rateHz = rateHz;
        this.nBands = nBands;
        this.lowHz = lowHz;
        this.floorLog2 = floorLog2;
        if (rateHz != 8000 && rateHz != 16000) {
            throw new ShapeException("8000 or 16000 Hz", String.valueOf(rateHz), "`rateHz`",
                    "resample the audio");
        }
        int mostBands = EdgeRuntime.at("EDGE_LOGMEL_MAX_BANDS");
        int mostFloor = EdgeRuntime.at("EDGE_LOGMEL_MAX_FLOOR");
        if (nBands < 1 || nBands > mostBands || floorLog2 < 0 || floorLog2 > mostFloor) {
            throw new ShapeException("1 to " + mostBands + " bands and a floor of 2**0 to 2**"
                    + mostFloor, nBands + " and 2**" + floorLog2, "`nBands`", "32 bands are usual");
        }
        if (!(0 <= lowHz && lowHz < rateHz / 2.0) || hasEmptyBands()) {
            throw new ShapeException("a point of the spectrum in each band",
                    nBands + " bands from " + lowHz + " Hz", "`nBands`",
                    "take fewer bands, or begin them higher");
        }
    }

    /** Returns the front end that a file's metadata names. */
    static LogMelConfig fromJson(Map<String, Object> stored) {
        LogMelConfig usual = new LogMelConfig();
        int rateHz = usual.rateHz;
        int nBands = usual.nBands;
        double lowHz = usual.lowHz;
        int floorLog2 = usual.floorLog2;
        for (Map.Entry<String, Object> entry : stored.entrySet()) {
            switch (entry.getKey()) {
                case "rate_hz":
                    rateHz = Json.small(entry.getValue(), "rate_hz");
                    break;
                case "n_bands":
                    nBands = Json.small(entry.getValue(), "n_bands");
                    break;
                case "low_hz":
                    lowHz = Json.number(entry.getValue(), "low_hz");
                    break;
                case "floor_log2":
                    floorLog2 = Json.small(entry.getValue(), "floor_log2");
                    break;
                default:
                    throw new UnsupportedModelException("a log-mel front end known here",
                            entry.getKey(), "`model`", "update edge-inference-sdk");
            }
        }
        return new LogMelConfig(rateHz, nBands, lowHz, floorLog2);
    }

    /** Returns the samples in a frame. */
    public int window() {
        return rateHz / 40;
    }

    /** Returns the samples from one frame to the next. */
    public int hop() {
        return rateHz / 100;
    }

    /** Returns the points of the transform. */
    public int nFft() {
        return rateHz == 8000 ? 256 : 512;
    }

    /** Returns how many whole frames are in so many samples. */
    public int nFrames(int nSamples) {
        return nSamples < window() ? 0 : 1 + (nSamples - window()) / hop();
    }

    /** Returns a Hann window, periodic, 15 bits after the point. */
    short[] weights() {
        short[] weights = new short[window()];
        for (int i = 0; i < weights.length; i++) {
            double hann = 0.5 - 0.5 * StrictMath.cos(2.0 * Math.PI * i / weights.length);
            double rounded = StrictMath.rint(hann * (1 << WINDOW_BITS));
            weights[i] = (short) Math.min(rounded, (1 << WINDOW_BITS) - 1);
        }
        return weights;
    }

    /** Returns sin(2 pi i / nFft), 30 bits after the point. */
    int[] sine() {
        int[] sine = new int[nFft() / 4 + 1];
        for (int i = 0; i < sine.length; i++) {
            double exact = StrictMath.sin(2.0 * Math.PI * i / nFft());
            sine[i] = (int) StrictMath.rint(exact * (1 << SINE_BITS));
        }
        return sine;
    }

    /** Returns where each point of the spectrum lies among the triangles, 10 bits after the point. */
    int[] position() {
        int[] position = new int[nFft() / 2 + 1];
        double low = mel(lowHz);
        double high = mel(rateHz / 2.0);
        for (int i = 0; i < position.length; i++) {
            double exact = (mel(i * ((double) rateHz / nFft())) - low) / (high - low)
                    * (nBands + 1);
            double rounded = StrictMath.rint(Math.max(exact, 0.0) * (1 << POSITION_BITS));
            position[i] = (int) Math.min(rounded, nBands + 1 << POSITION_BITS);
        }
        return position;
    }

    private static double mel(double hz) {
        return 2595.0 * StrictMath.log10(1.0 + hz / 700.0);
    }

    private boolean hasEmptyBands() {
        int one = 1 << POSITION_BITS;
        int[] sums = new int[nBands + 3];
        for (int point : position()) {
            int band = point >> POSITION_BITS;
            int part = point & one - 1;
            sums[band] += point > 0 ? one - part : 0;
            sums[band + 1] += part;
        }
        for (int band = 1; band <= nBands; band++) {
            if (sums[band] == 0) {
                return true;
            }
        }
        return false;
    }
}
