package org.edgesdk.demo;

import android.media.AudioFormat;
import android.media.AudioRecord;
import android.media.MediaRecorder;

/** The microphone, at a rate that this device has. For one thread. */
final class Recorder {
    /** The front end's own rate first: what comes at another is resampled. */
    private static final int[] RATES_HZ = {8000, 16000, 48000, 44100};

    private static final double BLOCK_S = 0.05;
    private static final double BUFFER_S = 2;

    private final AudioRecord record;
    final int rateHz;

    private Recorder(AudioRecord record, int rateHz) {
        this.record = record;
        this.rateHz = rateHz;
    }

    /** Return the microphone, recording; null if there is none, or another app has it. */
    static Recorder open() {
        for (int rate : RATES_HZ) {
            int least = AudioRecord.getMinBufferSize(rate, AudioFormat.CHANNEL_IN_MONO,
                    AudioFormat.ENCODING_PCM_16BIT);
            if (least <= 0) {
                continue;
            }
            AudioRecord record;
            try {
                record = new AudioRecord(MediaRecorder.AudioSource.VOICE_RECOGNITION, rate,
                        AudioFormat.CHANNEL_IN_MONO, AudioFormat.ENCODING_PCM_16BIT,
                        Math.max(least, (int) (2 * BUFFER_S * rate)));
            } catch (IllegalArgumentException error) {
                continue;
            }
            if (begins(record)) {
                return new Recorder(record, rate);
            }
            record.release();
        }
        return null;
    }

    private static boolean begins(AudioRecord record) {
        if (record.getState() != AudioRecord.STATE_INITIALIZED) {
            return false;
        }
        try {
            record.startRecording();
        } catch (IllegalStateException error) {
            return false;
        }
        return record.getRecordingState() == AudioRecord.RECORDSTATE_RECORDING;
    }

    /** An array as long as one reading. */
    short[] block() {
        return new short[(int) (BLOCK_S * rateHz)];
    }

    /** Wait for samples; return how many came, below 0 if the microphone is gone. */
    int read(short[] block) {
        return record.read(block, 0, block.length);
    }

    void close() {
        try {
            record.stop();
        } catch (IllegalStateException ignored) {
            // It had stopped by itself.
        }
        record.release();
    }
}
