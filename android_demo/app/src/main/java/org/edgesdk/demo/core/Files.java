package org.edgesdk.demo.core;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

/** Small texts in UTF-8, written whole or not at all. */
public final class Files {
    private Files() {
    }

    /** Return what a file holds, null if it can not be read. */
    public static String readText(File file) {
        try {
            InputStream in = new FileInputStream(file);
            try {
                ByteArrayOutputStream all = new ByteArrayOutputStream();
                byte[] block = new byte[1 << 13];
                for (int n = in.read(block); n >= 0; n = in.read(block)) {
                    all.write(block, 0, n);
                }
                return all.toString("UTF-8");
            } finally {
                in.close();
            }
        } catch (IOException error) {
            return null;
        }
    }

    /**
     * Write a file beside and rename it into place.
     *
     * @throws IOException no room, or no right; what was there before is still there.
     */
    public static void writeText(File file, String text) throws IOException {
        File beside = new File(file.getPath() + ".new");
        OutputStream out = new FileOutputStream(beside);
        try {
            out.write(text.getBytes("UTF-8"));
        } finally {
            out.close();
        }
        if (!beside.renameTo(file)) {
            throw new IOException("can not write " + file);
        }
    }
}
