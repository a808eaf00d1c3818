package org.edgesdk;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.junit.Test;

public final class LogMelTest {
    private static int[] digits(String column, int width) {
        int[] numbers = new int[column.length() / width];
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = (int) Long.parseLong(column.substring(i * width, (i + 1) * width), 16);
        }
        return numbers;
    }

    private static short[] shorts(int[] numbers) {
        short[] shorts = new short[numbers.length];
        for (int i = 0; i < shorts.length; i++) {
            shorts[i] = (short) numbers[i];
        }
        return shorts;
    }

    private static Map<String, String[]> fronts() throws Exception {
        Map<String, String[]> fronts = new HashMap<>();
        for (String[] columns : Vectors.cases("logmel_tables.txt")) {
            fronts.put(columns[0], columns);
        }
        return fronts;
    }

    private static LogMel front(String[] columns) {
        return new LogMel(null, shorts(digits(columns[6], 4)), digits(columns[7], 8),
                digits(columns[8], 4), Integer.parseInt(columns[1]), Integer.parseInt(columns[2]),
                Integer.parseInt(columns[3]), Integer.parseInt(columns[4]),
                Integer.parseInt(columns[5]));
    }

    private static short[] samples(String column) {
        short[] samples = new short[0];
        for (String piece : column.split(",")) {
            String[] parts = piece.split("\\*");
            int begin = samples.length;
            samples = Arrays.copyOf(samples, begin + Integer.parseInt(parts[1]));
            if (!parts[0].startsWith("@")) {
                Arrays.fill(samples, begin, samples.length, Short.parseShort(parts[0]));
                continue;
            }
            String[] recipe = parts[0].substring(1).split(":");
            Vectors.Random random = new Vectors.Random(Long.parseLong(recipe[0]));
            for (int i = begin; i < samples.length; i++) {
                samples[i] = (short) ((short) (random.word() >>> 48)
                        >> Integer.parseInt(recipe[1]));
            }
        }
        return samples;
    }

    private static short[] features(String column) {
        return column.equals("-") ? new short[0] : shorts(digits(column.replace(",", ""), 4));
    }

    @Test
    public void featuresAreThoseOfTheVectorsHoweverTheSamplesCome() throws Exception {
        Map<String, String[]> fronts = fronts();
        for (String[] columns : Vectors.cases("logmel.txt")) {
            LogMel front = front(fronts.get(columns[1]));
            short[] samples = samples(columns[2]);
            short[] wanted = features(columns[3]);
            assertArrayEquals(columns[0], wanted, front.push(samples));
            front.reset();
            short[] found = new short[0];
            for (int at = 0; at < samples.length; at += 37) {
                short[] more = front.push(samples, at, Math.min(37, samples.length - at));
                found = Arrays.copyOf(found, found.length + more.length);
                System.arraycopy(more, 0, found, found.length - more.length, more.length);
            }
            assertArrayEquals(columns[0], wanted, found);
        }
    }

    @Test
    public void theTablesMadeHereAreThoseOfPython() throws Exception {
        Map<String, LogMelConfig> configs = new HashMap<>();
        configs.put("8k_32", new LogMelConfig());
        configs.put("16k_32", new LogMelConfig(16000, 32, 60.0, 12));
        configs.put("8k_1", new LogMelConfig(8000, 1, 60.0, 12));
        configs.put("8k_62", new LogMelConfig(8000, 62, 60.0, 12));
        configs.put("16k_62", new LogMelConfig(16000, 62, 0.0, 12));
        configs.put("8k_13_low", new LogMelConfig(8000, 13, 300.0, 0));
        configs.put("16k_40_high", new LogMelConfig(16000, 40, 60.0, 40));
        assertEquals(fronts().keySet(), configs.keySet());
        for (String[] columns : fronts().values()) {
            LogMelConfig config = configs.get(columns[0]);
            assertArrayEquals(columns[0], shorts(digits(columns[6], 4)), config.weights());
            assertArrayEquals(columns[0], digits(columns[7], 8), config.sine());
            assertArrayEquals(columns[0], digits(columns[8], 4), config.position());
            assertEquals(Integer.parseInt(columns[1]), config.window());
            assertEquals(Integer.parseInt(columns[2]), config.hop());
            assertEquals(Integer.parseInt(columns[3]), config.nFft());
        }
    }

    @Test
    public void frontEndsThatAreNoneAreRefused() throws Exception {
        assertThrows(ShapeException.class, () -> new LogMelConfig(44100, 32, 60, 12));
        assertThrows(ShapeException.class, () -> new LogMelConfig(8000, 0, 60, 12));
        assertThrows(ShapeException.class, () -> new LogMelConfig(8000, 63, 60, 12));
        assertThrows(ShapeException.class, () -> new LogMelConfig(8000, 32, 60, 41));
        assertThrows(ShapeException.class, () -> new LogMelConfig(8000, 32, 4000, 12));
        assertThrows(ShapeException.class, () -> new LogMelConfig(8000, 32, Double.NaN, 12));
        assertThrows(ShapeException.class, () -> new LogMelConfig(8000, 62, 3900, 12)); // empty
        assertThrows(ShapeException.class, () -> new LogMel(null));
        String[] columns = fronts().get("8k_32").clone();
        columns[6] = columns[6].substring(4); // a weight too few
        assertThrows(ShapeException.class, () -> front(columns));
        assertThrows(UnsupportedModelException.class,
                () -> LogMelConfig.fromJson(Json.object(Json.parse("{\"hops\": 3}", ""), "")));
        assertThrows(FormatException.class,
                () -> LogMelConfig.fromJson(Json.object(Json.parse("{\"n_bands\": 3.5}", ""), "")));
    }

    @Test
    public void samplesThatAreNoneAreRefusedAndAClosedFrontEndThrows() {
        LogMel front = new LogMel(new LogMelConfig());
        assertThrows(ShapeException.class, () -> front.push(null));
        assertThrows(ShapeException.class, () -> front.push(new short[5], 3, 3));
        assertThrows(ShapeException.class, () -> front.push(new short[5], -1, 3));
        assertThrows(ShapeException.class, () -> front.push(new short[5], 1, -1));
        assertThrows(ShapeException.class, () -> front.push(new short[5], Integer.MAX_VALUE, 2));
        assertEquals(0, front.push(new short[0]).length);
        front.close();
        front.close();
        assertThrows(ClosedException.class, () -> front.push(new short[5]));
        assertThrows(ClosedException.class, front::reset);
    }
}
