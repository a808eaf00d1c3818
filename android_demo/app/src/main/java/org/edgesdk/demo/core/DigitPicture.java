package org.edgesdk.demo.core;

import java.util.Arrays;

/**
 * A picture of one digit, made like those of MNIST: light ink on black, the ink's box scaled so
 * that its longer side has 20 pixels, and placed in 28 by 28 with its centre of mass in the middle
 * (LeCun et al. 1998, "Gradient-based learning applied to document recognition", section III).
 */
public final class DigitPicture {
    public static final int SIDE = 28;
    public static final int INK_SIDE = 20;
    public static final int N_PIXELS = SIDE * SIDE;

    /** The longest side that is looked at; larger pictures are averaged down first. */
    static final int LARGEST = 256;

    /** Ink differs from paper by less than this share of black to white: there is none. */
    static final float LEAST_CONTRAST = 0.1f;

    /** A picture in which nothing stands out from the background. */
    public static final class NoInkException extends Exception {
        private static final long serialVersionUID = 1L;

        NoInkException() {
            super("expected a digit on a plain background, got a picture of one shade");
        }
    }

    private DigitPicture() {
    }

    /**
     * Return a colour picture as 784 pixels, row by row, 0 for paper to 1 for ink.
     *
     * @param argb   width * height colours, row by row, as android.graphics.Bitmap has them;
     *               what is transparent counts as white.
     * @param width  in pixels, 1 or more.
     * @param height in pixels, 1 or more.
     */
    public static float[] ofColours(int[] argb, int width, int height) throws NoInkException {
        check(argb.length, width, height);
        float[] grey = new float[argb.length];
        for (int i = 0; i < argb.length; i++) {
            grey[i] = luma(argb[i]);
        }
        return ofGrey(grey, width, height);
    }

    /**
     * Return a picture of any shades, dark or light ink, as 784 pixels; as {@link #ofColours}.
     *
     * @param grey width * height shades of 0 to 1, row by row.
     */
    public static float[] ofGrey(float[] grey, int width, int height) throws NoInkException {
        check(grey.length, width, height);
        int step = Math.max(1, (Math.max(width, height) + LARGEST - 1) / LARGEST);
        int w = Math.max(1, width / step);
        int h = Math.max(1, height / step);
        float[] small = step == 1 ? grey.clone() : shrink(grey, width, height, step, w, h);
        float[] ink = inkOf(small, w, h);
        return centred(ink, w, h);
    }

    /** Brightness of a colour over white, 0 to 1 (the weights of ITU-R BT.601). */
    static float luma(int argb) {
        float alpha = (argb >>> 24) / 255f;
        float shade = (0.299f * (argb >> 16 & 255) + 0.587f * (argb >> 8 & 255)
                + 0.114f * (argb & 255)) / 255f;
        return alpha * shade + (1 - alpha);
    }

    private static void check(int length, int width, int height) {
        if (width < 1 || height < 1 || (long) width * height != length) {
            throw new IllegalArgumentException("expected width * height pixels, got " + length
                    + " for " + width + " x " + height);
        }
    }

    private static float[] shrink(float[] grey, int width, int height, int step, int w, int h) {
        // A strip may be thinner than a step.
        int rows = Math.min(step, height);
        int columns = Math.min(step, width);
        float[] small = new float[w * h];
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++) {
                float sum = 0;
                for (int row = 0; row < rows; row++) {
                    for (int column = 0; column < columns; column++) {
                        sum += grey[(y * step + row) * width + x * step + column];
                    }
                }
                small[y * w + x] = sum / (rows * columns);
            }
        }
        return small;
    }

    /** Paper is what most of the border shows, ink what lies towards the other end. */
    private static float[] inkOf(float[] grey, int w, int h) throws NoInkException {
        float paper = borderMedian(grey, w, h);
        float low = 1;
        float high = 0;
        for (float shade : grey) {
            low = Math.min(low, shade);
            high = Math.max(high, shade);
        }
        boolean dark = paper - low >= high - paper;
        float contrast = dark ? paper - low : high - paper;
        if (!(contrast >= LEAST_CONTRAST)) {
            throw new NoInkException();
        }
        float[] ink = new float[grey.length];
        for (int i = 0; i < grey.length; i++) {
            float away = (dark ? paper - grey[i] : grey[i] - paper) / contrast;
            // Paper is seldom of one shade: the lower fifth is taken for its unevenness.
            ink[i] = Math.min(1, Math.max(0, (away - 0.2f) / 0.6f));
        }
        return ink;
    }

    private static float borderMedian(float[] grey, int w, int h) {
        float[] border = new float[2 * (w + h)];
        int n = 0;
        for (int x = 0; x < w; x++) {
            border[n++] = grey[x];
            border[n++] = grey[(h - 1) * w + x];
        }
        for (int y = 0; y < h; y++) {
            border[n++] = grey[y * w];
            border[n++] = grey[y * w + w - 1];
        }
        Arrays.sort(border);
        return border[n / 2];
    }

    private static float[] centred(float[] ink, int w, int h) throws NoInkException {
        int left = w;
        int right = -1;
        int top = h;
        int bottom = -1;
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++) {
                if (ink[y * w + x] > 0.5f) {
                    left = Math.min(left, x);
                    right = Math.max(right, x);
                    top = Math.min(top, y);
                    bottom = Math.max(bottom, y);
                }
            }
        }
        if (right < 0) {
            throw new NoInkException();
        }
        int boxW = right - left + 1;
        int boxH = bottom - top + 1;
        float scale = (float) INK_SIDE / Math.max(boxW, boxH);
        int outW = Math.max(1, Math.round(boxW * scale));
        int outH = Math.max(1, Math.round(boxH * scale));
        float[] scaled = resize(ink, w, left, top, boxW, boxH, outW, outH);
        return placed(scaled, outW, outH);
    }

    /** Average, for each pixel of the result, what it covers of the box. */
    private static float[] resize(float[] ink, int stride, int left, int top, int boxW, int boxH,
                                  int outW, int outH) {
        float[] out = new float[outW * outH];
        for (int y = 0; y < outH; y++) {
            double y0 = (double) y * boxH / outH;
            double y1 = (double) (y + 1) * boxH / outH;
            for (int x = 0; x < outW; x++) {
                double x0 = (double) x * boxW / outW;
                double x1 = (double) (x + 1) * boxW / outW;
                double sum = 0;
                for (int row = (int) y0; row < boxH && row < y1; row++) {
                    double tall = Math.min(y1, row + 1) - Math.max(y0, row);
                    for (int column = (int) x0; column < boxW && column < x1; column++) {
                        double wide = Math.min(x1, column + 1) - Math.max(x0, column);
                        sum += tall * wide * ink[(top + row) * stride + left + column];
                    }
                }
                out[y * outW + x] = (float) (sum / ((y1 - y0) * (x1 - x0)));
            }
        }
        return out;
    }

    private static float[] placed(float[] ink, int w, int h) {
        double mass = 0;
        double massX = 0;
        double massY = 0;
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++) {
                float here = ink[y * w + x];
                mass += here;
                massX += here * (x + 0.5);
                massY += here * (y + 0.5);
            }
        }
        int left = (int) Math.round(SIDE / 2.0 - massX / mass);
        int top = (int) Math.round(SIDE / 2.0 - massY / mass);
        left = Math.min(SIDE - w, Math.max(0, left));
        top = Math.min(SIDE - h, Math.max(0, top));
        float[] picture = new float[N_PIXELS];
        for (int y = 0; y < h; y++) {
            System.arraycopy(ink, y * w, picture, (top + y) * SIDE + left, w);
        }
        return picture;
    }
}
