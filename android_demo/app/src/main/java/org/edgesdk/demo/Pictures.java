package org.edgesdk.demo;

import android.content.Context;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.graphics.Matrix;
import android.media.ExifInterface;
import android.net.Uri;

import org.edgesdk.demo.core.DigitPicture;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

/** Documents that the user has picked. */
final class Pictures {
    private static final int MOST_BYTES = 64 << 20;

    /** Pictures are read at a power of two of their size, with at least so many pixels a side, */
    private static final int LEAST_SIDE = 256;

    /** but never with more than so many. */
    private static final long MOST_PIXELS = 4 << 20;

    private Pictures() {
    }

    /**
     * Read a picture of a digit, upright.
     *
     * @throws IOException                 it can not be read, or is no picture.
     * @throws DigitPicture.NoInkException nothing is in it.
     */
    static float[] read(Context context, Uri uri) throws IOException, DigitPicture.NoInkException {
        File copy = copy(context, uri, "picture");
        try {
            Bitmap picture = upright(decode(copy), copy);
            int width = picture.getWidth();
            int height = picture.getHeight();
            int[] colours = new int[width * height];
            picture.getPixels(colours, 0, width, 0, 0, width, height);
            return DigitPicture.ofColours(colours, width, height);
        } finally {
            if (!copy.delete()) {
                copy.deleteOnExit();
            }
        }
    }

    /** Copy a document into the app's cache; a provider's stream can be read only once. */
    static File copy(Context context, Uri uri, String name) throws IOException {
        InputStream in = context.getContentResolver().openInputStream(uri);
        if (in == null) {
            throw new IOException("no such document");
        }
        try {
            File file = File.createTempFile(name, null, context.getCacheDir());
            OutputStream out = new FileOutputStream(file);
            try {
                byte[] block = new byte[1 << 16];
                long total = 0;
                for (int n = in.read(block); n >= 0; n = in.read(block)) {
                    total += n;
                    if (total > MOST_BYTES) {
                        throw new IOException("more than " + (MOST_BYTES >> 20) + " MB");
                    }
                    out.write(block, 0, n);
                }
            } finally {
                out.close();
            }
            return file;
        } finally {
            in.close();
        }
    }

    private static Bitmap decode(File file) throws IOException {
        BitmapFactory.Options options = new BitmapFactory.Options();
        options.inJustDecodeBounds = true;
        BitmapFactory.decodeFile(file.getPath(), options);
        int side = Math.min(options.outWidth, options.outHeight);
        options.inJustDecodeBounds = false;
        int sample = Integer.highestOneBit(Math.max(1, side / LEAST_SIDE));
        while ((long) options.outWidth * options.outHeight / ((long) sample * sample)
                > MOST_PIXELS) {
            sample *= 2;
        }
        options.inSampleSize = sample;
        Bitmap picture = BitmapFactory.decodeFile(file.getPath(), options);
        if (picture == null) {
            throw new IOException("expected a picture, got another kind of file");
        }
        return picture;
    }

    /** Turn a picture as the camera's Exif note says. */
    private static Bitmap upright(Bitmap picture, File file) {
        int degrees = degrees(file);
        if (degrees == 0) {
            return picture;
        }
        Matrix turn = new Matrix();
        turn.postRotate(degrees);
        return Bitmap.createBitmap(picture, 0, 0, picture.getWidth(), picture.getHeight(), turn,
                true);
    }

    private static int degrees(File file) {
        int orientation;
        try {
            orientation = new ExifInterface(file.getPath()).getAttributeInt(
                    ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL);
        } catch (IOException none) {
            return 0; // A picture of a format without such a note.
        }
        switch (orientation) {
            case ExifInterface.ORIENTATION_ROTATE_90:
                return 90;
            case ExifInterface.ORIENTATION_ROTATE_180:
                return 180;
            case ExifInterface.ORIENTATION_ROTATE_270:
                return 270;
            default:
                return 0;
        }
    }
}
