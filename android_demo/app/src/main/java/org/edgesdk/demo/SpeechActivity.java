package org.edgesdk.demo;

import android.Manifest;
import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.net.Uri;
import android.os.Bundle;
import android.view.View;
import android.widget.Button;

import org.edgesdk.Listener;
import org.edgesdk.demo.core.Wav;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;

/** Spoken digits, from the microphone, a wav file, or the phone's own voice. */
public final class SpeechActivity extends Screen {
    private static final int RECORD = 1;
    private static final int OPEN = 2;
    private static final String WORDS = "words";

    /** Words of a process that has died since; new ones are added below. */
    private String before = "";
    private Voice voice;
    private String refused;

    @Override
    protected int layout() {
        return R.layout.speech;
    }

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        if (saved != null && engine.listening.words().isEmpty()) {
            before = saved.getString(WORDS, "");
        }
        findViewById(R.id.record).setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                recordOrStop();
            }
        });
        findViewById(R.id.open_wav).setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                open();
            }
        });
        findViewById(R.id.voice).setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                speak();
            }
        });
        findViewById(R.id.clear).setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                before = "";
                refused = null;
                engine.listening.clear();
            }
        });
    }

    @Override
    protected void onSaveInstanceState(Bundle out) {
        super.onSaveInstanceState(out);
        out.putString(WORDS, text(R.id.words).getText().toString());
    }

    @Override
    protected void onStop() {
        if (!isChangingConfigurations() && engine.listening.isLive()) {
            // Nobody is recorded whom no screen tells so.
            engine.listening.stop();
        }
        super.onStop();
    }

    @Override
    protected void onDestroy() {
        if (voice != null) {
            voice.close();
        }
        super.onDestroy();
    }

    @Override
    public void onEngineChanged() {
        Listening listening = engine.listening;
        boolean ready = engine.speech().value != null;
        boolean recording = listening.isRunning() && listening.isLive();
        ((Button) findViewById(R.id.record)).setText(recording ? R.string.stop : R.string.record);
        findViewById(R.id.record).setEnabled(ready && (recording || !listening.isRunning()));
        findViewById(R.id.open_wav).setEnabled(ready && !listening.isRunning());
        findViewById(R.id.voice).setEnabled(ready && !listening.isRunning() && voice == null);
        showProblems(listening);
        showState(listening);
        StringBuilder words = new StringBuilder(before);
        for (Listener.Heard word : listening.words()) {
            words.append(words.length() == 0 ? "" : "\n").append(getString(R.string.speech_word,
                    Text.number(word.startS), word.label, Text.number(word.confidence),
                    word.sure ? getString(R.string.decided_early) : ""));
        }
        text(R.id.words).setText(words);
    }

    private void showProblems(Listening listening) {
        if (engine.speech().error != null) {
            showProblem(R.string.tab_speech, engine.speech().error);
        } else if (listening.error() != null) {
            showProblem(listening.error());
        } else if (listening.problem() != 0) {
            showProblem(getString(listening.problem()));
        } else {
            showProblem(refused);
        }
    }

    private void showState(Listening listening) {
        if (listening.isRunning()) {
            double faster = listening.heardS() / Math.max(listening.tookS(), 1e-9);
            text(R.id.state).setText(getString(R.string.listening, listening.rateHz(),
                    Text.number(listening.heardS()), Text.number(faster)));
        } else if (listening.heardS() > 0) {
            text(R.id.state).setText(getString(R.string.listened,
                    Text.number(listening.heardS()), Text.number(1e3 * listening.tookS())));
        } else {
            text(R.id.state).setText(R.string.not_listening);
        }
    }

    private void recordOrStop() {
        if (engine.listening.isRunning()) {
            engine.listening.stop();
        } else if (checkSelfPermission(Manifest.permission.RECORD_AUDIO)
                == PackageManager.PERMISSION_GRANTED) {
            refused = null;
            engine.listening.record();
        } else {
            requestPermissions(new String[] {Manifest.permission.RECORD_AUDIO}, RECORD);
        }
    }

    @Override
    public void onRequestPermissionsResult(int request, String[] permissions, int[] results) {
        if (request != RECORD || results.length == 0) {
            return;
        }
        if (results[0] == PackageManager.PERMISSION_GRANTED) {
            refused = null;
            engine.listening.record();
        } else {
            refused = getString(R.string.no_permission);
            onEngineChanged();
        }
    }

    private void open() {
        Intent intent = new Intent(Intent.ACTION_OPEN_DOCUMENT);
        intent.addCategory(Intent.CATEGORY_OPENABLE);
        intent.setType("audio/*");
        try {
            startActivityForResult(intent, OPEN);
        } catch (ActivityNotFoundException error) {
            refuse(getString(R.string.wav_unreadable, error.getMessage()));
        }
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        super.onActivityResult(request, result, data);
        final Uri sound = data == null ? null : data.getData();
        if (request != OPEN || result != RESULT_OK || sound == null) {
            return;
        }
        refused = null;
        engine.speech.execute(new Runnable() {
            @Override
            public void run() {
                try {
                    play(Pictures.copy(getApplicationContext(), sound, "sound"));
                } catch (IOException error) {
                    refuse(getString(R.string.wav_unreadable, error.getMessage()));
                } catch (SecurityException error) {
                    refuse(getString(R.string.wav_unreadable, error.getMessage()));
                }
            }
        });
    }

    private void speak() {
        refused = null;
        voice = new Voice(this, new Voice.Listener() {
            @Override
            public void onSpoken(final File file) {
                engine.speech.execute(new Runnable() {
                    @Override
                    public void run() {
                        play(file);
                    }
                });
                silent();
            }

            @Override
            public void onNoVoice() {
                refuse(getString(R.string.no_voice));
                silent();
            }
        });
        onEngineChanged();
    }

    /** From any thread: the voice has done what it could. */
    private void silent() {
        engine.onMain(new Runnable() {
            @Override
            public void run() {
                if (voice != null) {
                    voice.close();
                    voice = null;
                }
                onEngineChanged();
            }
        });
    }

    /** Read a copied file, which is then deleted, and listen to it. */
    private void play(File file) {
        try {
            FileInputStream stream = new FileInputStream(file);
            try {
                engine.listening.play(Wav.read(new java.io.BufferedInputStream(stream)));
            } finally {
                stream.close();
            }
        } catch (IOException error) {
            refuse(getString(R.string.wav_unreadable, error.getMessage()));
        } finally {
            if (!file.delete()) {
                file.deleteOnExit();
            }
        }
    }

    /** From any thread. */
    private void refuse(final String words) {
        engine.onMain(new Runnable() {
            @Override
            public void run() {
                refused = words;
                onEngineChanged();
            }
        });
    }
}
