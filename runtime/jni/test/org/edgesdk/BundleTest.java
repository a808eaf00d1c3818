package org.edgesdk;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.Test;

public final class BundleTest {
    private static final File TINY = Vectors.made("bundle/tiny.edge");

    private static SealedFiles files() throws IOException {
        return new SealedFiles(TINY);
    }

    private static float[] floats(Object stored) {
        List<Object> list = Json.list(stored, "");
        float[] floats = new float[list.size()];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = (float) Json.number(list.get(i), "");
        }
        return floats;
    }

    @Test
    public void aBundleSaysWhatPythonPacked() {
        try (Bundle bundle = Bundle.open(TINY)) {
            assertEquals("tiny", bundle.name());
            assertEquals("made up", bundle.model());
            assertEquals(64, bundle.weightsSha256().length());
            assertEquals("never", bundle.defaultPlan());
            assertEquals("{\"split\":\"none\",\"µ\":[1,2.5,null]}", bundle.notes());
            assertEquals(Arrays.asList("onnx"), bundle.targets());
            assertEquals(12, bundle.codes().codes().bits());
            assertEquals("[dims, never, coded, tie]", bundle.cascades().keySet().toString());
            assertEquals("[S/8, XL/8]", bundle.cascades().get("coded").levels().toString());
            assertTrue(bundle.modelFile("onnx").remaining() > 0);
            assertTrue(bundle.modelFile("onnx").isReadOnly());
            assertThrows(FormatException.class, () -> bundle.modelFile("litert"));
            List<Choice> choices = bundle.choices();
            assertEquals(2, choices.size());
            assertEquals("dims", choices.get(1).plan);
            assertNull(choices.get(0).plan);
            assertEquals(2, choices.get(1).threads);
            assertTrue(Double.isNaN(choices.get(0).energyMj));
            assertEquals(0.75, choices.get(0).accuracy, 0);
            assertEquals("k", bundle.profileDevice());
            assertEquals(bundle.cascades().get("dims"), bundle.plan("dims"));
            assertEquals("[S/8]", bundle.plan("S").levels().toString());
            float[] logits = bundle.head().logits(new float[8]);
            Answer answer = bundle.plan("S").classify(granularity -> new float[8]);
            for (float logit : logits) {
                assertTrue(logits[answer.id] >= logit);
            }
            assertThrows(ShapeException.class, () -> bundle.plan(null));
        }
    }

    @Test
    public void answersAreThoseOfPythonToTheBit() throws Exception {
        Vectors.onEveryIsa(() -> {
            Bundle bundle = Bundle.open(files());
            List<Object> answers = Json.list(Json.parse(
                    Vectors.text(Vectors.made("bundle/answers.json")), ""), "");
            assertEquals(50, answers.size());
            int[] sure = new int[4];
            for (Object one : answers) {
                check(bundle, Json.object(one, ""), sure);
            }
            assertTrue(sure[0] > 0 && sure[0] < 50);
            assertTrue(sure[3] > 0 && sure[3] < 50);
        });
    }

    private static void check(Bundle bundle, Map<String, Object> answer, int[] sure) {
        Map<String, float[]> embeddings = new HashMap<>();
        for (Map.Entry<String, Object> entry : Json.object(answer.get("embeddings"), "")
                .entrySet()) {
            embeddings.put(entry.getKey(), floats(entry.getValue()));
        }
        float[] largest = embeddings.get("XL");
        org.junit.Assert.assertArrayEquals(floats(answer.get("logits")),
                bundle.head().logits(largest, 4), 0);
        assertEquals(answer.get("known"), bundle.known(largest));
        assertEquals(Json.small(answer.get("nearest"), ""), bundle.codes().nearest(largest).id);
        int at = 0;
        for (Map.Entry<String, Object> entry : Json.object(answer.get("cascades"), "").entrySet()) {
            List<Object> wanted = Json.list(entry.getValue(), "");
            List<String> asked = new ArrayList<>();
            Answer found = bundle.cascades().get(entry.getKey()).classify(granularity -> {
                asked.add(granularity);
                return embeddings.get(granularity);
            });
            assertEquals(entry.getKey(), Json.small(wanted.get(0), ""), found.id);
            assertEquals(entry.getKey(), wanted.get(1), found.level.toString());
            assertEquals(entry.getKey(), Json.small(wanted.get(2), ""), found.place);
            assertEquals(entry.getKey(), (float) Json.number(wanted.get(3), ""), found.confidence,
                    0);
            assertEquals(found.sure, found.place == 0);
            assertEquals(found.level.granularity, asked.get(asked.size() - 1));
            sure[at++] += found.sure ? 1 : 0;
        }
    }

    @Test
    public void whatIsNotAsItWasPackedIsRefused() throws Exception {
        SealedFiles.everyDamageIsRefused(TINY, Bundle::open);
    }

    @Test
    public void aSealedManifestThatMeansNothingIsRefused() throws Exception {
        Bundle.open(files().sealed("\"made up\"", "\"made later\""));
        String[][] changes = {{"\"head.mrl\"", "\"../head.mrl\""}, {"\"head.mrl\"", "\"..\""},
            {"\"head.mrl\"", "\"a\\\\head.mrl\""}, {"\"role\": \"head\"", "\"role\": \"leg\""},
            {"\"role\": \"head\"", "\"role\": \"cases\""}, {"\"model.onnx\"", "\"model.so\""},
            {"\"default\": \"never\"", "\"default\": \"ever\""},
            {"\"default\": \"never\"", "\"default\": null"},
            {"\"unknown_distance\": 3", "\"unknown_distance\": 3.5"},
            {"\"n_bytes\": ", "\"n_bytes\": 1"}, {"\"notes\": {", "\"more\": 1, \"notes\": {"}};
        for (String[] change : changes) {
            SealedFiles changed = files().sealed(change[0], change[1]);
            assertThrows(change[1], FormatException.class, () -> Bundle.open(changed));
        }
        SealedFiles newer = files().sealed("\"schema_version\": 1", "\"schema_version\": 2");
        assertThrows(VersionException.class, () -> Bundle.open(newer));
    }

    @Test
    public void foldersThatAreNoBundleAreRefused() throws Exception {
        assertThrows(FormatException.class, () -> Bundle.open(new File("no/such.edge")));
        assertThrows(FormatException.class, () -> Bundle.open(Vectors.made("codes")));
        assertThrows(ShapeException.class, () -> Bundle.open((File) null));
        assertThrows(ShapeException.class, () -> Bundle.open((Bundle.Source) null));
        assertThrows(FormatException.class, () -> Bundle.open(name -> null));
        assertThrows(ShapeException.class, () -> Bundle.open(name -> ByteBuffer.allocate(9)));
    }

    @Test
    public void aLinkThatLeadsOutOfTheFolderIsRefused() throws Exception {
        File folder = Vectors.out("linked.edge");
        assertTrue(folder.isDirectory() || folder.mkdir());
        for (Map.Entry<String, byte[]> file : files().entrySet()) {
            Vectors.write(new File(folder, file.getKey()), file.getValue());
        }
        Bundle.open(folder).close();
        File head = new File(folder, "head.mrl");
        assertTrue(head.delete());
        java.nio.file.Files.createSymbolicLink(head.toPath(),
                new File(TINY, "head.mrl").getAbsoluteFile().toPath());
        FormatException error = assertThrows(FormatException.class, () -> Bundle.open(folder));
        assertEquals("a link or folder", error.got());
        assertTrue(head.delete());
    }

    @Test
    public void cascadesThatDoNotFitAreRefused() throws Exception {
        Bundle bundle = Bundle.open(TINY);
        Head head = bundle.head();
        List<Level> two = Arrays.asList(new Level("S", 4), new Level("S", 8));
        float[] one = {0.5f};
        assertThrows(ShapeException.class,
                () -> new Cascade(null, two, one, "margin", false, false, null));
        assertThrows(ShapeException.class,
                () -> new Cascade(head, null, one, "margin", false, false, null));
        assertThrows(ShapeException.class,
                () -> new Cascade(head, two, null, "margin", false, false, null));
        assertThrows(ShapeException.class,
                () -> new Cascade(head, two, new float[2], "margin", false, false, null));
        assertThrows(ShapeException.class, () -> new Cascade(head, two, new float[] {Float.NaN},
                "margin", false, false, null));
        assertThrows(ShapeException.class,
                () -> new Cascade(head, two, one, "guess", false, false, null));
        assertThrows(ShapeException.class,
                () -> new Cascade(head, two, one, "llc_margin", false, false, null));
        assertThrows(ShapeException.class,
                () -> new Cascade(head, two, one, "llc_margin", false, false, bundle.codes()));
        assertThrows(ShapeException.class,
                () -> new Cascade(head, two, one, "margin", false, false, bundle.codes()));
        assertThrows(ShapeException.class, () -> new Cascade(head, Arrays.asList(
                new Level("S", 8), new Level("S", 4)), one, "margin", false, false, null));
        assertThrows(ShapeException.class, () -> new Cascade(head, Arrays.asList(
                new Level("S", 4), new Level("M", 5)), one, "margin", false, true, null));
        assertThrows(ShapeException.class, () -> new Cascade(head, Arrays.asList(new Level("S", 4),
                new Level("M", 4), new Level("S", 8)), new float[2], "margin", false, false, null));
        Cascade good = new Cascade(head, two, one, "margin", false, false, null);
        assertThrows(ShapeException.class, () -> good.classify(null));
        assertThrows(ShapeException.class, () -> good.classify(name -> null));
        assertThrows(ShapeException.class, () -> good.classify(name -> new float[7]));
        assertThrows(FormatException.class, () -> Cascade.fromJson("{}", head, null));
        assertThrows(FormatException.class, () -> Cascade.fromJson("{\"levels\": [[\"S\"]]}", head,
                null));
        bundle.close();
        bundle.close();
        assertThrows(ClosedException.class, bundle::head);
        assertThrows(ClosedException.class, () -> good.classify(name -> new float[8]));
        assertThrows(ClosedException.class, () -> bundle.known(new float[8]));
    }
}
