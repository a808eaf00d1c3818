package org.edgesdk.demo;

import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.content.SharedPreferences;
import android.graphics.Bitmap;
import android.graphics.Color;
import android.graphics.drawable.BitmapDrawable;
import android.net.Uri;
import android.os.Bundle;
import android.view.View;
import android.widget.ImageView;
import android.widget.SeekBar;

import org.edgesdk.EdgeException;
import org.edgesdk.demo.core.BudgetSettings;
import org.edgesdk.demo.core.DigitPicture;
import org.edgesdk.demo.core.Drawing;
import org.edgesdk.demo.core.ImageAnswer;
import org.edgesdk.demo.core.ImageSession;

import java.io.IOException;

/** A digit, drawn or from a picture: what it is, and how much of the model that took. */
public final class ImageActivity extends Screen {
    private static final int PICK = 1;
    private static final String PIXELS = "pixels";
    private static final String PICTURE_MS = "picture_ms";
    private static final String LATENCY = "latency_place";
    private static final String BATTERY = "battery_place";

    private DrawView drawView;
    private SeekBar latencyBar;
    private SeekBar batteryBar;
    private BudgetSettings budget = BudgetSettings.none();

    /** What was classified last; it is classified again after rotation. */
    private float[] pixels;
    private double pictureMs;
    private boolean asked;
    private boolean destroyed;

    @Override
    protected int layout() {
        return R.layout.image;
    }

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        drawView = (DrawView) findViewById(R.id.drawing);
        drawView.setListener(new DrawView.Listener() {
            @Override
            public void onStrokeBegins() {
                showProblem((String) null);
            }

            @Override
            public void onStrokeEnds() {
                takeDrawing();
            }
        });
        findViewById(R.id.clear).setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                clear();
            }
        });
        findViewById(R.id.pick).setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                pick();
            }
        });
        setSliders();
        if (saved != null) {
            pixels = saved.getFloatArray(PIXELS);
            pictureMs = saved.getDouble(PICTURE_MS);
        }
    }

    @Override
    protected void onSaveInstanceState(Bundle out) {
        super.onSaveInstanceState(out);
        out.putFloatArray(PIXELS, pixels);
        out.putDouble(PICTURE_MS, pictureMs);
    }

    @Override
    protected void onDestroy() {
        destroyed = true;
        super.onDestroy();
    }

    @Override
    public void onEngineChanged() {
        Part<ImageSession> part = engine.image();
        showProblem(R.string.tab_image, part.error);
        if (part.isLoading()) {
            text(R.id.profile).setText(R.string.loading);
        } else if (!engine.profiling().isEmpty()) {
            text(R.id.profile).setText(getString(R.string.profiling, engine.profiling()));
        } else if (part.value != null) {
            String rows = part.value.profileText();
            text(R.id.profile).setText(rows.isEmpty() ? ""
                    : getString(R.string.profiled, rows));
        }
        if (pixels != null && !asked) {
            classify();
        }
    }

    private void setSliders() {
        SharedPreferences stored = getPreferences(MODE_PRIVATE);
        budget = new BudgetSettings(stored.getInt(LATENCY, BudgetSettings.LATENCY_STEPS),
                stored.getInt(BATTERY, 0));
        latencyBar = (SeekBar) findViewById(R.id.latency_budget);
        batteryBar = (SeekBar) findViewById(R.id.battery_policy);
        latencyBar.setMax(BudgetSettings.LATENCY_STEPS);
        batteryBar.setMax(BudgetSettings.BATTERY_STEPS);
        latencyBar.setProgress(budget.latencyPlace);
        batteryBar.setProgress(budget.batteryPlace);
        SeekBar.OnSeekBarChangeListener listener = new SeekBar.OnSeekBarChangeListener() {
            @Override
            public void onProgressChanged(SeekBar bar, int place, boolean fromUser) {
                takeBudget();
            }

            @Override
            public void onStartTrackingTouch(SeekBar bar) {
                // Only what it is moved to counts.
            }

            @Override
            public void onStopTrackingTouch(SeekBar bar) {
                classify();
            }
        };
        latencyBar.setOnSeekBarChangeListener(listener);
        batteryBar.setOnSeekBarChangeListener(listener);
        takeBudget();
    }

    private void takeBudget() {
        budget = new BudgetSettings(latencyBar.getProgress(), batteryBar.getProgress());
        getPreferences(MODE_PRIVATE).edit().putInt(LATENCY, budget.latencyPlace)
                .putInt(BATTERY, budget.batteryPlace).apply();
        double ms = budget.latencyMs();
        text(R.id.latency_budget_text).setText(Double.isNaN(ms)
                ? getString(R.string.latency_budget_none)
                : getString(R.string.latency_budget_text, Text.number(ms)));
        text(R.id.battery_policy_text).setText(budget.floorPct() >= 0
                ? getString(R.string.battery_policy_floor, budget.floorPct())
                : budget.hours() >= 0 ? getString(R.string.battery_policy_hours, budget.hours())
                : getString(R.string.battery_policy_none));
    }

    private void clear() {
        drawView.clear();
        pixels = null;
        showProblem(R.string.tab_image, engine.image().error);
        text(R.id.label).setText(R.string.unknown);
        text(R.id.label).setContentDescription(getString(R.string.answer_none));
        ((ImageView) findViewById(R.id.seen)).setImageDrawable(null);
        for (int id : new int[] {R.id.confidence, R.id.level, R.id.latency, R.id.reason}) {
            text(id).setText("");
        }
    }

    private void takeDrawing() {
        final Drawing drawing = new Drawing();
        drawing.restore(drawView.drawing().save());
        engine.images.execute(new Runnable() {
            @Override
            public void run() {
                long start = System.nanoTime();
                try {
                    taken(drawing.pixels(), start);
                } catch (DigitPicture.NoInkException error) {
                    refused(getString(R.string.no_ink));
                }
            }
        });
    }

    private void pick() {
        Intent intent = new Intent(Intent.ACTION_OPEN_DOCUMENT);
        intent.addCategory(Intent.CATEGORY_OPENABLE);
        intent.setType("image/*");
        try {
            startActivityForResult(intent, PICK);
        } catch (ActivityNotFoundException error) {
            showProblem(getString(R.string.picture_unreadable, error.getMessage()));
        }
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        super.onActivityResult(request, result, data);
        final Uri picture = data == null ? null : data.getData();
        if (request != PICK || result != RESULT_OK || picture == null) {
            return;
        }
        drawView.clear();
        engine.images.execute(new Runnable() {
            @Override
            public void run() {
                long start = System.nanoTime();
                try {
                    taken(Pictures.read(getApplicationContext(), picture), start);
                } catch (DigitPicture.NoInkException error) {
                    refused(getString(R.string.no_ink));
                } catch (IOException error) {
                    refused(getString(R.string.picture_unreadable, error.getMessage()));
                } catch (SecurityException error) {
                    refused(getString(R.string.picture_unreadable, error.getMessage()));
                }
            }
        });
    }

    /** From the thread of pictures. */
    private void taken(final float[] found, long startNanos) {
        final double ms = (System.nanoTime() - startNanos) / 1e6;
        engine.onMain(new Runnable() {
            @Override
            public void run() {
                pixels = found;
                pictureMs = ms;
                showProblem(R.string.tab_image, engine.image().error);
                classify();
            }
        });
    }

    private void refused(final String words) {
        engine.onMain(new Runnable() {
            @Override
            public void run() {
                showProblem(words);
            }
        });
    }

    private void classify() {
        final ImageSession session = engine.image().value;
        if (pixels == null || session == null) {
            return;
        }
        asked = true;
        final float[] input = pixels;
        final BudgetSettings within = budget;
        engine.images.execute(new Runnable() {
            @Override
            public void run() {
                try {
                    final ImageAnswer answer = session.classify(input, within,
                            engine.device.read(), System.nanoTime() * 1e-9);
                    engine.onMain(new Runnable() {
                        @Override
                        public void run() {
                            if (!destroyed && input == pixels) {
                                show(answer);
                            }
                        }
                    });
                } catch (EdgeException error) {
                    refused(error.getMessage());
                }
            }
        });
    }

    private void show(ImageAnswer answer) {
        text(R.id.label).setText(answer.label);
        text(R.id.label).setContentDescription(getString(R.string.answer, answer.label));
        showSeen();
        String known = answer.known == null ? getString(R.string.no_codes)
                : getString(answer.known ? R.string.known : R.string.not_known,
                        answer.codeDistance);
        text(R.id.confidence).setText(getString(R.string.confidence,
                Text.number(answer.confidence), known));
        text(R.id.level).setText(getString(R.string.level, answer.plan, answer.granularity,
                answer.dim));
        text(R.id.latency).setText(getString(R.string.latency,
                Text.number(answer.latencyMs + pictureMs), Text.number(pictureMs),
                answer.recent.n, Text.number(answer.recent.at(50))));
        text(R.id.reason).setText(answer.reason);
    }

    private void showSeen() {
        int[] colours = new int[DigitPicture.N_PIXELS];
        for (int i = 0; i < colours.length; i++) {
            int shade = Math.round(255 * pixels[i]);
            colours[i] = Color.rgb(shade, shade, shade);
        }
        BitmapDrawable picture = new BitmapDrawable(getResources(), Bitmap.createBitmap(colours,
                DigitPicture.SIDE, DigitPicture.SIDE, Bitmap.Config.ARGB_8888));
        picture.setFilterBitmap(false);
        ((ImageView) findViewById(R.id.seen)).setImageDrawable(picture);
    }
}
