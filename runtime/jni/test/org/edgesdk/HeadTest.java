package org.edgesdk;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import org.junit.Test;

public final class HeadTest {
    private static final String[] SIGNALS = {"softmax", "margin", "entropy"};

    private static Head head(String[] columns) {
        return Head.open(Vectors.made("heads/" + Vectors.key(columns, 1, 8) + ".mrl"));
    }

    private static float[][] embeddings(String[] columns, Head head) {
        int n = Integer.parseInt(columns[8]);
        float[] all = Vectors.floats(columns[9], n * head.dim());
        float[][] rows = new float[n][];
        for (int i = 0; i < n; i++) {
            rows[i] = java.util.Arrays.copyOfRange(all, i * head.dim(), (i + 1) * head.dim());
        }
        return rows;
    }

    private static void assertBits(String name, float[] wanted, float[] found) {
        assertEquals(name, wanted.length, found.length);
        for (int i = 0; i < wanted.length; i++) {
            assertEquals(name, Float.floatToRawIntBits(wanted[i]),
                    Float.floatToRawIntBits(found[i]));
        }
    }

    private static FloatBuffer direct(float[] values, int before) {
        FloatBuffer floats = ByteBuffer.allocateDirect(4 * (values.length + before))
                .order(ByteOrder.nativeOrder()).asFloatBuffer();
        floats.position(before);
        floats.put(values);
        floats.position(before);
        return floats;
    }

    @Test
    public void logitsAreThoseOfTheVectorsToTheBit() throws Exception {
        Vectors.onEveryIsa(() -> {
            for (String[] columns : Vectors.cases("mrl_logits.txt")) {
                Head head = head(columns);
                int dim = Integer.parseInt(columns[10]);
                boolean interpolate = columns[11].equals("i");
                float[][] rows = embeddings(columns, head);
                float[] wanted = Vectors.floats(columns[12], rows.length * head.nClasses());
                for (int i = 0; i < rows.length; i++) {
                    float[] row = java.util.Arrays.copyOfRange(wanted, i * head.nClasses(),
                            (i + 1) * head.nClasses());
                    assertBits(columns[0], row, head.logits(rows[i], dim, interpolate));
                    if (!interpolate) {
                        FloatBuffer out = direct(new float[head.nClasses()], 3);
                        head.logits(direct(rows[i], 1), dim, out);
                        float[] found = new float[head.nClasses()];
                        assertEquals(3, out.position());
                        out.get(found);
                        assertBits(columns[0], row, found);
                    }
                }
            }
        });
    }

    @Test
    public void cascadesAnswerTheVectorsToTheBit() throws Exception {
        Vectors.onEveryIsa(() -> {
            for (String[] columns : Vectors.cases("mrl_cascade.txt")) {
                Head head = head(columns);
                String[] steps = columns[10].split(",");
                int[] dims = new int[steps.length];
                float[] thresholds = new float[steps.length];
                for (int i = 0; i < steps.length; i++) {
                    String[] parts = steps[i].split(":");
                    dims[i] = Integer.parseInt(parts[0]);
                    thresholds[i] = Vectors.floats(parts[1], 1)[0];
                }
                int flags = 0;
                for (String[] flag : new String[][] {{"i", "EDGE_MRL_INTERPOLATE"},
                    {"a", "EDGE_MRL_AGREE"}, {"e", "EDGE_MRL_EVERY_STEP"}}) {
                    flags |= columns[12].contains(flag[0]) ? EdgeRuntime.at(flag[1]) : 0;
                }
                int signal = java.util.Arrays.asList(SIGNALS).indexOf(columns[11]) + 1;
                float[][] rows = embeddings(columns, head);
                int each = columns[12].contains("e") ? steps.length : 1;
                int width = EdgeRuntime.at("edge_verdict");
                ByteBuffer verdicts = Memory.allocate((long) each * width, "a test");
                StringBuilder found = new StringBuilder();
                for (int i = 0; i < rows.length; i++) {
                    int previous = columns[13].equals("-") ? -1
                            : (int) Long.parseLong(columns[13].split(",")[i]);
                    head.cascade(rows[i], Head.steps(dims, thresholds), signal, flags, previous,
                            verdicts);
                    for (int step = 0; step < each; step++) {
                        found.append(found.length() == 0 ? "" : ",").append(String.format(
                                "%d:%d:%08x:%d",
                                verdicts.getInt(step * width + EdgeRuntime.at("edge_verdict.id")),
                                verdicts.getInt(step * width + EdgeRuntime.at("edge_verdict.step")),
                                verdicts.getInt(step * width
                                        + EdgeRuntime.at("edge_verdict.confidence")),
                                verdicts.getInt(step * width + EdgeRuntime.at("edge_verdict.sure"))
                                        != 0 ? 1 : 0));
                    }
                }
                assertEquals(columns[0], columns[14], found.toString());
            }
        });
    }

    @Test
    public void whatIsNoEmbeddingOrDimIsRefused() throws Exception {
        Head head = Head.open(Vectors.made("bundle/tiny.edge/head.mrl"));
        assertArrayEquals(new int[] {4, 8}, head.dims());
        assertEquals(8, head.dim());
        assertEquals(5, head.nClasses());
        assertThrows(ShapeException.class, () -> head.logits(null));
        assertThrows(ShapeException.class, () -> head.logits(new float[7]));
        assertThrows(ShapeException.class, () -> head.logits(new float[8], 5));
        assertThrows(ShapeException.class, () -> head.logits(new float[8], 0));
        assertThrows(ShapeException.class, () -> head.logits(new float[8], -4));
        assertThrows(ShapeException.class, () -> head.logits(new float[8], 5, true));
        float[] nan = new float[8];
        nan[5] = Float.NaN;
        assertThrows(CodeException.class, () -> head.logits(nan));
        assertEquals(5, head.logits(nan, 4).length); // the first four alone count
        nan[1] = 2e15f;
        assertThrows(CodeException.class, () -> head.logits(nan, 4));
    }

    @Test
    public void floatBuffersThatTheCoreCanNotUseAreRefused() throws Exception {
        Head head = Head.open(Vectors.made("bundle/tiny.edge/head.mrl"));
        FloatBuffer x = direct(new float[8], 0);
        FloatBuffer out = direct(new float[5], 0);
        head.logits(x, 4, out);
        FloatBuffer[] wrong = {null, FloatBuffer.allocate(8), direct(new float[3], 0),
            ByteBuffer.allocateDirect(64).order(ByteOrder.BIG_ENDIAN).asFloatBuffer()};
        for (FloatBuffer one : wrong) {
            assertThrows(ShapeException.class, () -> head.logits(one, 4, out));
            assertThrows(ShapeException.class, () -> head.logits(x, 4, one));
        }
        assertThrows(ShapeException.class, () -> head.logits(x, 4, out.asReadOnlyBuffer()));
        head.logits(x.asReadOnlyBuffer(), 4, out);
    }

    @Test
    public void damagedAndNewerFilesAreRefused() throws Exception {
        Vectors.everyDamageIsRefused(Vectors.made("bundle/tiny.edge/head.mrl"),
                bytes -> Head.open(bytes).logits(new float[8]));
        VersionException newer = assertThrows(VersionException.class,
                () -> Head.open(Vectors.made("newer.mrl")));
        assertTrue(newer instanceof FormatException);
        assertEquals("expected a file of this version or older, got " + newer.got() + " - at "
                + newer.where() + "\nhint: update edge-inference-sdk", newer.getMessage());
        assertThrows(FormatException.class, () -> Head.open(new File("nothing.mrl")));
    }

    @Test
    public void aClosedHeadThrowsAndClosingTwiceDoesNot() throws Exception {
        Head head = Head.open(Vectors.made("bundle/tiny.edge/head.mrl"));
        head.close();
        head.close();
        assertThrows(ClosedException.class, () -> head.logits(new float[8]));
        assertThrows(ClosedException.class, () -> head.logits(direct(new float[8], 0), 4,
                direct(new float[5], 0)));
    }
}
