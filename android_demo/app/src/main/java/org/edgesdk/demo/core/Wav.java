package org.edgesdk.demo.core;

import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;

/** Sound of a wav file: PCM of 8 or 16 bits, one or more channels, averaged. */
public final class Wav {
    /** Rates outside are no sound but a damaged head, as in edge_sdk.audio.wav. */
    static final int LEAST_HZ = 1000;
    static final int MOST_HZ = 192_000;

    /** Longest sound that is taken: ten minutes at the highest usual rate. */
    static final long MOST_BYTES = 120L << 20;

    /** One channel. */
    public final short[] samples;

    public final int rateHz;

    /** Not a wav file, or one of a form that is not read here. */
    public static final class WavException extends IOException {
        private static final long serialVersionUID = 1L;

        WavException(String expected, String got) {
            super("expected " + expected + ", got " + got);
        }
    }

    private Wav(short[] samples, int rateHz) {
        this.samples = samples;
        this.rateHz = rateHz;
    }

    /**
     * Read a file; the stream is not closed.
     *
     * @throws WavException truncated, compressed, without samples, or no wav file.
     * @throws IOException  the stream can not be read.
     */
    public static Wav read(InputStream stream) throws IOException {
        DataInputStream in = new DataInputStream(stream);
        try {
            return chunks(in);
        } catch (EOFException error) {
            throw new WavException("a whole wav file", "one that ends too early");
        }
    }

    private static Wav chunks(DataInputStream in) throws IOException {
        if (in.readInt() != 0x52494646) {
            throw new WavException("a wav file", "another one: it does not begin with RIFF");
        }
        int4(in);
        if (in.readInt() != 0x57415645) {
            throw new WavException("a wav file", "another kind of RIFF file");
        }
        int channels = 0;
        int rate = 0;
        int bits = 0;
        while (true) {
            int name = in.readInt();
            long size = int4(in) & 0xffffffffL;
            if (name == 0x666d7420 && size >= 16) {
                int format = int2(in);
                channels = int2(in);
                rate = int4(in);
                int4(in);
                int2(in);
                bits = int2(in);
                checkFormat(format, channels, rate, bits);
                skip(in, size - 16 + (size & 1));
            } else if (name == 0x64617461) {
                if (channels == 0) {
                    throw new WavException("a format before the samples", "none");
                }
                return new Wav(samples(in, size, channels, bits), rate);
            } else {
                skip(in, size + (size & 1));
            }
        }
    }

    private static void checkFormat(int format, int channels, int rate, int bits)
            throws WavException {
        boolean plain = format == 1 || format == 0xfffe;
        if (!plain || (bits != 8 && bits != 16) || channels < 1 || channels > 64
                || rate < LEAST_HZ || rate > MOST_HZ) {
            throw new WavException("PCM of 8 or 16 bits", "format " + format + ", " + bits
                    + " bits, " + channels + " channels, " + rate + " Hz");
        }
    }

    private static short[] samples(DataInputStream in, long size, int channels, int bits)
            throws IOException {
        int step = channels * bits / 8;
        if (size / step == 0 || size > MOST_BYTES) {
            throw new WavException("some samples, " + MOST_BYTES + " bytes at most",
                    size + " bytes");
        }
        // Grown as bytes come: a damaged head may promise more than there is.
        short[] samples = new short[(int) Math.min(size / step, 1 << 16)];
        int n = (int) (size / step);
        byte[] frame = new byte[step];
        for (int i = 0; i < n; i++) {
            in.readFully(frame);
            if (i == samples.length) {
                samples = java.util.Arrays.copyOf(samples, (int) Math.min(n, 2L * i));
            }
            samples[i] = mean(frame, channels, bits);
        }
        return samples;
    }

    private static short mean(byte[] frame, int channels, int bits) {
        int sum = 0;
        for (int c = 0; c < channels; c++) {
            sum += bits == 8 ? (frame[c] & 255) - 128 << 8
                    : (frame[2 * c] & 255) | frame[2 * c + 1] << 8;
        }
        return (short) Math.rint((double) sum / channels);
    }

    private static int int2(DataInputStream in) throws IOException {
        return Short.reverseBytes(in.readShort()) & 0xffff;
    }

    private static int int4(DataInputStream in) throws IOException {
        return Integer.reverseBytes(in.readInt());
    }

    private static void skip(DataInputStream in, long n) throws IOException {
        for (long left = n; left > 0; ) {
            long done = in.skip(left);
            if (done <= 0) {
                in.readByte();
                done = 1;
            }
            left -= done;
        }
    }
}
