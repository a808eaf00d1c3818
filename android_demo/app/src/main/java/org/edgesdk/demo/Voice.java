package org.edgesdk.demo;

import android.content.Context;
import android.os.Bundle;
import android.speech.tts.TextToSpeech;
import android.speech.tts.UtteranceProgressListener;

import java.io.File;
import java.io.IOException;
import java.util.Locale;

/** Lets the phone's own voice speak digits into a wav file: a sample that needs no microphone. */
final class Voice {
    /** Told once, on any thread. */
    interface Listener {
        void onSpoken(File file);

        void onNoVoice();
    }

    private static final String UTTERANCE = "digits";

    private final Context context;
    private final Listener listener;
    private final TextToSpeech speech;
    private File file;

    Voice(Context context, Listener listener) {
        this.context = context.getApplicationContext();
        this.listener = listener;
        speech = new TextToSpeech(this.context, new TextToSpeech.OnInitListener() {
            @Override
            public void onInit(int status) {
                if (status == TextToSpeech.SUCCESS) {
                    speak();
                } else {
                    Voice.this.listener.onNoVoice();
                }
            }
        });
    }

    void close() {
        speech.shutdown();
    }

    private void speak() {
        int language = speech.setLanguage(Locale.US);
        boolean known = language != TextToSpeech.LANG_MISSING_DATA
                && language != TextToSpeech.LANG_NOT_SUPPORTED;
        try {
            file = File.createTempFile("voice", ".wav", context.getCacheDir());
        } catch (IOException error) {
            known = false;
        }
        speech.setOnUtteranceProgressListener(new UtteranceProgressListener() {
            @Override
            public void onStart(String utterance) {
                // Nothing is shown until all is spoken.
            }

            @Override
            public void onDone(String utterance) {
                listener.onSpoken(file);
            }

            @Override
            @SuppressWarnings("deprecation")
            public void onError(String utterance) {
                listener.onNoVoice();
            }
        });
        if (!known || speech.synthesizeToFile(context.getString(R.string.own_voice_text),
                new Bundle(), file, UTTERANCE) != TextToSpeech.SUCCESS) {
            listener.onNoVoice();
        }
    }
}
