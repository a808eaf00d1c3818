package org.edgesdk;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * The native library: its version and its instruction sets.
 *
 * <p>It is loaded when it is first needed: {@code libedge_runtime_jni.so} where the system looks
 * for libraries, or the file that the system property {@code org.edgesdk.library} names.
 */
public final class EdgeRuntime {
    private static final String NAME = "edge_runtime_jni";
    private static final String PROPERTY = "org.edgesdk.library";

    private static volatile boolean loaded;

    private EdgeRuntime() {}

    /**
     * Loads the library, once; everything that needs it calls this by itself.
     *
     * @throws UnsupportedPlatformException It is missing, of another processor or version.
     */
    public static void load() {
        if (!loaded) {
            loadOnce();
        }
    }

    private static synchronized void loadOnce() {
        if (loaded) {
            return;
        }
        if (ByteOrder.nativeOrder() != ByteOrder.LITTLE_ENDIAN) {
            throw new UnsupportedPlatformException("a little-endian processor", "big-endian", null,
                    "files are used as they lie in memory");
        }
        String path = System.getProperty(PROPERTY);
        try {
            if (path == null) {
                System.loadLibrary(NAME);
            } else {
                System.load(new File(path).getAbsolutePath());
            }
            versionText();
        } catch (UnsatisfiedLinkError error) {
            throw new UnsupportedPlatformException("the library " + NAME, error.getMessage(), path,
                    "put it where System.loadLibrary looks, or set -D" + PROPERTY + "=FILE");
        }
        loaded = true;
    }

    /** Returns the version of the core, such as "0.1.0". */
    public static String version() {
        load();
        return versionText();
    }

    /** Returns the instruction set whose kernels are in use, such as "neon". */
    public static String isa() {
        load();
        return isaText();
    }

    /** Returns the instruction sets that this machine can run, slowest first. */
    public static List<String> isas() {
        load();
        List<String> names = new ArrayList<String>();
        for (int i = 0; i < isaCount(); i++) {
            names.add(isaName(i));
        }
        return Collections.unmodifiableList(names);
    }

    /**
     * Uses the kernels of `isa` from now on, in every thread; for tests and benchmarks.
     *
     * <p>Not to be called while another thread is inside the core.
     *
     * @throws ShapeException This machine can not run them.
     */
    public static void useIsa(String isa) {
        List<String> names = isas();
        int place = names.indexOf(isa);
        if (place < 0) {
            throw new ShapeException("one of " + names, String.valueOf(isa), "`isa`",
                    "isas() names them");
        }
        EdgeException.check(isaUse(place), "`isa`");
    }

    /**
     * Returns a size, an offset or a constant by its name in C.
     *
     * @throws UnsupportedPlatformException The library is of another version than these classes.
     */
    static long value(String name) {
        load();
        ByteBuffer letters = ByteBuffer.allocateDirect(name.length());
        for (int i = 0; i < name.length(); i++) {
            letters.put((byte) name.charAt(i));
        }
        long value = fact(letters, name.length());
        if (value < 0) {
            throw new UnsupportedPlatformException("a library that knows " + name,
                    "version " + versionText(), NAME, "take library and classes of one version");
        }
        return value;
    }

    /** As value(), where it fits an int. */
    static int at(String name) {
        return (int) value(name);
    }

    static native String statusName(int status);

    static native String statusText(int status);

    static native long address(ByteBuffer buffer);

    private static native String versionText();

    private static native String isaText();

    private static native int isaCount();

    private static native String isaName(int i);

    private static native int isaUse(int i);

    private static native long fact(ByteBuffer name, int length);
}
