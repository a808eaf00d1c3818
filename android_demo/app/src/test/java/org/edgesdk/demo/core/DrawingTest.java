package org.edgesdk.demo.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

public class DrawingTest {
    @Test
    public void what_is_kept_is_drawn_again() throws Exception {
        for (int digit = 0; digit < 10; digit++) {
            Drawing drawing = SampleDigits.drawing(digit);
            Drawing again = new Drawing();
            again.restore(drawing.save());
            assertArrayEquals(drawing.pixels(), again.pixels(), 0);
        }
    }

    @Test
    public void a_stroke_that_goes_on_is_kept_too() {
        Drawing drawing = new Drawing();
        drawing.down(0.1f, 0.2f);
        drawing.to(0.3f, 0.4f);
        assertArrayEquals(new float[] {2, 0.1f, 0.2f, 0.3f, 0.4f}, drawing.save(), 0);
    }

    @Test
    public void damaged_strokes_are_left_out() {
        Drawing drawing = new Drawing();
        for (float[] saved : new float[][] {null, {}, {5}, {-1, 2, 3}, {Float.NaN, 1, 2},
            {1e9f, 1, 2}, {Float.POSITIVE_INFINITY}}) {
            drawing.restore(saved);
            assertTrue(drawing.isEmpty());
        }
        drawing.restore(new float[] {1, 0.5f, 0.5f, 7, 1, 1});
        assertEquals(1, drawing.strokes().size());
    }

    @Test
    public void nothing_drawn_has_no_ink() {
        try {
            new Drawing().pixels();
            throw new AssertionError("an empty drawing became a digit");
        } catch (DigitPicture.NoInkException error) {
            assertTrue(error.getMessage().contains("digit"));
        }
    }

    @Test
    public void a_dot_is_ink() throws Exception {
        Drawing drawing = new Drawing();
        drawing.down(0.5f, 0.5f);
        drawing.up();
        assertTrue(drawing.pixels()[14 * 28 + 14] > 0.9f);
    }

    @Test
    public void a_finger_that_never_lifts_does_not_fill_the_memory() {
        Drawing drawing = new Drawing();
        drawing.down(0, 0);
        for (int i = 0; i < 100_000; i++) {
            drawing.to(i % 7, Float.NaN);
            drawing.to(i % 7, i % 5);
        }
        assertEquals(2 * Drawing.MOST_POINTS + 1, drawing.save().length);
    }

    @Test
    public void size_and_place_make_no_difference() throws Exception {
        Drawing large = new Drawing();
        Drawing small = new Drawing();
        for (float[] stroke : SampleDigits.drawing(2).strokes()) {
            large.down(stroke[0], stroke[1]);
            small.down(stroke[0] + 2, stroke[1] - 1);
            for (int i = 2; i < stroke.length; i += 2) {
                large.to(stroke[i], stroke[i + 1]);
                small.to(stroke[i] + 2, stroke[i + 1] - 1);
            }
            large.up();
            small.up();
        }
        assertArrayEquals(large.pixels(), small.pixels(), 0.01f);
    }
}
