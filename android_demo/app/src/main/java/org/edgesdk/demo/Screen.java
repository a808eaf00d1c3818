package org.edgesdk.demo;

import android.app.Activity;
import android.os.Bundle;
import android.os.Handler;
import android.os.Looper;
import android.view.View;
import android.widget.TextView;

import org.edgesdk.EdgeException;
import org.edgesdk.FormatException;
import org.edgesdk.demo.core.DeviceState;

/** What the three screens share: the tabs, the device's state live, and problems in words. */
abstract class Screen extends Activity implements Engine.Observer {
    private final Handler handler = new Handler(Looper.getMainLooper());
    private final Runnable ticker = new Runnable() {
        @Override
        public void run() {
            askDevice();
            handler.postDelayed(this, DeviceReader.REFRESH_MS);
        }
    };
    protected Engine engine;

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        engine = Engine.of(this);
        setContentView(layout());
        Tabs.set(this);
    }

    /** The screen's layout. */
    protected abstract int layout();

    @Override
    protected void onStart() {
        super.onStart();
        engine.observe(this);
        handler.post(ticker);
        onEngineChanged();
    }

    @Override
    protected void onStop() {
        handler.removeCallbacks(ticker);
        engine.leave(this);
        super.onStop();
    }

    protected final TextView text(int id) {
        return (TextView) findViewById(id);
    }

    /** Say what does not work and what to do about it; null hides the message. */
    protected final void showProblem(int part, EdgeException error) {
        if (error == null) {
            showProblem(null);
            return;
        }
        String words = getString(R.string.problem, getString(part), error.getMessage());
        boolean damaged = error instanceof FormatException;
        showProblem(damaged ? words + "\n" + getString(R.string.reinstall) : words);
    }

    protected final void showProblem(String words) {
        TextView problem = text(R.id.problem);
        problem.setText(words == null ? "" : words);
        problem.setVisibility(words == null ? View.GONE : View.VISIBLE);
    }

    private void askDevice() {
        if (findViewById(R.id.device) == null) {
            return;
        }
        engine.asking.execute(new Runnable() {
            @Override
            public void run() {
                final DeviceState state = engine.device.read();
                handler.post(new Runnable() {
                    @Override
                    public void run() {
                        showDevice(state);
                    }
                });
            }
        });
    }

    private void showDevice(DeviceState state) {
        String source = state.charging == null ? getString(R.string.not_told)
                : getString(state.charging ? R.string.charging : R.string.discharging);
        if (Boolean.TRUE.equals(state.powerSaver)) {
            source += ", " + getString(R.string.power_saver);
        }
        text(R.id.device).setText(getString(R.string.device_lines,
                Text.orUnknown(this, R.string.percent, state.batteryPct), source,
                Text.orUnknown(this, R.string.milliwatts, state.batteryPowerMw),
                Text.orUnknown(this, R.string.headroom, state.thermalHeadroom),
                Text.truth(this, state.throttled),
                Text.orUnknown(this, R.string.megabytes, state.residentMb),
                Text.orUnknown(this, R.string.megabytes, state.peakMb),
                Text.orUnknown(this, R.string.megabytes, state.freeRamMb)));
    }
}
