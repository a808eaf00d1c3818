package org.edgesdk.demo.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import org.junit.Test;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.Arrays;

public class SoundTest {
    private static byte[] wav(int format, int channels, int rate, int bits, byte[] samples,
                              int promised) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(bytes);
        out.writeBytes("RIFF");
        out.writeInt(Integer.reverseBytes(36 + samples.length));
        out.writeBytes("WAVEfmt ");
        out.writeInt(Integer.reverseBytes(16));
        out.writeShort(Short.reverseBytes((short) format));
        out.writeShort(Short.reverseBytes((short) channels));
        out.writeInt(Integer.reverseBytes(rate));
        out.writeInt(Integer.reverseBytes(rate * channels * bits / 8));
        out.writeShort(Short.reverseBytes((short) (channels * bits / 8)));
        out.writeShort(Short.reverseBytes((short) bits));
        out.writeBytes("LIST");
        out.writeInt(Integer.reverseBytes(3));
        out.write(new byte[4]);
        out.writeBytes("data");
        out.writeInt(Integer.reverseBytes(promised));
        out.write(samples);
        return bytes.toByteArray();
    }

    private static Wav read(byte[] bytes) throws IOException {
        return Wav.read(new ByteArrayInputStream(bytes));
    }

    @Test
    public void samples_of_16_bits_come_as_they_are() throws Exception {
        Wav wav = read(wav(1, 1, 8000, 16, new byte[] {1, 0, (byte) 255, (byte) 255, 0, (byte) 128},
                6));
        assertEquals(8000, wav.rateHz);
        assertArrayEquals(new short[] {1, -1, -32768}, wav.samples);
    }

    @Test
    public void channels_are_averaged_and_eight_bits_widened() throws Exception {
        assertArrayEquals(new short[] {15}, read(wav(1, 2, 8000, 16, new byte[] {10, 0, 20, 0}, 4))
                .samples);
        assertArrayEquals(new short[] {0, 32512}, read(wav(1, 1, 8000, 8,
                new byte[] {(byte) 128, (byte) 255}, 2)).samples);
    }

    @Test
    public void damaged_files_are_refused_in_words() throws Exception {
        byte[] good = wav(1, 1, 8000, 16, new byte[20], 20);
        byte[][] bad = {new byte[0], Arrays.copyOf(good, 11), Arrays.copyOf(good, 30),
            Arrays.copyOf(good, good.length - 1), wav(3, 1, 8000, 16, new byte[4], 4),
            wav(1, 0, 8000, 16, new byte[4], 4), wav(1, 1, 8000, 24, new byte[6], 6),
            wav(1, 1, 7, 16, new byte[4], 4), wav(1, 1, 8000, 16, new byte[4], 0),
            wav(1, 1, 8000, 16, new byte[4], 0x7ffffff0), "not a wav file".getBytes("UTF-8")};
        for (byte[] bytes : bad) {
            try {
                read(bytes);
                fail("a damaged file was read");
            } catch (Wav.WavException error) {
                assertTrue(error.getMessage().startsWith("expected"));
            }
        }
    }

    private static short[] tone(double hz, int rate, int n) {
        short[] tone = new short[n];
        for (int i = 0; i < n; i++) {
            tone[i] = (short) Math.rint(10_000 * Math.sin(2 * Math.PI * hz * i / rate));
        }
        return tone;
    }

    @Test
    public void a_tone_keeps_its_pitch_at_another_rate() {
        for (int rate : new int[] {16000, 22050, 44100, 48000}) {
            short[] out = new Resampler(rate, 8000).push(tone(440, rate, rate), rate);
            assertTrue(out.length > 7900 && out.length <= 8000);
            short[] expected = tone(440, 8000, 8000);
            double worst = 0;
            for (int i = 400; i < out.length - 400; i++) {
                worst = Math.max(worst, Math.abs(out[i] - expected[i]));
            }
            assertTrue("off by " + worst + " at " + rate, worst < 100);
        }
    }

    @Test
    public void what_the_lower_rate_can_not_hold_is_taken_out() {
        short[] out = new Resampler(48000, 8000).push(tone(5000, 48000, 48000), 48000);
        double most = 0;
        for (int i = 400; i < out.length - 400; i++) {
            most = Math.max(most, Math.abs(out[i]));
        }
        assertTrue("an alias of " + most, most < 300);
    }

    @Test
    public void pieces_give_the_same_samples_as_the_whole() {
        short[] sound = tone(300, 44100, 20_000);
        short[] whole = new Resampler(44100, 8000).push(sound, sound.length);
        Resampler resampler = new Resampler(44100, 8000);
        short[] pieces = new short[0];
        int at = 0;
        for (int step = 1; at < sound.length; step = step * 7 % 1013 + 1) {
            int n = Math.min(step, sound.length - at);
            short[] more = resampler.push(Arrays.copyOfRange(sound, at, at + n), n);
            int before = pieces.length;
            pieces = Arrays.copyOf(pieces, before + more.length);
            System.arraycopy(more, 0, pieces, before, more.length);
            at += n;
        }
        assertArrayEquals(Arrays.copyOf(whole, pieces.length), pieces);
        assertTrue(whole.length - pieces.length <= 1);
    }
}
