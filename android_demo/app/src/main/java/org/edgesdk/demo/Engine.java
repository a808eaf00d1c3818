package org.edgesdk.demo;

import android.content.Context;
import android.os.Handler;
import android.os.Looper;
import android.os.Process;

import org.edgesdk.EdgeException;
import org.edgesdk.FormatException;
import org.edgesdk.demo.core.CodesFile;
import org.edgesdk.demo.core.DeviceProfile;
import org.edgesdk.demo.core.ImageSession;
import org.edgesdk.demo.core.SpeechModel;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadFactory;

/**
 * What the process holds: the models, and the threads they run in. It outlives activities, so
 * rotation loses nothing. All inference of pictures is in one thread, all of speech in another.
 */
final class Engine {
    /** Told on the main thread that something has changed. */
    interface Observer {
        void onEngineChanged();
    }

    private static Engine instance;

    final ExecutorService images = oneThread("images");
    final ExecutorService speech = oneThread("speech");

    /** Asking Android takes calls to other processes: never on the main thread. */
    final ExecutorService asking = oneThread("asking");
    final DeviceReader device;
    final Listening listening;
    final Benchmark benchmark;
    private final Context context;
    private final Handler main = new Handler(Looper.getMainLooper());
    private final List<Observer> observers = new ArrayList<Observer>();
    private volatile Part<ImageSession> imagePart = Part.loading();
    private volatile Part<SpeechModel> speechPart = Part.loading();
    private volatile Part<CodesFile> codesPart = Part.loading();
    private volatile String profiling = "";

    private Engine(Context context) {
        this.context = context;
        device = new DeviceReader(context);
        listening = new Listening(this);
        benchmark = new Benchmark(this, context);
        images.execute(new Runnable() {
            @Override
            public void run() {
                loadImages();
            }
        });
        speech.execute(new Runnable() {
            @Override
            public void run() {
                loadSpeech();
            }
        });
    }

    /** The one of this process; on the main thread. */
    static Engine of(Context context) {
        if (instance == null) {
            instance = new Engine(context.getApplicationContext());
        }
        return instance;
    }

    Part<ImageSession> image() {
        return imagePart;
    }

    /** Codes that the benchmark decodes with. */
    Part<CodesFile> codes() {
        return codesPart;
    }

    Part<SpeechModel> speech() {
        return speechPart;
    }

    /** The plan that is being measured for this device's profile, or "". */
    String profiling() {
        return profiling;
    }

    /** On the main thread. */
    void observe(Observer observer) {
        observers.add(observer);
    }

    /** On the main thread. */
    void leave(Observer observer) {
        observers.remove(observer);
    }

    /** From any thread. */
    void changed() {
        main.post(new Runnable() {
            @Override
            public void run() {
                for (Observer observer : new ArrayList<Observer>(observers)) {
                    observer.onEngineChanged();
                }
            }
        });
    }

    /** From any thread: run something on the main one. */
    void onMain(Runnable task) {
        main.post(task);
    }

    private void loadImages() {
        benchmark.restore();
        try {
            imagePart = Part.ready(Models.openImages(context));
        } catch (EdgeException error) {
            imagePart = Part.failed(error);
        } catch (RuntimeException error) {
            imagePart = Part.failed(unexpected(error));
        }
        loadCodes();
        changed();
        if (imagePart.value != null) {
            profile(imagePart.value);
        }
    }

    private void loadCodes() {
        try {
            codesPart = Part.ready(Models.openCodes(context));
        } catch (EdgeException error) {
            codesPart = Part.failed(error);
        } catch (RuntimeException error) {
            codesPart = Part.failed(unexpected(error));
        }
    }

    private void loadSpeech() {
        try {
            speechPart = Part.ready(Models.openSpeech(context));
        } catch (EdgeException error) {
            speechPart = Part.failed(error);
        } catch (RuntimeException error) {
            speechPart = Part.failed(unexpected(error));
        }
        changed();
    }

    /** Use the stored profile of this device and version, or measure one and store it. */
    private void profile(ImageSession session) {
        String key = Models.profileKey(context, session);
        DeviceProfile stored = Models.storedProfile(context, key);
        if (stored != null && session.useProfile(stored)) {
            changed();
            return;
        }
        try {
            DeviceProfile measured = session.measure(key, new ImageSession.Progress() {
                @Override
                public void at(String plan) {
                    profiling = plan;
                    changed();
                }
            });
            session.useProfile(measured);
            Models.storeProfile(context, measured);
        } catch (EdgeException error) {
            imagePart = Part.failed(error);
        } catch (RuntimeException error) {
            imagePart = Part.failed(unexpected(error));
        }
        profiling = "";
        changed();
    }

    private static EdgeException unexpected(RuntimeException error) {
        return new FormatException("assets as they were packed", error.toString(), "assets",
                "install the app again");
    }

    private static ExecutorService oneThread(final String name) {
        return Executors.newSingleThreadExecutor(new ThreadFactory() {
            @Override
            public Thread newThread(final Runnable task) {
                return new Thread(new Runnable() {
                    @Override
                    public void run() {
                        Process.setThreadPriority(Process.THREAD_PRIORITY_MORE_FAVORABLE);
                        task.run();
                    }
                }, name);
            }
        });
    }
}
