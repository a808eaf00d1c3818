package org.edgesdk;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.util.Map;

/**
 * Files beside a sealed manifest that has their sizes and digests: a bundle, the layers of an FFN.
 *
 * <p>The seal is {@code edge_sdk.artifact.seal_json}. Files are used as the source maps them.
 */
final class SealedFolder {
    static final String MANIFEST = "manifest.json";

    private final Bundle.Source source;
    private final String where;
    private final String kind;
    private final String hint;

    /**
     * Takes a source.
     *
     * @param where How errors name the folder.
     * @param kind What lies in it, such as "a bundle".
     * @param hint What to do where it is damaged.
     */
    SealedFolder(Bundle.Source source, String where, String kind, String hint) {
        if (source == null) {
            throw new ShapeException("a source", "null", "`source`", "it maps files by name");
        }
        this.source = source;
        this.where = where;
        this.kind = kind;
        this.hint = hint;
    }

    /** Returns the plain files of a folder, memory-mapped: a link leads out of it. */
    static Bundle.Source plain(final File folder) {
        if (folder == null) {
            throw new ShapeException("a folder", "null", "`folder`", "name an existing folder");
        }
        return new Bundle.Source() {
            @Override
            public ByteBuffer map(String name) throws IOException {
                return mapPlain(folder, name);
            }
        };
    }

    private static ByteBuffer mapPlain(File folder, String name) throws IOException {
        File file = new File(folder, name);
        File plain = new File(folder.getCanonicalFile(), name);
        if (!file.isFile() || !file.getCanonicalFile().equals(plain)) {
            throw new IOException(file.exists() ? "a link or folder" : "no such file");
        }
        RandomAccessFile opened = new RandomAccessFile(file, "r");
        try {
            if (opened.length() > Integer.MAX_VALUE) {
                throw new IOException(opened.length() + " B: more than can be mapped");
            }
            return opened.length() == 0 ? ByteBuffer.allocateDirect(0)
                    : opened.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, opened.length());
        } finally {
            opened.close();
        }
    }

    /** Returns whether a name can be that of a file beside the manifest, and of no other. */
    static boolean isPlain(String name) {
        return !name.isEmpty() && !name.equals(".") && !name.equals("..") && !name.equals(MANIFEST)
                && name.indexOf('/') < 0 && name.indexOf('\\') < 0 && name.indexOf('\0') < 0;
    }

    /** Returns how errors name a file. */
    String place(String name) {
        return where + "/" + name;
    }

    /** Returns the error of a manifest that is not as it was written. */
    FormatException wrong(String got) {
        return new FormatException("the manifest of " + kind, got, place(MANIFEST), hint);
    }

    /**
     * Returns the manifest's members without its seal.
     *
     * @param newest The schema version that this library knows.
     * @throws FormatException Missing, no manifest, or changed after it was sealed.
     * @throws VersionException Written by a newer version.
     */
    Map<String, Object> manifest(int newest) {
        String place = place(MANIFEST);
        Map<String, Object> raw = Json.object(Json.parse(take(MANIFEST), place), place);
        long version = Json.integer(Json.member(raw, "schema_version", place), place);
        if (version > newest) {
            throw new VersionException("a manifest of version " + newest + " or older",
                    "version " + version, place, "update edge-inference-sdk");
        }
        String seal = Json.string(Json.member(raw, "seal", place), place);
        raw.remove("seal");
        if (!seal.equals(seal(raw))) {
            throw wrong("the seal does not match");
        }
        return raw;
    }

    private String seal(Map<String, Object> raw) {
        try {
            return Digests.sha256(Charset.forName("UTF-8").newEncoder()
                    .encode(CharBuffer.wrap(Json.canonical(raw))));
        } catch (CharacterCodingException error) {
            throw wrong("text that is no Unicode");
        }
    }

    /**
     * Returns a file's bytes once its size and digest are those of the manifest.
     *
     * @throws FormatException Missing, or damaged.
     */
    ByteBuffer file(String name, long nBytes, String sha256) {
        ByteBuffer bytes = take(name);
        String digest = Digests.sha256(bytes);
        if (bytes.remaining() != nBytes || !digest.equals(sha256)) {
            throw new FormatException(nBytes + " B, sha256 " + begin(sha256), bytes.remaining()
                    + " B, sha256 " + begin(digest), place(name),
                    "it was changed or damaged: " + hint);
        }
        return bytes;
    }

    private static String begin(String digest) {
        return digest.substring(0, Math.min(16, digest.length()));
    }

    private ByteBuffer take(String name) {
        String got;
        try {
            ByteBuffer bytes = source.map(name);
            if (bytes != null) {
                return Memory.file(bytes, place(name));
            }
            got = "null";
        } catch (IOException error) {
            got = String.valueOf(error.getMessage());
        }
        throw new FormatException(name.equals(MANIFEST) ? kind + ", with " + name
                : "a file that the manifest names", got, place(name), hint);
    }
}
