package org.edgesdk;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import org.junit.Test;

public final class FastGrnnTest {
    private static String hexadecimal(float[] values) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        return values.length == 0 ? "-" : Vectors.hexadecimal(bytes.array());
    }

    private static FloatBuffer direct(float[] values) {
        FloatBuffer floats = Memory.floats(values.length, "a test");
        floats.put(values);
        floats.clear();
        return floats;
    }

    @Test
    public void statesAndLogitsAreThoseOfTheVectorsToTheBit() throws Exception {
        Vectors.onEveryIsa(() -> {
            for (String[] columns : Vectors.cases("fastgrnn.txt")) {
                FastGrnn cell = FastGrnn.open(Vectors.fromHexadecimal(columns[2]));
                assertEquals(columns[0], columns[1].equals("i16"), cell.isInteger());
                if (cell.isInteger()) {
                    integers(columns, cell);
                } else {
                    floats(columns, cell);
                }
            }
        });
    }

    private static void floats(String[] columns, FastGrnn cell) {
        float[] frames = Vectors.floats(Vectors.fromHexadecimal(columns[3]));
        FastGrnn.Stream stream = cell.stream();
        StringBuilder states = new StringBuilder();
        float[] logits = {};
        for (int at = 0; at < frames.length; at += cell.nInputs()) {
            float[] frame = Arrays.copyOfRange(frames, at, at + cell.nInputs());
            if (cell.nClasses() > 0) {
                logits = stream.push(frame);
            } else {
                assertThrows(CodeException.class, () -> stream.push(frame));
            }
            states.append(hexadecimal(stream.h()));
        }
        assertEquals(columns[0], columns[4], states.toString());
        assertEquals(columns[0], columns[5], hexadecimal(logits));
        if (cell.nClasses() == 0) {
            return;
        }
        assertEquals(columns[5], hexadecimal(cell.run(frames)));
        stream.reset();
        FloatBuffer out = direct(new float[cell.nClasses()]);
        stream.push(direct(frames), out);
        float[] found = new float[cell.nClasses()];
        out.get(found);
        assertEquals(columns[5], hexadecimal(found));
    }

    private static void integers(String[] columns, FastGrnn cell) {
        ByteBuffer frames = Vectors.fromHexadecimal(columns[3]);
        int n = frames.capacity() / 2 / cell.nInputs();
        ByteBuffer states = Memory.allocate(2L * n * cell.nHidden(), "a test");
        ByteBuffer logits = Memory.allocate(4L * cell.nClasses(), "a test");
        FastGrnn.Stream stream = cell.stream();
        stream.integers(frames, n, states, cell.nClasses() > 0 ? logits : null);
        assertEquals(columns[0], columns[4], Vectors.hexadecimal(states, states.capacity()));
        assertEquals(columns[0], columns[5], cell.nClasses() == 0 ? "-"
                : Vectors.hexadecimal(logits, logits.capacity()));
    }

    private static FastGrnn digits() {
        return FastGrnn.open(Vectors.made("listen/digits.grnn"));
    }

    @Test
    public void theShippedModelSaysWhatItIs() {
        FastGrnn model = digits();
        assertEquals(10, model.nClasses());
        assertEquals(10, model.labels().size());
        assertTrue(model.labels().contains("seven"));
        assertTrue(model.isInteger());
        assertEquals(model.nInputs(), model.logMel().nBands);
        assertTrue(model.preprocessing().contains("\"log_mel\""));
        assertNull(FastGrnn.open(someCell()).logMel());
    }

    private static ByteBuffer someCell() {
        try {
            return Vectors.fromHexadecimal(Vectors.cases("fastgrnn.txt").get(0)[2]);
        } catch (java.io.IOException error) {
            throw new AssertionError(error);
        }
    }

    @Test
    public void anErrorLeavesTheStateAsItWas() {
        FastGrnn cell = FastGrnn.open(someCell());
        FastGrnn.Stream stream = cell.stream();
        stream.push(new float[] {0.5f});
        float[] h = stream.h();
        assertThrows(CodeException.class, () -> stream.push(new float[] {Float.NaN}));
        assertThrows(ShapeException.class, () -> stream.push((float[]) null));
        assertThrows(ShapeException.class, () -> stream.push(new float[0]));
        assertThrows(ShapeException.class, () -> stream.push(new float[1], new float[2]));
        assertThrows(ShapeException.class, () -> stream.push(new float[1], null));
        assertThrows(ShapeException.class, () -> stream.push(FloatBuffer.allocate(1),
                direct(new float[1])));
        assertThrows(ShapeException.class, () -> stream.push(direct(new float[1]), null));
        assertThrows(ShapeException.class, () -> stream.setH(new float[2]));
        assertThrows(ShapeException.class, () -> stream.setH(null));
        assertThrows(CodeException.class, () -> stream.setH(new float[] {Float.NaN}));
        assertArrayEquals(h, stream.h(), 0);
        stream.setH(new float[] {0});
        float[] zero = stream.push(new float[] {0.5f});
        stream.reset();
        assertArrayEquals(zero, stream.push(new float[] {0.5f}), 0);
    }

    @Test
    public void framesThatAreNotWholeAreRefused() {
        FastGrnn model = digits();
        assertThrows(ShapeException.class, () -> model.run(new float[model.nInputs() + 1]));
        assertThrows(ShapeException.class, () -> model.stream().push(
                direct(new float[model.nInputs() + 1]), direct(new float[10])));
    }

    @Test
    public void damagedFilesAreRefused() throws Exception {
        File file = Vectors.made("listen/digits.grnn");
        Vectors.everyDamageIsRefused(file, bytes -> FastGrnn.open(bytes).run(new float[32]));
        assertThrows(FormatException.class, () -> FastGrnn.open(new File("none.grnn")));
        assertThrows(ShapeException.class, () -> FastGrnn.open((ByteBuffer) null));
        assertThrows(FormatException.class,
                () -> FastGrnn.open(Vectors.made("bundle/tiny.edge/head.mrl")));
    }

    @Test
    public void aClosedModelAndAClosedStreamThrow() {
        FastGrnn model = digits();
        FastGrnn.Stream first = model.stream();
        FastGrnn.Stream second = model.stream();
        first.close();
        first.close();
        assertThrows(ClosedException.class, () -> first.push(new float[32]));
        assertThrows(ClosedException.class, first::reset);
        second.push(new float[32]);
        model.close();
        model.close();
        assertThrows(ClosedException.class, () -> second.push(new float[32]));
        assertThrows(ClosedException.class, second::h);
        assertThrows(ClosedException.class, model::stream);
        assertThrows(ClosedException.class, () -> model.run(new float[32]));
    }
}
