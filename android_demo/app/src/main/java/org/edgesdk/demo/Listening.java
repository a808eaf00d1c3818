package org.edgesdk.demo;

import org.edgesdk.EdgeException;
import org.edgesdk.Listener;
import org.edgesdk.demo.core.SpeechModel;
import org.edgesdk.demo.core.SpeechStream;
import org.edgesdk.demo.core.Wav;

import java.util.ArrayList;
import java.util.List;

/** A run over the microphone or a file. It belongs to the process: rotation does not stop it. */
final class Listening {
    /** The words that are kept on the screen. */
    private static final int MOST_WORDS = 100;

    /** Sound after which the screen is told again, words or not. */
    private static final double TELL_S = 0.25;

    private final Engine engine;
    private final List<Listener.Heard> words = new ArrayList<Listener.Heard>();
    private volatile boolean wanted;
    private volatile boolean running;
    private volatile boolean live;
    private volatile int problem;
    private volatile String error;
    private volatile int rateHz;
    private volatile double heardS;
    private volatile double tookS;
    private double toldS;

    Listening(Engine engine) {
        this.engine = engine;
    }

    boolean isRunning() {
        return running;
    }

    /** Whether it is the microphone that is, or was, listened to. */
    boolean isLive() {
        return live;
    }

    /** A text that says what went wrong, or 0. */
    int problem() {
        return problem;
    }

    /** What a model that is damaged says, or null. */
    String error() {
        return error;
    }

    int rateHz() {
        return rateHz;
    }

    /** Seconds of sound so far. */
    double heardS() {
        return heardS;
    }

    /** Seconds that their features and model took. */
    double tookS() {
        return tookS;
    }

    List<Listener.Heard> words() {
        synchronized (words) {
            return new ArrayList<Listener.Heard>(words);
        }
    }

    void clear() {
        synchronized (words) {
            words.clear();
        }
        engine.changed();
    }

    /** Stop; what was said until then is kept. */
    void stop() {
        wanted = false;
    }

    /** Listen to the microphone until `stop`. The right to record has been given. */
    void record() {
        begin(true, new Source() {
            @Override
            public void feed(SpeechModel model) {
                Recorder recorder = Recorder.open();
                if (recorder == null) {
                    problem = R.string.no_microphone;
                    return;
                }
                try {
                    SpeechStream stream = stream(model, recorder.rateHz);
                    short[] block = recorder.block();
                    while (wanted) {
                        int n = recorder.read(block);
                        if (n < 0) {
                            problem = R.string.no_microphone;
                            break;
                        }
                        take(stream, stream.push(block, n));
                    }
                    take(stream, stream.finish());
                } finally {
                    recorder.close();
                }
            }
        });
    }

    /** Listen to a file, as fast as the device can. */
    void play(final Wav wav) {
        begin(false, new Source() {
            @Override
            public void feed(SpeechModel model) {
                SpeechStream stream = stream(model, wav.rateHz);
                int step = Math.max(1, wav.rateHz / 20);
                for (int at = 0; wanted && at < wav.samples.length; at += step) {
                    int n = Math.min(step, wav.samples.length - at);
                    short[] block = java.util.Arrays.copyOfRange(wav.samples, at, at + n);
                    take(stream, stream.push(block, n));
                }
                take(stream, stream.finish());
            }
        });
    }

    private interface Source {
        void feed(SpeechModel model);
    }

    private synchronized void begin(boolean microphone, final Source source) {
        if (running) {
            return;
        }
        running = true;
        wanted = true;
        live = microphone;
        problem = 0;
        error = null;
        heardS = 0;
        tookS = 0;
        toldS = 0;
        engine.changed();
        engine.speech.execute(new Runnable() {
            @Override
            public void run() {
                try {
                    Part<SpeechModel> part = engine.speech();
                    if (part.value != null) {
                        source.feed(part.value);
                    }
                } catch (EdgeException damaged) {
                    error = damaged.getMessage();
                } finally {
                    running = false;
                    engine.changed();
                }
            }
        });
    }

    private SpeechStream stream(SpeechModel model, int hz) {
        rateHz = hz;
        return model.stream(hz);
    }

    private void take(SpeechStream stream, List<Listener.Heard> heard) {
        heardS = stream.heardS();
        tookS = stream.tookS();
        synchronized (words) {
            words.addAll(heard);
            while (words.size() > MOST_WORDS) {
                words.remove(0);
            }
        }
        if (!heard.isEmpty() || heardS - toldS >= TELL_S) {
            toldS = heardS;
            engine.changed();
        }
    }
}
