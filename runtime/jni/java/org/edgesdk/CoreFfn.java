package org.edgesdk;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A MatFormer FFN that the core evaluates in place, without an engine: down(relu(up(x))) of the
 * first hidden units, {@code edge_sdk/cascade/ffn.py}.
 *
 * <p>Source: Devvrit et al. 2023 (arXiv:2310.07707), section 3.1: granularity i of an FFN keeps its
 * first m_i hidden units. The up-projection is cut into heads where the granularities end, each a
 * head whose "classes" are hidden units; the down-projection is a tied head over hidden units whose
 * dims are the widths.
 *
 * <p>The same files and pixels give the same bits on every processor, in C, Python and Java. Any
 * number of threads may share one. The layers are used as they are mapped.
 */
public final class CoreFfn implements AutoCloseable {
    private static final int SCHEMA_VERSION = 1;
    private static final String AGAIN = "write the layers again";
    private static final List<String> NAMES = Arrays.asList("S", "M", "L", "XL");

    private final int nInputs;
    private final int dim;
    private final int dFf;
    private final Map<String, Integer> granularities;
    private final String weightsSha256;
    private final Scratch.Pool pool = new Scratch.Pool();
    private volatile Layers layers;

    /** Opened layers: a call that runs keeps them when the FFN is closed. */
    private static final class Layers {
        final List<Head> up = new ArrayList<Head>();
        final Head down;

        Layers(SealedFolder folder, Map<String, Object> manifest, String where) {
            Map<String, Object> files = Json.object(Json.member(manifest, "files", where), where);
            for (Object name : Json.list(Json.member(manifest, "up", where), where)) {
                up.add(open(folder, files, Json.string(name, where), where));
            }
            String name = Json.string(Json.member(manifest, "down", where), where);
            down = open(folder, files, name, where);
        }

        private static Head open(SealedFolder folder, Map<String, Object> files, String name,
                                 String where) {
            if (!SealedFolder.isPlain(name)) {
                throw folder.wrong(name + ", which is no plain file name");
            }
            Map<String, Object> entry = Json.object(Json.member(files, name, where), where);
            ByteBuffer bytes = folder.file(name,
                    Json.integer(Json.member(entry, "n_bytes", where), where),
                    Json.string(Json.member(entry, "sha256", where), where));
            return Head.open(bytes, folder.place(name));
        }

        /** Returns the hidden units of each granularity; throws unless all layers fit. */
        Map<String, Integer> widths(SealedFolder folder) {
            int[] dims = down.dims();
            boolean fits = !up.isEmpty() && up.size() <= NAMES.size() && dims.length == up.size()
                    && down.tied() && !down.normalized();
            Map<String, Integer> widths = new LinkedHashMap<String, Integer>();
            long end = 0;
            for (int i = 0; fits && i < dims.length; i++) {
                Head block = up.get(i);
                end += block.nClasses();
                fits = end == dims[i] && block.dim() == up.get(0).dim()
                        && block.dims().length == 1 && !block.normalized();
                // A model trained at fewer than four granularities has only the last names.
                widths.put(NAMES.get(NAMES.size() - dims.length + i), dims[i]);
            }
            if (!fits) {
                throw new FormatException("1 to 4 blocks of hidden units over the same inputs, and "
                        + "a tied head whose dims are where they end", up.size() + " blocks, dims "
                        + Arrays.toString(dims) + ", tied " + down.tied(),
                        folder.place(SealedFolder.MANIFEST), AGAIN);
            }
            return widths;
        }
    }

    private CoreFfn(SealedFolder folder) {
        String where = folder.place(SealedFolder.MANIFEST);
        Map<String, Object> manifest = folder.manifest(SCHEMA_VERSION);
        String activation = Json.string(Json.member(manifest, "activation", where), where);
        if (!activation.equals("relu")) {
            throw folder.wrong("the activation " + activation);
        }
        layers = new Layers(folder, manifest, where);
        granularities = Collections.unmodifiableMap(layers.widths(folder));
        nInputs = layers.up.get(0).dim();
        dim = layers.down.nClasses();
        dFf = layers.down.dim();
        weightsSha256 = Json.string(Json.member(manifest, "weights_sha256", where), where);
        Map<String, Integer> said = new LinkedHashMap<String, Integer>();
        for (Map.Entry<String, Object> entry : Json.object(
                Json.member(manifest, "granularities", where), where).entrySet()) {
            said.put(entry.getKey(), Json.small(entry.getValue(), where));
        }
        if (Json.small(Json.member(manifest, "n_inputs", where), where) != nInputs
                || Json.small(Json.member(manifest, "dim", where), where) != dim
                || !said.equals(granularities)) {
            throw folder.wrong("layers of " + nInputs + " inputs, " + dim + " outputs and "
                    + granularities);
        }
    }

    /**
     * Opens the folder that {@code CoreFFN.save} wrote, every file's size and sha256 compared.
     *
     * @throws FormatException A file is missing, a link, or damaged, or the manifest is none.
     * @throws VersionException Written by a newer version.
     */
    public static CoreFfn open(File folder) {
        return open(SealedFolder.plain(folder), folder.getPath());
    }

    /**
     * As open(folder), of files from anywhere; an error of the source is a FormatException.
     *
     * @param where How errors name the folder.
     */
    public static CoreFfn open(Bundle.Source source, String where) {
        return new CoreFfn(new SealedFolder(source, where, "an FFN's layers", AGAIN));
    }

    /** Returns the numbers that `embed` takes. */
    public int nInputs() {
        return nInputs;
    }

    /** Returns the coordinates of an embedding. */
    public int dim() {
        return dim;
    }

    /** Returns the hidden units of each granularity by its name, smallest first. */
    public Map<String, Integer> granularities() {
        return granularities;
    }

    /** Returns the digest of the universal model's weights, as a bundle has it; "" if unknown. */
    public String weightsSha256() {
        return weightsSha256;
    }

    /**
     * Returns the embedding of one input at one granularity, dim() floats.
     *
     * @param pixels nInputs() of them.
     * @throws ShapeException Another number of them.
     * @throws GranularityException No such granularity.
     * @throws CodeException NaN, infinity or a number beyond 1e15.
     */
    public float[] embed(float[] pixels, String granularity) {
        if (pixels == null || pixels.length != nInputs) {
            throw new ShapeException(nInputs + " pixels",
                    pixels == null ? "null" : String.valueOf(pixels.length), "`pixels`",
                    "see nInputs()");
        }
        Scratch scratch = pool.take();
        FloatBuffer x = scratch.room(0, 4L * nInputs, "`pixels`").asFloatBuffer();
        x.put(pixels).position(0);
        FloatBuffer out = scratch.room(1, 4L * dim, "an embedding").asFloatBuffer();
        run(x, granularity, scratch, out);
        float[] embedding = new float[dim];
        out.get(embedding);
        pool.give(scratch);
        return embedding;
    }

    /**
     * As embed(pixels, granularity), without a copy; positions stay.
     *
     * @param pixels Direct, of native order: nInputs() floats from its position on.
     * @param out Direct, of native order: dim() floats from its position on are written.
     */
    public void embed(FloatBuffer pixels, String granularity, FloatBuffer out) {
        Memory.direct(pixels, nInputs, false, "`pixels`");
        Memory.direct(out, dim, true, "`out`");
        Scratch scratch = pool.take();
        run(pixels, granularity, scratch, out);
        pool.give(scratch);
    }

    private void run(FloatBuffer x, String granularity, Scratch scratch, FloatBuffer out) {
        Layers open = layers;
        if (open == null) {
            throw new ClosedException("an open CoreFfn", "a closed one", "`this`",
                    "open it again, or close it later");
        }
        Integer width = granularities.get(granularity);
        if (width == null) {
            throw new GranularityException("one of " + granularities.keySet(),
                    String.valueOf(granularity), "`granularity`", "see granularities()");
        }
        // The core reads the first `width`; the rest is there for the shape.
        FloatBuffer hidden = scratch.room(2, 4L * dFf, "hidden units").asFloatBuffer();
        int at = 0;
        for (Head block : open.up) {
            if (at == width) {
                break;
            }
            hidden.position(at);
            block.logits(x, nInputs, hidden);
            for (int end = at + block.nClasses(); at < end; at++) {
                hidden.put(at, Math.max(0f, hidden.get(at)));
            }
        }
        hidden.position(0);
        open.down.logits(hidden, width, out);
    }

    /** Lets go of the layers; `embed` then throws. */
    @Override
    public void close() {
        layers = null;
    }
}
