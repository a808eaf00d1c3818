package org.edgesdk;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What a bundle says of itself, sealed. */
final class Manifest {
    static final String NAME = "manifest.json";

    private static final int SCHEMA_VERSION = 1;
    private static final List<String> ROLES = Arrays.asList(
            "model", "head", "codes", "project", "cascades", "cases", "profile");
    private static final List<String> MEMBERS = Arrays.asList("name", "model", "weights_sha256",
            "files", "default", "unknown_distance", "notes", "schema_version");
    private static final String AGAIN = "pack the bundle again";

    /** One file: what it is for, its size and its sha256. */
    static final class Entry {
        final String name;
        final String role;
        final long nBytes;
        final String sha256;

        Entry(String name, Map<String, Object> stored, String where) {
            this.name = name;
            role = Json.string(Json.member(stored, "role", where), where);
            nBytes = Json.integer(Json.member(stored, "n_bytes", where), where);
            sha256 = Json.string(Json.member(stored, "sha256", where), where);
            boolean plain = !name.isEmpty() && !name.equals(".") && !name.equals("..")
                    && !name.equals(NAME) && name.indexOf('/') < 0 && name.indexOf('\\') < 0
                    && name.indexOf('\0') < 0;
            if (!plain || !ROLES.contains(role) || stored.size() != 3
                    || role.equals("model") && target(name) == null) {
                throw wrong(name + " as " + Json.canonical(stored), where);
            }
        }

        /** Compares size and digest of the file's bytes. */
        void check(ByteBuffer bytes, String where) {
            String digest = Manifest.sha256(bytes);
            if (bytes.remaining() != nBytes || !digest.equals(sha256)) {
                throw new FormatException(nBytes + " B, sha256 " + begin(sha256),
                        bytes.remaining() + " B, sha256 " + begin(digest), where,
                        "it was changed or damaged: pack the bundle again");
            }
        }

        private static String begin(String digest) {
            return digest.substring(0, Math.min(16, digest.length()));
        }
    }

    final String name;
    final String model;
    final String weightsSha256;
    final String defaultPlan;
    final Integer unknownDistance;
    final Map<String, Object> notes;
    final List<Entry> files = new ArrayList<Entry>();

    private Manifest(Map<String, Object> raw, String where) {
        name = Json.string(Json.member(raw, "name", where), where);
        model = Json.string(Json.member(raw, "model", where), where);
        weightsSha256 = Json.string(Json.member(raw, "weights_sha256", where), where);
        defaultPlan = raw.containsKey("default") ? Json.string(raw.get("default"), where) : "";
        Object distance = raw.get("unknown_distance");
        unknownDistance = distance == null ? null : (Integer) Json.small(distance, where);
        notes = raw.containsKey("notes") ? Json.object(raw.get("notes"), where)
                : new LinkedHashMap<String, Object>();
        Map<String, Object> stored = Json.object(Json.member(raw, "files", where), where);
        for (Map.Entry<String, Object> file : stored.entrySet()) {
            files.add(new Entry(file.getKey(), Json.object(file.getValue(), where), where));
        }
        if (!MEMBERS.containsAll(raw.keySet())) {
            throw wrong("other members: " + raw.keySet(), where);
        }
        if (named("model").isEmpty()) {
            throw wrong("no model", where);
        }
    }

    /**
     * Returns the manifest that UTF-8 holds.
     *
     * @throws FormatException Not a manifest, changed after it was sealed, or with paths in it.
     * @throws VersionException Written by a newer version.
     */
    static Manifest read(ByteBuffer bytes, String where) {
        byte[] text = new byte[bytes.remaining()];
        bytes.duplicate().get(text);
        Map<String, Object> raw = Json.object(Json.parse(text, where), where);
        long version = Json.integer(Json.member(raw, "schema_version", where), where);
        if (version > SCHEMA_VERSION) {
            throw new VersionException("a manifest of version " + SCHEMA_VERSION + " or older",
                    "version " + version, where, "update edge-inference-sdk");
        }
        String seal = Json.string(Json.member(raw, "seal", where), where);
        raw.remove("seal");
        if (!seal.equals(seal(raw, where))) {
            throw wrong("the seal does not match", where);
        }
        return new Manifest(raw, where);
    }

    /** Returns the names of the files for a role, in their order. */
    List<String> named(String role) {
        List<String> names = new ArrayList<String>();
        for (Entry entry : files) {
            if (entry.role.equals(role)) {
                names.add(entry.name);
            }
        }
        return names;
    }

    /** Returns the engine that a file's suffix stands for, or null. */
    static String target(String name) {
        if (name.endsWith(".pte")) {
            return "executorch";
        }
        if (name.endsWith(".tflite")) {
            return "litert";
        }
        return name.endsWith(".onnx") ? "onnx" : null;
    }

    private static FormatException wrong(String got, String where) {
        return new FormatException("a bundle's manifest", got, where, AGAIN);
    }

    private static String seal(Map<String, Object> raw, String where) {
        try {
            return sha256(Charset.forName("UTF-8").newEncoder()
                    .encode(CharBuffer.wrap(Json.canonical(raw))));
        } catch (CharacterCodingException error) {
            throw wrong("text that is no Unicode", where);
        }
    }

    private static String sha256(ByteBuffer bytes) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(bytes.duplicate());
            StringBuilder text = new StringBuilder();
            for (byte b : digest.digest()) {
                text.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15,
                        16));
            }
            return text.toString();
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error); // every Java has it
        }
    }
}
