package org.edgesdk;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.Test;

public final class ListenerTest {
    private static final GateConfig GATE = new GateConfig(1.0, 3, 0.5, 12, 5, 4, 40, 2.0, 80);

    private static FastGrnn digits() {
        return FastGrnn.open(Vectors.made("listen/digits.grnn"));
    }

    private static short[] samples(String name) throws Exception {
        byte[] bytes = Vectors.bytes(Vectors.made("listen/" + name + ".raw"));
        short[] samples = new short[bytes.length / 2];
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asShortBuffer().get(samples);
        return samples;
    }

    private static EarlyDecision early() throws Exception {
        return EarlyDecision.fromJson(Vectors.text(Vectors.made("listen/early.json")));
    }

    private static void check(String name, Listener listener, int block) throws Exception {
        List<Listener.Heard> found = new ArrayList<>();
        short[] samples = samples(name.equals("noisy") ? name : "samples");
        for (int at = 0; at < samples.length; at += block) {
            found.addAll(listener.push(samples, at, Math.min(block, samples.length - at)));
        }
        found.addAll(listener.finish());
        List<String> wanted = Vectors.lines(Vectors.made("listen/" + name + ".jsonl"));
        List<String> words = Vectors.lines(Vectors.made("listen/" + name + ".txt"));
        assertEquals(name, wanted.size(), found.size());
        for (int i = 0; i < wanted.size(); i++) {
            Map<String, Object> word = Json.object(Json.parse(wanted.get(i), name), name);
            Listener.Heard heard = found.get(i);
            assertEquals(Json.number(word.get("start_s"), name), heard.startS, 0);
            assertEquals(Json.number(word.get("decided_s"), name), heard.decidedS, 0);
            assertEquals(Json.small(word.get("id"), name), heard.id);
            assertEquals(word.get("label"), heard.label);
            // Two libraries' exp may part in the last bit of a double.
            float confidence = (float) Json.number(word.get("confidence"), name);
            assertEquals(confidence, heard.confidence, Math.ulp(confidence));
            assertEquals(word.get("sure"), heard.sure);
            assertEquals(words.get(i), heard.toString());
        }
    }

    @Test
    public void theWordsAreThoseThatPythonHears() throws Exception {
        Vectors.onEveryIsa(() -> {
            check("end", new Listener(digits(), null, null), 160);
            check("stored", new Listener(digits()), 4096);
            check("early", new Listener(digits(), early(), null), 1);
            check("gate", new Listener(digits(), early(), GATE), 100_000_000);
            check("noisy", new Listener(digits(), early(), null), 80);
        });
    }

    @Test
    public void anEndBeginsANewStream() throws Exception {
        Listener listener = new Listener(digits(), early(), null);
        check("early", listener, 999);
        assertFalse(listener.isHearing());
        check("early", listener, 8000);
        assertTrue(listener.finish().isEmpty());
    }

    @Test
    public void modelsOfOtherFeaturesAreRefused() throws Exception {
        FastGrnn other = FastGrnn.open(Vectors.fromHexadecimal(
                Vectors.cases("fastgrnn.txt").get(0)[2]));
        assertThrows(UnsupportedModelException.class, () -> new Listener(other));
        assertThrows(ShapeException.class, () -> new Listener(null));
        assertThrows(ShapeException.class, () -> new Listener(digits()).push(null));
    }

    @Test
    public void aClosedListenerThrowsAndItsModelLivesOn() {
        FastGrnn model = digits();
        Listener listener = new Listener(model);
        listener.close();
        listener.close();
        assertThrows(ClosedException.class, () -> listener.push(new short[100]));
        assertEquals(10, model.run(new float[32]).length);
    }

    @Test
    public void gatesThatAreNoneAreRefused() {
        assertThrows(ShapeException.class, () -> new Gate(0, 12, null));
        assertThrows(ShapeException.class, () -> new Gate(32, -1, null));
        assertThrows(ShapeException.class, () -> new Gate(32, 12, null).push(new short[31]));
        assertThrows(ShapeException.class, () -> new Gate(32, 12, null).push(null));
        assertThrows(ShapeException.class,
                () -> new GateConfig(Double.NaN, 4, 1.5, 20, 7, 5, 150, 3, 50));
        assertThrows(ShapeException.class, () -> new GateConfig(2, 0, 1.5, 20, 7, 5, 150, 3, 50));
        assertThrows(ShapeException.class, () -> new GateConfig(2, 4, 1.5, 20, -1, 5, 150, 3, 50));
        assertThrows(ShapeException.class, () -> new GateConfig(2, 4, 1.5, 20, 7, -1, 150, 3, 50));
    }

    @Test
    public void aDecisionFallsOnceAtACheckpointOrAtTheEnd() throws Exception {
        EarlyDecision.Decider decider = EarlyDecision.fromJson("{\"signal\": \"max_softmax\", "
                + "\"frames\": [2, 3], \"thresholds\": [0.75, 0.0], \"provenance\": {}}").stream();
        assertThrows(ShapeException.class, decider::finish);
        assertNull(decider.push(new float[] {9, 0}));
        assertNull(decider.push(new float[] {0.5f, 0}));
        EarlyDecision.Decided decided = decider.push(new float[] {0, 0.5f});
        assertNotNull(decided);
        assertEquals(1, decided.id);
        assertEquals(3, decided.frame);
        assertTrue(decided.sure);
        assertNull(decider.push(new float[] {9, 0}));
        assertEquals(1, decider.finish().id);
        decider.reset();
        decider.push(new float[] {3, 3});
        assertEquals(0, decider.finish().id); // of equal logits the lowest
        assertFalse(decider.finish().sure);
        assertEquals(0.5f, decider.finish().confidence, 0);
        assertThrows(ShapeException.class, () -> decider.push(new float[3]));
        assertThrows(ShapeException.class, () -> decider.push(null));
        decider.reset();
        decider.push(new float[] {0, Float.NaN});
        assertThrows(ShapeException.class, decider::finish);
    }

    @Test
    public void storedDecisionsThatAreNoneAreRefused() {
        for (String wrong : new String[] {"{}", "[]", "{\"signal\": \"margin\"}",
            "{\"signal\":\"max_softmax\",\"frames\":[2,2],\"thresholds\":[0.5,0.5]}",
            "{\"signal\":\"max_softmax\",\"frames\":[0],\"thresholds\":[0.5]}",
            "{\"signal\":\"max_softmax\",\"frames\":[2],\"thresholds\":[]}",
            "{\"signal\":\"max_softmax\",\"frames\":[],\"thresholds\":[0.5]}",
            "{\"signal\":\"max_softmax\",\"frames\":[2],\"thresholds\":[1.0]}",
            "{\"signal\":\"max_softmax\",\"frames\":[2],\"thresholds\":[0.1]}",
            "{\"signal\":\"max_softmax\",\"frames\":[2.5],\"thresholds\":[0.5]}"}) {
            assertThrows(wrong, FormatException.class, () -> EarlyDecision.fromJson(wrong));
        }
    }
}
