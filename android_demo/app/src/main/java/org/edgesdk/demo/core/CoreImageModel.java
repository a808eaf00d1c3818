package org.edgesdk.demo.core;

import org.edgesdk.Bundle;
import org.edgesdk.FormatException;
import org.edgesdk.GranularityException;
import org.edgesdk.Head;
import org.edgesdk.ShapeException;
import org.edgesdk.VersionException;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.charset.Charset;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The elastic model on the core, without an engine: edge_sdk/cascade/ffn.py in Java.
 *
 * <p>The up-projection lies in blocks that end where the granularities do; the down-projection
 * reads as many hidden units as the granularity has. The layers are used where they are mapped.
 * For one thread.
 */
public final class CoreImageModel implements ImageModel, AutoCloseable {
    private static final int SCHEMA_VERSION = 1;
    private static final String MANIFEST = "manifest.json";
    private static final String AGAIN = "install the app again";

    private final Map<String, Integer> widths;
    private final List<Head> up;
    private final Head down;
    private final FloatBuffer x;
    private final FloatBuffer hidden;
    private final FloatBuffer out;

    /** Of the universal model's weights; the bundle beside it has the same. */
    public final String weightsSha256;

    private CoreImageModel(List<Head> up, Head down, Map<String, Integer> widths,
                           String weightsSha256) {
        this.up = up;
        this.down = down;
        this.widths = widths;
        this.weightsSha256 = weightsSha256;
        x = floats(up.get(0).dim());
        hidden = floats(down.dim());
        out = floats(down.nClasses());
    }

    private static FloatBuffer floats(int n) {
        return ByteBuffer.allocateDirect(4 * n).order(ByteOrder.nativeOrder()).asFloatBuffer();
    }

    /**
     * Open what {@code CoreFFN.save} wrote; every file's size and sha256 are compared.
     *
     * @param where how errors name the folder.
     * @throws FormatException  a file is missing, damaged, or does not fit the others.
     * @throws VersionException written by a newer version.
     */
    public static CoreImageModel open(Bundle.Source source, String where) {
        String place = where + "/" + MANIFEST;
        try {
            Map<?, ?> manifest = (Map<?, ?>) JsonParser.parse(text(source, MANIFEST, where));
            int version = ((Number) manifest.get("schema_version")).intValue();
            if (version > SCHEMA_VERSION) {
                throw new VersionException("layers of version " + SCHEMA_VERSION + " or older",
                        "version " + version, place, "update the app");
            }
            Map<?, ?> files = (Map<?, ?>) manifest.get("files");
            List<Head> up = new ArrayList<Head>();
            for (Object name : (List<?>) manifest.get("up")) {
                up.add(layer(source, (String) name, files, where));
            }
            Head down = layer(source, (String) manifest.get("down"), files, where);
            Map<String, Integer> widths = new LinkedHashMap<String, Integer>();
            for (Map.Entry<?, ?> one : ((Map<?, ?>) manifest.get("granularities")).entrySet()) {
                widths.put((String) one.getKey(), ((Number) one.getValue()).intValue());
            }
            if (!"relu".equals(manifest.get("activation"))) {
                throw damaged("a ReLU", String.valueOf(manifest.get("activation")), place);
            }
            checkFit(up, down, widths, place);
            return new CoreImageModel(up, down, widths, (String) manifest.get("weights_sha256"));
        } catch (JsonParser.JsonException error) {
            throw damaged("the manifest of layers", error.getMessage(), place);
        } catch (ClassCastException error) {
            throw damaged("the manifest of layers", "a value of another kind", place);
        } catch (NullPointerException error) {
            throw damaged("the manifest of layers", "one that lacks a value", place);
        }
    }

    private static FormatException damaged(String expected, String got, String where) {
        return new FormatException(expected, got, where, AGAIN);
    }

    private static ByteBuffer bytes(Bundle.Source source, String name, String where) {
        try {
            return source.map(name);
        } catch (IOException error) {
            throw damaged("a file that was packed", "none: " + error.getMessage(),
                    where + "/" + name);
        }
    }

    private static String text(Bundle.Source source, String name, String where) {
        return Charset.forName("UTF-8").decode(bytes(source, name, where).duplicate()).toString();
    }

    private static Head layer(Bundle.Source source, String name, Map<?, ?> files, String where) {
        Map<?, ?> entry = (Map<?, ?>) files.get(name);
        ByteBuffer bytes = bytes(source, name, where);
        long size = ((Number) entry.get("n_bytes")).longValue();
        String digest = Digests.sha256(bytes);
        if (bytes.remaining() != size || !digest.equals(entry.get("sha256"))) {
            throw damaged(size + " B, sha256 " + entry.get("sha256"),
                    bytes.remaining() + " B, sha256 " + digest, where + "/" + name);
        }
        return Head.open(bytes);
    }

    private static void checkFit(List<Head> up, Head down, Map<String, Integer> widths,
                                 String place) {
        boolean fits = up.size() == widths.size() && !up.isEmpty() && down.tied()
                && down.dims().length == up.size();
        int end = 0;
        int at = 0;
        for (Integer width : widths.values()) {
            if (fits) {
                end += up.get(at).nClasses();
                fits = end == width && down.dims()[at] == end
                        && up.get(at).dim() == up.get(0).dim();
                at++;
            }
        }
        if (!fits) {
            throw damaged("layers that fit one another", up.size() + " blocks, widths " + widths,
                    place);
        }
    }

    @Override
    public List<String> granularities() {
        return Collections.unmodifiableList(new ArrayList<String>(widths.keySet()));
    }

    @Override
    public float[] embed(float[] pixels, String granularity) {
        Integer width = widths.get(granularity);
        if (width == null) {
            throw new GranularityException("one of " + widths.keySet(), granularity,
                    "`granularity`", "see granularities()");
        }
        if (pixels == null || pixels.length != x.capacity()) {
            throw new ShapeException(x.capacity() + " pixels",
                    pixels == null ? "null" : pixels.length + "", "`pixels`",
                    "DigitPicture makes them");
        }
        x.clear();
        x.put(pixels);
        x.clear();
        int start = 0;
        for (Head block : up) {
            int end = start + block.nClasses();
            if (end > width) {
                break;
            }
            hidden.clear();
            hidden.position(start);
            block.logits(x, block.dim(), hidden);
            for (int i = start; i < end; i++) {
                hidden.put(i, Math.max(0, hidden.get(i)));
            }
            start = end;
        }
        hidden.clear();
        out.clear();
        down.logits(hidden, width, out);
        float[] embedding = new float[out.capacity()];
        out.get(embedding);
        return embedding;
    }

    /** Let go of the layers; `embed` then throws. */
    @Override
    public void close() {
        for (Head block : up) {
            block.close();
        }
        down.close();
    }
}
