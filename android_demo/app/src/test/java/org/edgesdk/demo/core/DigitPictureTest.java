package org.edgesdk.demo.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import org.junit.Test;

import java.util.Arrays;
import java.util.Random;

public class DigitPictureTest {
    private static float[] bar(int width, int height, int left, int top, int w, int h, float paper,
                               float ink) {
        float[] grey = new float[width * height];
        Arrays.fill(grey, paper);
        for (int y = top; y < top + h; y++) {
            Arrays.fill(grey, y * width + left, y * width + left + w, ink);
        }
        return grey;
    }

    private static double[] centre(float[] pixels) {
        double mass = 0;
        double x = 0;
        double y = 0;
        for (int i = 0; i < pixels.length; i++) {
            mass += pixels[i];
            x += pixels[i] * (i % 28 + 0.5);
            y += pixels[i] * (i / 28 + 0.5);
        }
        return new double[] {x / mass, y / mass};
    }

    @Test
    public void the_longer_side_of_the_ink_has_twenty_pixels() throws Exception {
        float[] pixels = DigitPicture.ofGrey(bar(100, 80, 10, 5, 6, 60, 1, 0), 100, 80);
        int rows = 0;
        for (int y = 0; y < 28; y++) {
            float most = 0;
            for (int x = 0; x < 28; x++) {
                most = Math.max(most, pixels[y * 28 + x]);
            }
            rows += most > 0.5f ? 1 : 0;
        }
        assertEquals(20, rows);
    }

    @Test
    public void light_ink_on_dark_paper_is_the_same_picture() throws Exception {
        float[] dark = DigitPicture.ofGrey(bar(64, 64, 20, 12, 8, 40, 0.9f, 0.1f), 64, 64);
        float[] light = DigitPicture.ofGrey(bar(64, 64, 20, 12, 8, 40, 0.1f, 0.9f), 64, 64);
        assertArrayEquals(dark, light, 1e-5f);
    }

    @Test
    public void where_the_digit_lies_makes_no_difference() throws Exception {
        float[] one = DigitPicture.ofGrey(bar(90, 90, 3, 4, 10, 50, 1, 0), 90, 90);
        float[] other = DigitPicture.ofGrey(bar(90, 90, 61, 31, 10, 50, 1, 0), 90, 90);
        assertArrayEquals(one, other, 0);
    }

    @Test
    public void the_centre_of_mass_is_in_the_middle_to_half_a_pixel() throws Exception {
        Random random = new Random(1);
        for (int trial = 0; trial < 200; trial++) {
            float[] grey = new float[60 * 60];
            for (int i = 0; i < 6; i++) {
                int x = 10 + random.nextInt(30);
                int y = 10 + random.nextInt(30);
                for (int j = 0; j < 8; j++) {
                    Arrays.fill(grey, (y + j) * 60 + x, (y + j) * 60 + x + 8, 1);
                }
            }
            double[] centre = centre(DigitPicture.ofGrey(grey, 60, 60));
            // A box of 20 pixels fits into 28 wherever its mass lies, but for far outliers.
            assertEquals(14, centre[0], 1.01);
            assertEquals(14, centre[1], 1.01);
        }
    }

    @Test
    public void pixels_are_always_784_numbers_of_zero_to_one() throws Exception {
        Random random = new Random(2);
        for (int trial = 0; trial < 300; trial++) {
            int w = 1 + random.nextInt(700);
            int h = 1 + random.nextInt(300);
            float[] grey = new float[w * h];
            for (int i = 0; i < grey.length; i++) {
                grey[i] = random.nextFloat();
            }
            float[] pixels;
            try {
                pixels = DigitPicture.ofGrey(grey, w, h);
            } catch (DigitPicture.NoInkException rare) {
                continue;
            }
            assertEquals(DigitPicture.N_PIXELS, pixels.length);
            for (float pixel : pixels) {
                assertTrue(pixel >= 0 && pixel <= 1.0001f);
            }
        }
    }

    @Test
    public void one_shade_has_no_ink() {
        for (float shade : new float[] {0, 0.5f, 1}) {
            float[] grey = new float[900];
            Arrays.fill(grey, shade);
            try {
                DigitPicture.ofGrey(grey, 30, 30);
                fail("an empty picture became a digit");
            } catch (DigitPicture.NoInkException error) {
                assertTrue(error.getMessage().contains("one shade"));
            }
        }
    }

    @Test
    public void a_picture_of_nan_has_no_ink() {
        float[] grey = new float[900];
        Arrays.fill(grey, Float.NaN);
        try {
            DigitPicture.ofGrey(grey, 30, 30);
            fail("NaN became a digit");
        } catch (DigitPicture.NoInkException error) {
            assertTrue(error.getMessage().contains("one shade"));
        }
    }

    @Test(expected = IllegalArgumentException.class)
    public void sizes_that_do_not_fit_are_refused() throws Exception {
        DigitPicture.ofGrey(new float[10], 3, 4);
    }

    @Test
    public void what_is_transparent_counts_as_white_paper() throws Exception {
        int[] argb = new int[64 * 64];
        for (int y = 10; y < 50; y++) {
            Arrays.fill(argb, y * 64 + 28, y * 64 + 36, 0xff000000);
        }
        float[] expected = DigitPicture.ofGrey(bar(64, 64, 28, 10, 8, 40, 1, 0), 64, 64);
        assertArrayEquals(expected, DigitPicture.ofColours(argb, 64, 64), 1e-5f);
    }
}
