package org.edgesdk;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import org.junit.function.ThrowingRunnable;

/** Reading tests/vectors/*.txt, and what tests/jni_files.py made beside them. */
final class Vectors {
    private Vectors() {}

    static File vectors() {
        return new File(System.getProperty("org.edgesdk.vectors", "tests/vectors"));
    }

    /** A file that tests/jni_files.py made. */
    static File made(String path) {
        return new File(System.getProperty("org.edgesdk.made", "build/jni/made"), path);
    }

    /** A file that a test may write, for others to read. */
    static File out(String name) {
        File folder = new File(System.getProperty("org.edgesdk.out", "build/jni/out"));
        assertTrue(folder.isDirectory() || folder.mkdirs());
        return new File(folder, name);
    }

    static byte[] bytes(File file) throws IOException {
        try (RandomAccessFile opened = new RandomAccessFile(file, "r")) {
            byte[] bytes = new byte[(int) opened.length()];
            opened.readFully(bytes);
            return bytes;
        }
    }

    static void write(File file, byte[] bytes) throws IOException {
        try (FileOutputStream opened = new FileOutputStream(file)) {
            opened.write(bytes);
        }
    }

    static String text(File file) throws IOException {
        return new String(bytes(file), StandardCharsets.UTF_8);
    }

    static List<String> lines(File file) throws IOException {
        List<String> lines = new ArrayList<>();
        for (String line : text(file).split("\n")) {
            if (!line.startsWith("#") && !line.isEmpty()) {
                lines.add(line);
            }
        }
        return lines;
    }

    /** The cases of a file of vectors, by columns, the arrow left out. */
    static List<String[]> cases(String name) throws IOException {
        List<String[]> cases = new ArrayList<>();
        for (String line : lines(new File(vectors(), name))) {
            cases.add(line.replace(" -> ", " ").split(" "));
        }
        assertTrue(name, cases.size() > 5);
        return cases;
    }

    /** The name of the file that belongs to a vector's columns, from `begin` to before `end`. */
    static String key(String[] columns, int begin, int end) {
        StringBuilder text = new StringBuilder();
        for (int i = begin; i < end; i++) {
            text.append(i > begin ? " " : "").append(columns[i]);
        }
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256")
                    .digest(text.toString().getBytes(StandardCharsets.UTF_8));
            return hexadecimal(digest).substring(0, 16);
        } catch (java.security.NoSuchAlgorithmException error) {
            throw new AssertionError(error);
        }
    }

    static String hexadecimal(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte b : bytes) {
            text.append(String.format("%02x", b));
        }
        return text.toString();
    }

    static String hexadecimal(ByteBuffer bytes, int size) {
        byte[] copy = new byte[size];
        bytes.duplicate().get(copy);
        return hexadecimal(copy);
    }

    static ByteBuffer direct(byte[] bytes) {
        ByteBuffer buffer = Memory.allocate(bytes.length, "a test");
        buffer.put(bytes);
        buffer.clear();
        return buffer;
    }

    static ByteBuffer fromHexadecimal(String text) {
        byte[] bytes = new byte[text.equals("-") ? 0 : text.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(text.substring(2 * i, 2 * i + 2), 16);
        }
        return direct(bytes);
    }

    static long[] words(String column) {
        if (column.equals("-")) {
            return new long[0];
        }
        String[] parts = column.split(",");
        long[] words = new long[parts.length];
        for (int i = 0; i < words.length; i++) {
            words[i] = Long.parseUnsignedLong(parts[i], 16);
        }
        return words;
    }

    static float[] floats(ByteBuffer bytes) {
        float[] floats = new float[bytes.capacity() / 4];
        bytes.duplicate().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(floats);
        return floats;
    }

    /** A column of floats: hexadecimal digits of each, or a recipe. */
    static float[] floats(String column, int n) {
        float[] floats = new float[n];
        if (column.startsWith("@")) {
            String[] recipe = column.substring(1).split(":");
            Random random = new Random(Long.parseLong(recipe[0]));
            double unit = Math.pow(2, 23 - Integer.parseInt(recipe[1]));
            for (int i = 0; i < n; i++) {
                floats[i] = (float) (((random.word() >>> 40) - (1L << 23)) / unit);
            }
            return floats;
        }
        String[] parts = column.split(",");
        assertEquals(n, parts.length);
        for (int i = 0; i < n; i++) {
            floats[i] = Float.intBitsToFloat((int) Long.parseLong(parts[i], 16));
        }
        return floats;
    }

    static int number(String text) {
        return text.equals("-") ? -1 : Integer.parseInt(text);
    }

    /** SplitMix64, as in tests/vectors/make.py. */
    static final class Random {
        private long state;

        Random(long seed) {
            state = seed;
        }

        long word() {
            state += 0x9E3779B97F4A7C15L;
            long z = state;
            z = (z ^ z >>> 30) * 0xBF58476D1CE4E5B9L;
            z = (z ^ z >>> 27) * 0x94D049BB133111EBL;
            return z ^ z >>> 31;
        }
    }

    /** Calls `body` with every instruction set of this machine. */
    static void onEveryIsa(ThrowingRunnable body) throws Exception {
        String before = EdgeRuntime.isa();
        for (String isa : EdgeRuntime.isas()) {
            EdgeRuntime.useIsa(isa);
            assertEquals(isa, EdgeRuntime.isa());
            try {
                body.run();
            } catch (Exception | Error error) {
                throw error;
            } catch (Throwable error) {
                throw new AssertionError(isa, error);
            } finally {
                EdgeRuntime.useIsa(before);
            }
        }
    }

    /** Opens each damaged copy of a file: a flipped bit or a truncation is a FormatException. */
    static void everyDamageIsRefused(File file, java.util.function.Consumer<ByteBuffer> open)
            throws IOException {
        byte[] whole = bytes(file);
        for (int i = 0; i < whole.length; i += Math.max(1, whole.length / 97)) {
            byte[] damaged = whole.clone();
            damaged[i] ^= 1 << i % 8;
            refused(damaged, open);
            refused(java.util.Arrays.copyOf(whole, i), open);
        }
        open.accept(direct(whole));
    }

    private static void refused(byte[] damaged, java.util.function.Consumer<ByteBuffer> open) {
        try {
            open.accept(direct(damaged));
        } catch (FormatException error) {
            return;
        }
        throw new AssertionError("damage was not seen");
    }
}
