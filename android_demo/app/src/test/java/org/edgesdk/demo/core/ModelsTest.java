package org.edgesdk.demo.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertTrue;

import org.edgesdk.EdgeRuntime;
import org.edgesdk.GranularityException;
import org.edgesdk.Listener;
import org.edgesdk.ShapeException;
import org.junit.Test;

import java.io.BufferedReader;
import java.io.DataInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** The same answers as Python's, which tests/test_android_demo.py writes before. */
public class ModelsTest {
    private static List<String[]> lines(String name) throws Exception {
        BufferedReader in = new BufferedReader(new FileReader(FolderSource.made(name)));
        try {
            List<String[]> lines = new ArrayList<String[]>();
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                lines.add(line.split(" "));
            }
            return lines;
        } finally {
            in.close();
        }
    }

    private static float[] floats(String[] words, int begin) {
        float[] values = new float[words.length - begin];
        for (int i = 0; i < values.length; i++) {
            values[i] = Float.intBitsToFloat(Integer.parseUnsignedInt(words[begin + i], 16));
        }
        return values;
    }

    private static List<float[]> pictures() throws Exception {
        List<float[]> pictures = new ArrayList<float[]>();
        for (String[] words : lines("pictures.txt")) {
            pictures.add(floats(words, 0));
        }
        return pictures;
    }

    @Test
    public void embeddings_have_the_bits_of_python_on_every_instruction_set() throws Exception {
        List<float[]> pictures = pictures();
        for (String isa : EdgeRuntime.isas()) {
            EdgeRuntime.useIsa(isa);
            CoreImageModel model = CoreImageModel.open(FolderSource.of("digits-core"), "assets");
            int n = 0;
            for (String[] words : lines("embeddings.txt")) {
                float[] got = model.embed(pictures.get(Integer.parseInt(words[0])), words[1]);
                assertArrayEquals(words[1], floats(words, 2), got, 0);
                n++;
            }
            assertEquals(4 * pictures.size(), n);
            model.close();
        }
    }

    @Test
    public void plans_answer_as_python() throws Exception {
        List<float[]> pictures = pictures();
        ImageSession session = Assets.images();
        int early = 0;
        for (String[] words : lines("answers.txt")) {
            ImagePlans.Run run = session.imagePlans().run(words[1],
                    pictures.get(Integer.parseInt(words[0])));
            assertEquals(words[1], Integer.parseInt(words[2]), run.id);
            assertEquals(words[1], words[3], run.granularity + "/" + run.dim);
            assertEquals(Double.parseDouble(words[4]), run.confidence, 1e-6);
            assertEquals(words[5], String.valueOf(run.known));
            assertEquals(Integer.parseInt(words[6]), run.codeDistance);
            early += run.stopped.contains("above") ? 1 : 0;
        }
        assertTrue("no cascade answered early", early > 0);
        session.close();
    }

    @Test
    public void digits_drawn_by_code_are_recognised() {
        ImageSession session = Assets.images();
        int right = 0;
        for (int digit = 0; digit < 10; digit++) {
            right += session.imagePlans().run("XL", SampleDigits.pixels(digit)).id == digit ? 1 : 0;
        }
        assertTrue(right + " of 10", right >= 9);
        session.close();
    }

    /** Pictures of MNIST, enlarged, moved, turned to dark ink on light and noisy paper. */
    @Test
    public void photographs_are_made_into_what_the_model_was_trained_on() throws Exception {
        File file = FolderSource.made("photographs.bin");
        if (!file.exists()) {
            return;
        }
        ImageSession session = Assets.images();
        DataInputStream in = new DataInputStream(new FileInputStream(file));
        try {
            int n = in.readInt();
            int right = 0;
            for (int i = 0; i < n; i++) {
                int label = in.readInt();
                int width = in.readInt();
                int height = in.readInt();
                byte[] bytes = new byte[width * height];
                in.readFully(bytes);
                int[] argb = new int[bytes.length];
                for (int j = 0; j < argb.length; j++) {
                    argb[j] = 0xff000000 | (bytes[j] & 255) * 0x010101;
                }
                float[] pixels = DigitPicture.ofColours(argb, width, height);
                right += session.imagePlans().run("XL", pixels).id == label ? 1 : 0;
            }
            System.out.println("photographs " + right + " of " + n);
            assertTrue(right + " of " + n, right >= 0.95 * n);
        } finally {
            in.close();
            session.close();
        }
    }

    @Test
    public void the_governor_follows_the_slider_and_says_why() {
        ImageSession session = Assets.images();
        float[] pixels = SampleDigits.pixels(3);
        ImageAnswer before = session.classify(pixels, BudgetSettings.none(), DeviceState.unknown(),
                0);
        assertEquals("XL", before.plan);
        assertTrue(before.reason.contains("not measured yet"));
        List<DeviceProfile.Row> rows = new ArrayList<DeviceProfile.Row>();
        for (String plan : session.plans()) {
            double ms = plan.equals("S") ? 0.5 : plan.equals("XL") ? 4 : 2;
            rows.add(new DeviceProfile.Row(plan, ms, 1.2 * ms));
        }
        assertTrue(session.useProfile(new DeviceProfile("k", rows)));
        ImageAnswer free = session.classify(pixels, BudgetSettings.none(), DeviceState.unknown(),
                1);
        assertTrue(free.met);
        assertTrue(free.reason, free.reason.contains("the most accurate that fits the budget"));
        BudgetSettings tight = tightest(1);
        ImageAnswer small = session.classify(pixels, tight, DeviceState.unknown(), 2);
        assertEquals("S", small.plan);
        assertTrue(small.reason, small.reason.startsWith("S: "));
        ImageAnswer none = session.classify(pixels, new BudgetSettings(0, 0),
                DeviceState.unknown(), 3);
        assertFalse(none.met);
        assertTrue(none.reason, none.reason.contains("misses latency"));
        session.close();
    }

    private static BudgetSettings tightest(double ms) {
        for (int place = 0; place < BudgetSettings.LATENCY_STEPS; place++) {
            if (new BudgetSettings(place, 0).latencyMs() >= ms) {
                return new BudgetSettings(place, 0);
            }
        }
        throw new AssertionError();
    }

    @Test
    public void a_battery_at_its_floor_runs_the_thriftiest() {
        ImageSession session = Assets.images();
        DeviceProfile profile = session.measure("k", new ImageSession.Progress() {
            @Override
            public void at(String plan) {
                assertNotNull(plan);
            }
        });
        assertEquals(session.plans().size(), profile.rows.size());
        assertTrue(session.useProfile(profile));
        double nan = Double.NaN;
        DeviceState low = new DeviceState(9, false, nan, nan, nan, null, null, nan, nan, nan);
        ImageAnswer answer = session.classify(SampleDigits.pixels(7),
                new BudgetSettings(BudgetSettings.LATENCY_STEPS, 1), low, 0);
        assertTrue(answer.reason, answer.reason.contains("the thriftiest, as the battery is at its"
                + " floor of 10 %"));
        session.close();
    }

    @Test
    public void a_profile_of_other_plans_is_not_used() {
        ImageSession session = Assets.images();
        assertFalse(session.useProfile(new DeviceProfile("k", Collections.singletonList(
                new DeviceProfile.Row("S", 1, 2)))));
        assertEquals("", session.profileText());
        session.close();
    }

    @Test
    public void accuracies_come_from_the_bundle() {
        ImageSession session = Assets.images();
        assertTrue(session.accuracy("XL") > session.accuracy("S"));
        assertTrue(session.accuracy("risk-0.01") > 0.9);
        assertTrue(Double.isNaN(session.accuracy("none")));
        assertEquals(0, session.risk("XL"), 0);
        assertEquals(0.01, session.risk("risk-0.01"), 1e-12);
        assertTrue(Double.isNaN(session.risk("S")));
        session.close();
    }

    @Test
    public void words_are_those_of_python() throws Exception {
        SpeechModel model = Assets.speech();
        File file = FolderSource.made("sound.wav");
        FileInputStream in = new FileInputStream(file);
        Wav wav = Wav.read(in);
        in.close();
        for (int step : new int[] {37, 400, 8000}) {
            SpeechStream stream = model.stream(wav.rateHz);
            List<Listener.Heard> heard = new ArrayList<Listener.Heard>();
            for (int at = 0; at < wav.samples.length; at += step) {
                short[] block = Arrays.copyOfRange(wav.samples, at,
                        Math.min(at + step, wav.samples.length));
                heard.addAll(stream.push(block, block.length));
            }
            heard.addAll(stream.finish());
            List<String[]> expected = lines("words.txt");
            assertEquals(expected.size(), heard.size());
            for (int i = 0; i < heard.size(); i++) {
                assertEquals(expected.get(i)[0], heard.get(i).label);
                assertEquals(Double.parseDouble(expected.get(i)[1]), heard.get(i).startS, 1e-9);
                assertEquals(Double.parseDouble(expected.get(i)[2]), heard.get(i).confidence,
                        1e-6);
            }
            assertEquals((double) wav.samples.length / wav.rateHz, stream.heardS(), 1e-9);
            stream.close();
        }
        model.close();
    }

    @Test
    public void wrong_pixels_and_names_are_refused() {
        CoreImageModel model = CoreImageModel.open(FolderSource.of("digits-core"), "assets");
        assertEquals(Arrays.asList("S", "M", "L", "XL"), model.granularities());
        for (float[] bad : new float[][] {null, {}, new float[783]}) {
            try {
                model.embed(bad, "S");
                throw new AssertionError("wrong pixels were taken");
            } catch (ShapeException error) {
                assertTrue(error.getMessage().contains("784 pixels"));
            }
        }
        for (String bad : new String[] {null, "", "XXL"}) {
            try {
                model.embed(new float[784], bad);
                throw new AssertionError("a granularity that is none was taken");
            } catch (GranularityException error) {
                assertTrue(error.getMessage().contains("XL"));
            }
        }
        model.close();
    }
}
