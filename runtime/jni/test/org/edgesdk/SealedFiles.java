package org.edgesdk;

import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** The files of a folder with a sealed manifest, in memory, to be damaged. */
final class SealedFiles extends HashMap<String, byte[]> implements Bundle.Source {
    private static final long serialVersionUID = 1L;

    SealedFiles(File folder) throws IOException {
        Map<String, Object> manifest = Json.object(Json.parse(
                Vectors.text(new File(folder, SealedFolder.MANIFEST)), ""), "");
        List<String> names = new ArrayList<>(Json.object(manifest.get("files"), "").keySet());
        names.add(SealedFolder.MANIFEST);
        for (String name : names) {
            put(name, Vectors.bytes(new File(folder, name)));
        }
    }

    @Override
    public ByteBuffer map(String name) throws IOException {
        if (!containsKey(name)) {
            throw new IOException("no such asset");
        }
        return Vectors.direct(get(name));
    }

    private String manifest() {
        return new String(get(SealedFolder.MANIFEST), StandardCharsets.UTF_8);
    }

    /** Changes the manifest's text, and seals it as the writer would. */
    SealedFiles sealed(String from, String to) {
        assertTrue(from, manifest().contains(from));
        return seal(manifest().replace(from, to));
    }

    /** Puts another file into its place, and seals it with its size and digest. */
    SealedFiles replaced(String name, byte[] bytes) {
        Map<String, Object> raw = Json.object(Json.parse(manifest(), ""), "");
        Map<String, Object> entry = Json.object(Json.object(raw.get("files"), "").get(name), "");
        entry.put("n_bytes", bytes.length);
        entry.put("sha256", Digests.sha256(ByteBuffer.wrap(bytes)));
        put(name, bytes);
        return seal(Json.line(raw));
    }

    private SealedFiles seal(String text) {
        Map<String, Object> raw = Json.object(Json.parse(text, ""), "");
        raw.remove("seal");
        raw.put("seal", Digests.sha256(Json.canonical(raw)));
        put(SealedFolder.MANIFEST, Json.line(raw).getBytes(StandardCharsets.UTF_8));
        return this;
    }

    /** Opens a folder with one file missing, longer, empty or of a flipped bit, each of them. */
    static void everyDamageIsRefused(File folder, Consumer<Bundle.Source> open)
            throws IOException {
        for (String name : new SealedFiles(folder).keySet()) {
            SealedFiles gone = new SealedFiles(folder);
            gone.remove(name);
            FormatException error = assertThrows(name, FormatException.class,
                    () -> open.accept(gone));
            assertTrue(error.where(), error.where().endsWith(name));
            byte[] whole = new SealedFiles(folder).get(name);
            for (byte[] bad : new byte[][] {{}, Arrays.copyOf(whole, whole.length + 1),
                Arrays.copyOf(whole, whole.length / 2)}) {
                refused(folder, name, bad, open);
            }
            for (int i = 0; i < whole.length; i += Math.max(1, whole.length / 13)) {
                byte[] flipped = whole.clone();
                flipped[i] ^= 4;
                refused(folder, name, flipped, open);
            }
        }
        open.accept(new SealedFiles(folder));
    }

    private static void refused(File folder, String name, byte[] bad,
                                Consumer<Bundle.Source> open) throws IOException {
        SealedFiles damaged = new SealedFiles(folder);
        damaged.put(name, bad);
        FormatException error = assertThrows(name, FormatException.class,
                () -> open.accept(damaged));
        assertTrue(error.where(), error.where().contains(name));
    }
}
