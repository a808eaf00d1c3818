package org.edgesdk;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.Test;

public final class CoreFfnTest {
    /** The layers of the Android demo, which Python wrote. */
    private static final File DIGITS = Vectors.made("ffn/digits");
    /** 16 inputs, widths 4, 8, 16 and 32, 8 coordinates. */
    private static final File SMALL = Vectors.made("ffn/small");

    private static CoreFfn small() {
        return CoreFfn.open(SMALL);
    }

    private static FloatBuffer direct(float[] values, int before) {
        FloatBuffer floats = ByteBuffer.allocateDirect(4 * (values.length + before))
                .order(ByteOrder.nativeOrder()).asFloatBuffer();
        floats.position(before);
        floats.put(values);
        floats.position(before);
        return floats;
    }

    /** Both forms of `embed` give these bits. */
    private static void check(CoreFfn ffn, float[] pixels, String name, float[] wanted) {
        assertBits(name, wanted, ffn.embed(pixels, name));
        FloatBuffer out = direct(new float[ffn.dim()], 3);
        FloatBuffer in = direct(pixels, 1);
        ffn.embed(in, name, out);
        assertEquals(1, in.position());
        assertEquals(3, out.position());
        float[] found = new float[ffn.dim()];
        out.get(found);
        assertBits(name, wanted, found);
    }

    private static void assertBits(String name, float[] wanted, float[] found) {
        assertEquals(name, wanted.length, found.length);
        for (int i = 0; i < wanted.length; i++) {
            assertEquals(name, Float.floatToRawIntBits(wanted[i]),
                    Float.floatToRawIntBits(found[i]));
        }
    }

    private static float[] row(float[] all, int i, int width) {
        return Arrays.copyOfRange(all, i * width, (i + 1) * width);
    }

    @Test
    public void embeddingsAreThoseOfTheVectorsToTheBit() throws Exception {
        Vectors.onEveryIsa(() -> {
            for (String[] columns : Vectors.cases("ffn.txt")) {
                CoreFfn ffn = CoreFfn.open(Vectors.made("ffn/" + Vectors.key(columns, 1, 8)));
                assertEquals(columns[1] + " " + columns[2], ffn.nInputs() + " " + ffn.dim());
                int n = Integer.parseInt(columns[8]);
                float[] x = Vectors.floats(columns[9], n * ffn.nInputs());
                float[] wanted = Vectors.floats(columns[11], n * ffn.dim());
                List<String> names = new ArrayList<>();
                for (Map.Entry<String, Integer> one : ffn.granularities().entrySet()) {
                    if (one.getValue().toString().equals(columns[10])) {
                        names.add(one.getKey());
                    }
                }
                assertEquals(columns[0], 1, names.size());
                for (int i = 0; i < n; i++) {
                    check(ffn, row(x, i, ffn.nInputs()), names.get(0), row(wanted, i, ffn.dim()));
                }
            }
        });
    }

    @Test
    public void embeddingsOfTheDigitsHaveTheBitsOfPython() throws Exception {
        float[] pixels = Vectors.floats(Vectors.direct(Vectors.bytes(
                Vectors.made("ffn/pixels.f32"))));
        Vectors.onEveryIsa(() -> {
            CoreFfn ffn = CoreFfn.open(DIGITS);
            int n = pixels.length / ffn.nInputs();
            assertTrue(n > 5);
            for (String name : ffn.granularities().keySet()) {
                float[] wanted = Vectors.floats(Vectors.direct(Vectors.bytes(
                        Vectors.made("ffn/" + name + ".f32"))));
                assertEquals(n * ffn.dim(), wanted.length);
                for (int i = 0; i < n; i++) {
                    check(ffn, row(pixels, i, ffn.nInputs()), name, row(wanted, i, ffn.dim()));
                }
            }
        });
    }

    @Test
    public void granularitiesAreNamedFromTheLargestDown() throws Exception {
        try (CoreFfn ffn = CoreFfn.open(DIGITS)) {
            assertEquals("{S=32, M=64, L=128, XL=256}", ffn.granularities().toString());
            assertEquals(784, ffn.nInputs());
            assertEquals(64, ffn.dim());
            assertEquals(64, ffn.weightsSha256().length());
            assertThrows(UnsupportedOperationException.class,
                    () -> ffn.granularities().clear());
        }
        String[] columns = Vectors.cases("ffn.txt").get(0);
        CoreFfn two = CoreFfn.open(Vectors.made("ffn/" + Vectors.key(columns, 1, 8)));
        assertEquals("{L=1, XL=2}", two.granularities().toString());
        assertEquals("", two.weightsSha256());
    }

    @Test
    public void aCallLeavesNothingBehindForTheNextOne() {
        CoreFfn ffn = small();
        float[] pixels = new float[16];
        Arrays.fill(pixels, 0.5f);
        float[] first = ffn.embed(pixels, "S");
        float[] large = pixels.clone();
        Arrays.fill(large, 1e15f);
        assertThrows(CodeException.class, () -> ffn.embed(large, "XL")); // in its hidden units
        assertArrayEquals(first, ffn.embed(pixels, "S"), 0);
    }

    @Test
    public void threadsMayShareOne() throws Exception {
        CoreFfn ffn = small();
        float[][] inputs = new float[4][16];
        float[][] wanted = new float[4][];
        for (int i = 0; i < 4; i++) {
            Arrays.fill(inputs[i], i - 1.5f);
            wanted[i] = ffn.embed(inputs[i], "XL");
        }
        boolean[] same = new boolean[4];
        Thread[] threads = new Thread[4];
        for (int i = 0; i < 4; i++) {
            int place = i;
            threads[i] = new Thread(() -> {
                boolean all = true;
                for (int call = 0; call < 200; call++) {
                    all &= Arrays.equals(wanted[place], ffn.embed(inputs[place], "XL"));
                }
                same[place] = all;
            });
            threads[i].start();
        }
        for (int i = 0; i < 4; i++) {
            threads[i].join();
            assertTrue(same[i]);
        }
        assertFalse(Arrays.equals(wanted[0], wanted[3]));
    }

    @Test
    public void wrongPixelsAndNamesAreRefused() {
        CoreFfn ffn = small();
        for (float[] bad : new float[][] {null, {}, new float[15], new float[17]}) {
            ShapeException error = assertThrows(ShapeException.class, () -> ffn.embed(bad, "S"));
            assertEquals("16 pixels", error.expected());
        }
        for (String bad : new String[] {null, "", "s", "XXL", "32"}) {
            GranularityException error = assertThrows(GranularityException.class,
                    () -> ffn.embed(new float[16], bad));
            assertEquals("one of [S, M, L, XL]", error.expected());
        }
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, -2e15f}) {
            float[] pixels = new float[16];
            pixels[15] = bad;
            assertThrows(CodeException.class, () -> ffn.embed(pixels, "S"));
            assertThrows(CodeException.class,
                    () -> ffn.embed(direct(pixels, 0), "XL", direct(new float[8], 0)));
        }
        FloatBuffer x = direct(new float[16], 0);
        FloatBuffer out = direct(new float[8], 0);
        for (FloatBuffer wrong : new FloatBuffer[] {null, FloatBuffer.allocate(16),
            direct(new float[7], 0), ByteBuffer.allocateDirect(64).order(ByteOrder.BIG_ENDIAN)
            .asFloatBuffer()}) {
            assertThrows(ShapeException.class, () -> ffn.embed(wrong, "S", out));
            assertThrows(ShapeException.class, () -> ffn.embed(x, "S", wrong));
        }
        assertThrows(ShapeException.class, () -> ffn.embed(x, "S", out.asReadOnlyBuffer()));
        ffn.embed(x.asReadOnlyBuffer(), "S", out);
    }

    @Test
    public void whatIsNotAsItWasSavedIsRefused() throws Exception {
        SealedFiles.everyDamageIsRefused(SMALL, source -> CoreFfn.open(source, "assets/ffn"));
        SealedFiles swapped = new SealedFiles(SMALL); // undamaged, of the same size and form
        swapped.put("up-0.mrl", swapped.get("up-1.mrl"));
        assertThrows(FormatException.class, () -> CoreFfn.open(swapped, ""));
        SealedFiles unsealed = new SealedFiles(SMALL);
        String text = new String(unsealed.get("manifest.json"), "UTF-8");
        unsealed.put("manifest.json", text.replace("\"dim\": 8", "\"dim\":  8").getBytes("UTF-8"));
        CoreFfn.open(unsealed, "spaces mean nothing").close();
        unsealed.put("manifest.json", text.replace("\"ab\"", "\"ac\"").getBytes("UTF-8"));
        FormatException error = assertThrows(FormatException.class,
                () -> CoreFfn.open(unsealed, "assets/ffn"));
        assertEquals("expected the manifest of an FFN's layers, got the seal does not match"
                + " - at assets/ffn/manifest.json\nhint: write the layers again",
                error.getMessage());
    }

    @Test
    public void aNewerManifestIsToldFromADamagedOne() throws Exception {
        SealedFiles newer = new SealedFiles(SMALL).sealed("\"schema_version\": 1",
                "\"schema_version\": 2");
        VersionException error = assertThrows(VersionException.class,
                () -> CoreFfn.open(newer, "assets/ffn"));
        assertEquals("version 2", error.got());
        assertEquals("assets/ffn/manifest.json", error.where());
    }

    @Test
    public void aSealedManifestThatSaysSomethingElseIsRefused() throws Exception {
        CoreFfn.open(new SealedFiles(SMALL).sealed("\"ab\"", "\"ac\""), "").close();
        String all = "\"up-0.mrl\",\n  \"up-1.mrl\",\n  \"up-2.mrl\",\n  \"up-3.mrl\"";
        String[][] changes = {{"\"relu\"", "\"gelu\""}, {"\"relu\"", "null"},
            {"\"up-0.mrl\",", "\"../up-0.mrl\","}, {"\"up-0.mrl\",", "\"\","},
            {"\"up-0.mrl\",", ""}, {all, ""}, {all, all + ", \"up-3.mrl\""},
            {all, "\"up-0.mrl\", \"up-2.mrl\", \"up-1.mrl\", \"up-3.mrl\""},
            {"\"down\": \"down.mrl\"", "\"down\": \"up-0.mrl\""},
            {"\"down\": \"down.mrl\"", "\"down\": \"none.mrl\""},
            {"\"down\": \"down.mrl\"", "\"down\": null"},
            {"\"n_inputs\": 16", "\"n_inputs\": 15"}, {"\"dim\": 8", "\"dim\": 8.5"},
            {"\"dim\": 8,", ""}, {"\"S\": 4", "\"S\": 5"}, {"\"S\": 4", "\"XS\": 4"},
            {"\"schema_version\": 1", "\"schema_version\": \"1\""},
            {"\"weights_sha256\": \"ab\"", "\"weights_sha256\": 7"}};
        for (String[] change : changes) {
            SealedFiles changed = new SealedFiles(SMALL).sealed(change[0], change[1]);
            assertThrows(change[1], FormatException.class, () -> CoreFfn.open(changed, ""));
        }
    }

    @Test
    public void layersThatDoNotFitOneAnotherAreRefused() throws Exception {
        byte[] other = Vectors.bytes(new File(DIGITS, "up-1.mrl"));
        SealedFiles wide = new SealedFiles(SMALL).replaced("up-1.mrl", other);
        FormatException error = assertThrows(FormatException.class, () -> CoreFfn.open(wide, ""));
        assertTrue(error.expected(), error.expected().contains("blocks of hidden units"));
        SealedFiles none = new SealedFiles(SMALL).replaced("up-1.mrl", new byte[] {1, 2, 3});
        error = assertThrows(FormatException.class, () -> CoreFfn.open(none, "ffn"));
        assertEquals("ffn/up-1.mrl", error.where());
        VersionException newer = assertThrows(VersionException.class, () -> CoreFfn.open(
                new SealedFiles(SMALL).replaced("down.mrl",
                        Vectors.bytes(Vectors.made("newer.mrl"))), "ffn"));
        assertEquals("ffn/down.mrl", newer.where());
    }

    @Test
    public void whatIsNoFolderOfLayersIsRefused() throws IOException {
        assertThrows(FormatException.class, () -> CoreFfn.open(new File("no/such")));
        assertThrows(FormatException.class,
                () -> CoreFfn.open(Vectors.made("bundle/tiny.edge")));
        assertThrows(ShapeException.class, () -> CoreFfn.open((File) null));
        assertThrows(ShapeException.class, () -> CoreFfn.open(null, "none"));
        assertThrows(FormatException.class, () -> CoreFfn.open(name -> null, "none"));
        for (String text : new String[] {"", "[]", "null", "{}", "\"", "{\"schema_version\": 1}"}) {
            SealedFiles files = new SealedFiles(SMALL);
            files.put("manifest.json", text.getBytes("UTF-8"));
            assertThrows(text, FormatException.class, () -> CoreFfn.open(files, ""));
        }
    }

    @Test
    public void aClosedFfnThrowsAndClosingTwiceDoesNot() {
        CoreFfn ffn = small();
        ffn.close();
        ffn.close();
        assertThrows(ClosedException.class, () -> ffn.embed(new float[16], "S"));
        assertThrows(ClosedException.class, () -> ffn.embed(direct(new float[16], 0), "S",
                direct(new float[8], 0)));
        assertEquals(16, ffn.nInputs());
    }
}
