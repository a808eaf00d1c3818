package org.edgesdk.demo;

import android.app.ActivityManager;
import android.content.Context;
import android.os.Build;

import org.edgesdk.EdgeException;
import org.edgesdk.EdgeRuntime;
import org.edgesdk.demo.core.BenchItem;
import org.edgesdk.demo.core.BenchReport;
import org.edgesdk.demo.core.BenchRunner;
import org.edgesdk.demo.core.BenchSuite;
import org.edgesdk.demo.core.CodesFile;
import org.edgesdk.demo.core.DeviceState;
import org.edgesdk.demo.core.Files;
import org.edgesdk.demo.core.ImageSession;
import org.edgesdk.demo.core.Machine;
import org.edgesdk.demo.core.ProcessMemory;
import org.edgesdk.demo.core.SpeechModel;

import java.io.File;
import java.io.IOException;
import java.text.SimpleDateFormat;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Locale;
import java.util.TimeZone;

/** A run of the benchmark, and the last one's figures, kept in the app's files. */
final class Benchmark {
    private static final int ROUNDS = 12;
    private static final int SAMPLES = 50;
    private static final long SEED = 0;
    private static final String JSON = "bench.json";
    private static final String TABLE = "bench.txt";

    private final Engine engine;
    private final Context context;
    private volatile boolean running;
    private volatile boolean cancelled;
    private volatile String at = "";
    private volatile int done;
    private volatile String error;
    private volatile double tookS = Double.NaN;
    private volatile int nItems;
    private volatile String table;
    private volatile String json;

    Benchmark(Engine engine, Context context) {
        this.engine = engine;
        this.context = context;
    }

    boolean isRunning() {
        return running;
    }

    boolean wasCancelled() {
        return cancelled;
    }

    /** What is being measured. */
    String at() {
        return at;
    }

    /** Rounds begun, 0 while warming up. */
    int done() {
        return done;
    }

    int ofAll() {
        return ROUNDS;
    }

    /** What stopped the last run, or null. */
    String error() {
        return error;
    }

    /** Seconds that the last run of this process took; NaN without one. */
    double tookS() {
        return tookS;
    }

    int nItems() {
        return nItems;
    }

    /** The last run's figures as text, or null. */
    String table() {
        return table;
    }

    /** The last run's figures as JSON, or null. */
    String json() {
        return json;
    }

    /** Read what an earlier process has measured; not on the main thread. */
    void restore() {
        table = Files.readText(new File(context.getFilesDir(), TABLE));
        json = Files.readText(new File(context.getFilesDir(), JSON));
    }

    void cancel() {
        cancelled = true;
    }

    synchronized void start() {
        if (running) {
            return;
        }
        running = true;
        cancelled = false;
        error = null;
        done = 0;
        at = "";
        engine.changed();
        // In the thread of pictures: nothing else is inferred meanwhile.
        engine.images.execute(new Runnable() {
            @Override
            public void run() {
                try {
                    measure();
                } catch (BenchRunner.CancelledException stopped) {
                    cancelled = true;
                } catch (EdgeException broken) {
                    error = broken.getMessage();
                } catch (Exception broken) {
                    error = broken.toString();
                } finally {
                    running = false;
                    engine.changed();
                }
            }
        });
    }

    private void measure() throws Exception {
        long start = System.nanoTime();
        BenchReport report = new BenchReport(EdgeRuntime.version(), machine().toMap(), now());
        BenchSuite suite = new BenchSuite(report, EdgeRuntime.version() + " " + EdgeRuntime.isa());
        Part<ImageSession> image = engine.image();
        if (image.value != null) {
            suite.addImages(image.value);
        } else if (image.error != null) {
            report.addError("digits.edge", "bundle", image.error);
        }
        Part<CodesFile> codes = engine.codes();
        if (codes.value != null) {
            suite.addCodes(codes.value);
        } else if (codes.error != null) {
            report.addError("omniglot.llc", "artifact", codes.error);
        }
        Part<SpeechModel> speech = engine.speech();
        if (speech.value != null) {
            suite.addSpeech(speech.value);
        } else if (speech.error != null) {
            report.addError("digits.grnn", "grnn", speech.error);
        }
        report.setLoaded(ProcessMemory.read());
        report.setSettings(ROUNDS, SAMPLES, SEED);
        DeviceState before = engine.device.read();
        List<BenchItem> items = new ArrayList<BenchItem>(suite.items());
        report.addRows(new BenchRunner(new BenchRunner.Watch() {
            @Override
            public void at(String name, int round, int ofAll) {
                boolean tell = round != done || round == 0;
                at = name;
                done = round;
                if (tell) {
                    engine.changed();
                }
            }

            @Override
            public boolean isCancelled() {
                return cancelled;
            }
        }).measure(items, ROUNDS, SAMPLES, SEED));
        report.setState(before, engine.device.read());
        store(report);
        nItems = items.size();
        tookS = (System.nanoTime() - start) * 1e-9;
    }

    private void store(BenchReport report) throws IOException {
        json = report.toJson(ProcessMemory.read());
        table = report.table();
        Files.writeText(new File(context.getFilesDir(), JSON), json);
        Files.writeText(new File(context.getFilesDir(), TABLE), table);
    }

    private Machine machine() {
        ActivityManager.MemoryInfo memory = new ActivityManager.MemoryInfo();
        ((ActivityManager) context.getSystemService(Context.ACTIVITY_SERVICE))
                .getMemoryInfo(memory);
        return new Machine(Build.MANUFACTURER + " " + Build.MODEL, Build.SUPPORTED_ABIS[0],
                Build.HARDWARE, Runtime.getRuntime().availableProcessors(),
                memory.totalMem / (double) (1 << 20),
                "Android " + Build.VERSION.RELEASE + " (API " + Build.VERSION.SDK_INT + ")");
    }

    private static String now() {
        SimpleDateFormat form = new SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'Z'", Locale.ROOT);
        form.setTimeZone(TimeZone.getTimeZone("UTC"));
        return form.format(new Date());
    }
}
