package org.edgesdk.demo.core;

import java.util.ArrayList;
import java.util.List;

/** Strokes of a finger, in units of the drawing area's shorter side; safe in one thread. */
public final class Drawing {
    /** Width of the pen, in the same unit. */
    public static final float PEN = 0.08f;

    /** Side of the picture that the strokes are drawn into. */
    static final int RASTER = 112;

    /** Points that are kept; a finger that never lifts must not fill the memory. */
    static final int MOST_POINTS = 20_000;

    private final List<float[]> strokes = new ArrayList<float[]>();
    private float[] current;
    private int nCurrent;
    private int nPoints;

    /** Begin a stroke. */
    public void down(float x, float y) {
        up();
        current = new float[64];
        nCurrent = 0;
        to(x, y);
    }

    /** Draw on to a point; nothing if no stroke was begun. */
    public void to(float x, float y) {
        boolean finite = !Float.isNaN(x + y) && !Float.isInfinite(x + y);
        if (current == null || !finite || nPoints >= MOST_POINTS) {
            return;
        }
        if (nCurrent == current.length) {
            float[] longer = new float[2 * nCurrent];
            System.arraycopy(current, 0, longer, 0, nCurrent);
            current = longer;
        }
        current[nCurrent++] = x;
        current[nCurrent++] = y;
        nPoints++;
    }

    /** End the stroke. */
    public void up() {
        if (current != null && nCurrent > 0) {
            float[] stroke = new float[nCurrent];
            System.arraycopy(current, 0, stroke, 0, nCurrent);
            strokes.add(stroke);
        }
        current = null;
        nCurrent = 0;
    }

    /** Forget all strokes. */
    public void clear() {
        strokes.clear();
        current = null;
        nCurrent = 0;
        nPoints = 0;
    }

    public boolean isEmpty() {
        return strokes.isEmpty() && nCurrent == 0;
    }

    /** The strokes so far, each x, y, x, y, ..., the unfinished one included. */
    public List<float[]> strokes() {
        List<float[]> all = new ArrayList<float[]>(strokes);
        if (nCurrent > 0) {
            float[] stroke = new float[nCurrent];
            System.arraycopy(current, 0, stroke, 0, nCurrent);
            all.add(stroke);
        }
        return all;
    }

    /** The finished strokes in one array, to be kept: for each its number of points and these. */
    public float[] save() {
        int length = 0;
        List<float[]> all = strokes();
        for (float[] stroke : all) {
            length += 1 + stroke.length;
        }
        float[] saved = new float[length];
        int at = 0;
        for (float[] stroke : all) {
            saved[at++] = stroke.length / 2;
            System.arraycopy(stroke, 0, saved, at, stroke.length);
            at += stroke.length;
        }
        return saved;
    }

    /** Take strokes from {@link #save}; what is not of its form is left out. */
    public void restore(float[] saved) {
        clear();
        int at = 0;
        while (saved != null && at < saved.length) {
            int points = (int) saved[at++];
            if (points < 1 || points > (saved.length - at) / 2) {
                return;
            }
            down(saved[at], saved[at + 1]);
            for (int i = 1; i < points; i++) {
                to(saved[at + 2 * i], saved[at + 2 * i + 1]);
            }
            up();
            at += 2 * points;
        }
    }

    /** Return the drawing as 784 pixels like MNIST's. */
    public float[] pixels() throws DigitPicture.NoInkException {
        return DigitPicture.ofGrey(raster(), RASTER, RASTER);
    }

    /** The drawing's box in RASTER by RASTER pixels, ink 1 on 0: wherever on the area it lies. */
    private float[] raster() {
        List<float[]> all = strokes();
        float left = Float.MAX_VALUE;
        float top = Float.MAX_VALUE;
        float right = -Float.MAX_VALUE;
        float bottom = -Float.MAX_VALUE;
        for (float[] stroke : all) {
            for (int i = 0; i < stroke.length; i += 2) {
                left = Math.min(left, stroke[i]);
                right = Math.max(right, stroke[i]);
                top = Math.min(top, stroke[i + 1]);
                bottom = Math.max(bottom, stroke[i + 1]);
            }
        }
        float side = Math.max(Math.max(right - left, bottom - top), PEN) + 4 * PEN;
        float scale = RASTER / side;
        float[] grey = new float[RASTER * RASTER];
        float x0 = (left + right - side) / 2;
        float y0 = (top + bottom - side) / 2;
        for (float[] stroke : all) {
            for (int i = 0; i < stroke.length; i += 2) {
                int next = i + 3 < stroke.length ? i + 2 : i;
                segment(grey, (stroke[i] - x0) * scale, (stroke[i + 1] - y0) * scale,
                        (stroke[next] - x0) * scale, (stroke[next + 1] - y0) * scale,
                        PEN / 2 * scale);
            }
        }
        return grey;
    }

    /** Draw a line with round ends; the edge is one pixel soft. */
    private static void segment(float[] grey, float ax, float ay, float bx, float by, float r) {
        int x0 = Math.max(0, (int) (Math.min(ax, bx) - r - 1));
        int x1 = Math.min(RASTER - 1, (int) (Math.max(ax, bx) + r + 1));
        int y0 = Math.max(0, (int) (Math.min(ay, by) - r - 1));
        int y1 = Math.min(RASTER - 1, (int) (Math.max(ay, by) + r + 1));
        float dx = bx - ax;
        float dy = by - ay;
        float length = dx * dx + dy * dy;
        for (int y = y0; y <= y1; y++) {
            for (int x = x0; x <= x1; x++) {
                float px = x + 0.5f - ax;
                float py = y + 0.5f - ay;
                float t = length == 0 ? 0 : Math.min(1, Math.max(0, (px * dx + py * dy) / length));
                double away = Math.hypot(px - t * dx, py - t * dy);
                float ink = (float) Math.min(1, Math.max(0, r + 0.5 - away));
                grey[y * RASTER + x] = Math.max(grey[y * RASTER + x], ink);
            }
        }
    }
}
