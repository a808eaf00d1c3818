package org.edgesdk;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What a bundle says of itself, sealed. */
final class Manifest {
    private static final int SCHEMA_VERSION = 1;
    private static final List<String> ROLES = Arrays.asList(
            "model", "head", "codes", "project", "cascades", "cases", "profile");
    private static final List<String> MEMBERS = Arrays.asList("name", "model", "weights_sha256",
            "files", "default", "unknown_distance", "notes", "schema_version");

    /** One file: what it is for, its size and its sha256. */
    static final class Entry {
        final String name;
        final String role;
        final long nBytes;
        final String sha256;

        Entry(String name, Map<String, Object> stored, SealedFolder folder) {
            String where = folder.place(SealedFolder.MANIFEST);
            this.name = name;
            role = Json.string(Json.member(stored, "role", where), where);
            nBytes = Json.integer(Json.member(stored, "n_bytes", where), where);
            sha256 = Json.string(Json.member(stored, "sha256", where), where);
            if (!SealedFolder.isPlain(name) || !ROLES.contains(role) || stored.size() != 3
                    || role.equals("model") && target(name) == null) {
                throw folder.wrong(name + " as " + Json.canonical(stored));
            }
        }
    }

    final String name;
    final String model;
    final String weightsSha256;
    final String defaultPlan;
    final Integer unknownDistance;
    final Map<String, Object> notes;
    final List<Entry> files = new ArrayList<Entry>();

    /**
     * Reads a folder's manifest.
     *
     * @throws FormatException Not a manifest, changed after it was sealed, or with paths in it.
     * @throws VersionException Written by a newer version.
     */
    Manifest(SealedFolder folder) {
        String where = folder.place(SealedFolder.MANIFEST);
        Map<String, Object> raw = folder.manifest(SCHEMA_VERSION);
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
            files.add(new Entry(file.getKey(), Json.object(file.getValue(), where), folder));
        }
        if (!MEMBERS.containsAll(raw.keySet())) {
            throw folder.wrong("other members: " + raw.keySet());
        }
        if (named("model").isEmpty()) {
            throw folder.wrong("no model");
        }
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
}
