package org.edgesdk.demo;

import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.view.View;
import android.view.WindowManager;
import android.widget.Button;
import android.widget.ProgressBar;

import android.os.Bundle;

/** Measures this device, shows a table and shares the JSON. */
public final class BenchActivity extends Screen {
    @Override
    protected int layout() {
        return R.layout.bench;
    }

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        findViewById(R.id.run).setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                if (engine.benchmark.isRunning()) {
                    engine.benchmark.cancel();
                } else {
                    engine.benchmark.start();
                }
            }
        });
        findViewById(R.id.share).setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                share();
            }
        });
    }

    @Override
    public void onEngineChanged() {
        Benchmark bench = engine.benchmark;
        boolean running = bench.isRunning();
        keepScreenOn(running);
        ((Button) findViewById(R.id.run)).setText(running ? R.string.cancel : R.string.run);
        findViewById(R.id.run).setEnabled(!engine.image().isLoading());
        ProgressBar progress = (ProgressBar) findViewById(R.id.progress);
        progress.setVisibility(running ? View.VISIBLE : View.INVISIBLE);
        progress.setMax(bench.ofAll());
        progress.setProgress(bench.done());
        String table = bench.table();
        findViewById(R.id.share).setEnabled(!running && table != null);
        text(R.id.table).setText(table == null ? "" : table);
        text(R.id.state).setText(state(bench, table));
        if (bench.error() != null) {
            showProblem(bench.error());
        } else if (engine.image().error != null) {
            showProblem(R.string.tab_image, engine.image().error);
        } else if (engine.codes().error != null) {
            showProblem(R.string.codes, engine.codes().error);
        } else {
            showProblem(R.string.tab_speech, engine.speech().error);
        }
    }

    private String state(Benchmark bench, String table) {
        if (bench.isRunning()) {
            return getString(R.string.bench_running, bench.at(), bench.done(), bench.ofAll());
        }
        if (bench.wasCancelled()) {
            return getString(R.string.bench_cancelled);
        }
        if (!Double.isNaN(bench.tookS())) {
            return getString(R.string.bench_done, bench.nItems(), Text.number(bench.tookS()));
        }
        return table == null ? getString(R.string.bench_none) : "";
    }

    /** A dark screen slows the device down. */
    private void keepScreenOn(boolean on) {
        if (on) {
            getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        } else {
            getWindow().clearFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        }
    }

    private void share() {
        String json = engine.benchmark.json();
        if (json == null) {
            return;
        }
        Intent intent = new Intent(Intent.ACTION_SEND);
        intent.setType("text/json");
        intent.putExtra(Intent.EXTRA_SUBJECT, getString(R.string.share_title));
        intent.putExtra(Intent.EXTRA_TEXT, json);
        try {
            startActivity(Intent.createChooser(intent, getString(R.string.share_title)));
        } catch (ActivityNotFoundException error) {
            showProblem(error.getMessage());
        }
    }
}
