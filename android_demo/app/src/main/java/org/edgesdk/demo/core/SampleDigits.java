package org.edgesdk.demo.core;

/** Ten digits drawn by code: input for measuring, of the same shape on every device. */
public final class SampleDigits {
    private static final float[][][] STROKES = {
        {{.5f, .1f, .75f, .2f, .85f, .5f, .75f, .8f, .5f, .9f, .25f, .8f, .15f, .5f, .25f, .2f,
            .5f, .1f}},
        {{.35f, .25f, .55f, .1f, .55f, .9f}},
        {{.2f, .25f, .4f, .1f, .65f, .12f, .75f, .3f, .6f, .55f, .2f, .9f, .8f, .9f}},
        {{.2f, .15f, .55f, .1f, .75f, .25f, .65f, .45f, .4f, .5f, .7f, .58f, .78f, .75f, .55f,
            .9f, .2f, .85f}},
        {{.6f, .1f, .2f, .6f, .8f, .6f}, {.65f, .4f, .6f, .9f}},
        {{.75f, .1f, .3f, .1f, .25f, .45f, .55f, .42f, .75f, .6f, .65f, .85f, .4f, .92f, .2f,
            .82f}},
        {{.65f, .1f, .35f, .35f, .22f, .65f, .35f, .88f, .6f, .88f, .72f, .7f, .58f, .54f, .3f,
            .62f}},
        {{.2f, .12f, .8f, .12f, .55f, .5f, .4f, .9f}},
        {{.5f, .48f, .28f, .35f, .32f, .15f, .55f, .1f, .72f, .2f, .65f, .38f, .35f, .58f,
            .25f, .78f, .45f, .9f, .7f, .82f, .7f, .62f, .5f, .48f}},
        {{.7f, .3f, .5f, .12f, .3f, .25f, .35f, .45f, .6f, .45f, .72f, .28f, .7f, .6f, .55f,
            .9f}},
    };

    private SampleDigits() {
    }

    /** Return a digit, 0 to 9, as strokes. */
    public static Drawing drawing(int digit) {
        Drawing drawing = new Drawing();
        for (float[] stroke : STROKES[digit]) {
            drawing.down(stroke[0], stroke[1]);
            for (int i = 2; i < stroke.length; i += 2) {
                drawing.to(stroke[i], stroke[i + 1]);
            }
            drawing.up();
        }
        return drawing;
    }

    /** Return a digit, 0 to 9, as 784 pixels. */
    public static float[] pixels(int digit) {
        try {
            return drawing(digit).pixels();
        } catch (DigitPicture.NoInkException error) {
            throw new IllegalStateException(error);
        }
    }
}
