package org.edgesdk;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * All that a session needs, opened only as it was packed: {@code edge_sdk/bundle/folder.py}.
 *
 * <p>Every file's size and sha256 are compared with the manifest, and the manifest with its seal.
 * Nothing is copied: head and codes use the bytes as the source maps them.
 */
public final class Bundle implements AutoCloseable {
    /** Where a bundle's files come from: a folder, or an app's assets. */
    public interface Source {
        /**
         * Returns a file's bytes, memory-mapped: direct, at a multiple of 8.
         *
         * @throws IOException There is no such file.
         */
        ByteBuffer map(String name) throws IOException;
    }

    private static final String AGAIN = "pack the bundle again";

    private final Manifest manifest;
    private final String where;
    private final Map<String, ByteBuffer> files;
    private final Head head;
    private final CodeSignal codes;
    private final List<AutoCloseable> parts = new ArrayList<AutoCloseable>();
    private final Map<String, Cascade> cascades = new LinkedHashMap<String, Cascade>();
    private final Map<String, Object> profile;
    private final List<Choice> choices;
    private volatile boolean closed;

    private Bundle(Manifest manifest, Map<String, ByteBuffer> files, String where) {
        this.manifest = manifest;
        this.files = files;
        this.where = where;
        List<String> heads = manifest.named("head");
        if (heads.isEmpty()) {
            throw new FormatException("a file for head", "none", where, AGAIN);
        }
        head = openHead(heads.get(0));
        codes = openCodes();
        Map<String, Object> stored = json("cascades");
        if (stored != null) {
            for (Map.Entry<String, Object> entry : stored.entrySet()) {
                cascades.put(entry.getKey(), cascade(entry.getKey(), entry.getValue()));
            }
        }
        if (!manifest.defaultPlan.isEmpty() && !cascades.containsKey(manifest.defaultPlan)) {
            throw new FormatException("one of the cascades " + cascades.keySet(),
                    manifest.defaultPlan, where + ", the default", AGAIN);
        }
        profile = json("profile");
        choices = profile == null ? Collections.<Choice>emptyList()
                : Profile.choices(profile, cascades.keySet(), where + ", the profile");
    }

    /**
     * Opens a bundle's folder.
     *
     * @throws FormatException No bundle, a file is missing, or was changed or damaged.
     * @throws VersionException Written by a newer version.
     */
    public static Bundle open(File folder) {
        return open(SealedFolder.plain(folder), folder.getPath());
    }

    /** As open(folder), of files from anywhere; an error of the source is a FormatException. */
    public static Bundle open(Source source) {
        return open(source, "the bundle");
    }

    private static Bundle open(Source source, String where) {
        SealedFolder folder = new SealedFolder(source, where, "a bundle", AGAIN);
        Manifest manifest = new Manifest(folder);
        Map<String, ByteBuffer> files = new LinkedHashMap<String, ByteBuffer>();
        for (Manifest.Entry entry : manifest.files) {
            files.put(entry.name, folder.file(entry.name, entry.nBytes, entry.sha256));
        }
        return new Bundle(manifest, files, where);
    }

    private Head openHead(String name) {
        Head opened = Head.open(files.get(name), where + "/" + name);
        parts.add(opened);
        return opened;
    }

    private CodeSignal openCodes() {
        List<String> names = manifest.named("codes");
        if (names.isEmpty()) {
            return null;
        }
        List<Head> layers = new ArrayList<Head>();
        for (String layer : manifest.named("project")) {
            layers.add(openHead(layer));
        }
        try {
            CodeIndex index = CodeIndex.open(files.get(names.get(0)), where + "/" + names.get(0));
            parts.add(index);
            return new CodeSignal(index, layers);
        } catch (ShapeException error) {
            throw new FormatException("layers that lead to the codes' bits", error.got(), where,
                    AGAIN);
        }
    }

    private Cascade cascade(String name, Object stored) {
        String place = where + ", cascade '" + name + "'";
        try {
            return Cascade.fromJson(Json.object(stored, place), head, codes, place);
        } catch (ShapeException error) {
            throw new FormatException("a cascade that fits the bundle's head", error.got(), place,
                    AGAIN);
        }
    }

    private Map<String, Object> json(String role) {
        List<String> names = manifest.named(role);
        if (names.isEmpty()) {
            return null;
        }
        String place = where + "/" + names.get(0);
        return Json.object(Json.parse(files.get(names.get(0)), place), place);
    }

    /** Returns the bundle's name. */
    public String name() {
        return manifest.name;
    }

    /** Returns the name of the universal model. */
    public String model() {
        return manifest.model;
    }

    /** Returns the digest of its weights, the same in every artifact. */
    public String weightsSha256() {
        return manifest.weightsSha256;
    }

    /** Returns the name of the cascade that runs unless told otherwise, or "". */
    public String defaultPlan() {
        return manifest.defaultPlan;
    }

    /** Returns what the packer wanted to say, as JSON. */
    public String notes() {
        return Json.line(manifest.notes);
    }

    /** Returns the Matryoshka head. */
    public Head head() {
        open();
        return head;
    }

    /** Returns the class codes with their projection, or null. */
    public CodeSignal codes() {
        open();
        return codes;
    }

    /** Returns the cascades by name. */
    public Map<String, Cascade> cascades() {
        open();
        return Collections.unmodifiableMap(cascades);
    }

    /**
     * Returns what a plan runs, such as the name of a governor's choice.
     *
     * @param name A cascade; any other name is a granularity, which answers at the largest dim.
     */
    public Cascade plan(String name) {
        open();
        Cascade named = cascades.get(name);
        return named != null ? named : new Cascade(head,
                Collections.singletonList(new Level(name, head.dim())), new float[0],
                "max_softmax", false, false, null);
    }

    /** Returns what a governor may choose from, as the profile has it; none without a profile. */
    public List<Choice> choices() {
        return choices;
    }

    /** Returns the key of the device that the profile was measured on, or null. */
    public String profileDevice() {
        return profile == null ? null : Profile.device(profile, where);
    }

    /** Returns the engines that the bundle has a model for: executorch, litert or onnx. */
    public List<String> targets() {
        List<String> targets = new ArrayList<String>();
        for (String name : manifest.named("model")) {
            targets.add(Manifest.target(name));
        }
        return targets;
    }

    /**
     * Returns the bytes of the artifact for an engine.
     *
     * @throws FormatException There is none for it.
     */
    public ByteBuffer modelFile(String target) {
        open();
        for (String name : manifest.named("model")) {
            if (Manifest.target(name).equals(target)) {
                return files.get(name).asReadOnlyBuffer().order(files.get(name).order());
            }
        }
        throw new FormatException("a model for one of " + targets(), target, where,
                "pack the bundle with this target too");
    }

    /**
     * Returns whether an input's code lies near that of a class; null without codes.
     *
     * @param embedding Of the granularity that answered, not normalized.
     */
    public Boolean known(float[] embedding) {
        open();
        if (codes == null || manifest.unknownDistance == null) {
            return null;
        }
        return codes.nearest(embedding).distance < manifest.unknownDistance;
    }

    /** Lets go of all files; head, codes and cascades then throw. */
    @Override
    public void close() {
        closed = true;
        for (AutoCloseable part : parts) {
            if (part instanceof Head) {
                ((Head) part).close();
            } else {
                ((CodeIndex) part).close();
            }
        }
    }

    private void open() {
        if (closed) {
            throw new ClosedException("an open Bundle", "a closed one", where, "open it again");
        }
    }
}
