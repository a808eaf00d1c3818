package org.edgesdk;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.channels.FileChannel;

/** Direct memory: Java owns all of it, so nothing native can leak. */
final class Memory {
    static final int ALIGNMENT = 64;

    private Memory() {}

    /** Returns `size` bytes of zeros, little-endian, at a multiple of 64. */
    static ByteBuffer allocate(long size, String where) {
        EdgeRuntime.load();
        if (size < 0 || size > Integer.MAX_VALUE - ALIGNMENT) {
            throw new ShapeException("at most 2 GiB of room", size + " B", where,
                    "ask for less at a time");
        }
        ByteBuffer room = ByteBuffer.allocateDirect((int) size + ALIGNMENT);
        int skip = (int) (-EdgeRuntime.address(room) & ALIGNMENT - 1);
        room.position(skip);
        room.limit(skip + (int) size);
        return room.slice().order(ByteOrder.nativeOrder());
    }

    static FloatBuffer floats(long n, String where) {
        return allocate(n > Integer.MAX_VALUE ? Long.MAX_VALUE : n * 4, where).asFloatBuffer();
    }

    /**
     * Returns a file's bytes, from position to limit, as the core takes them.
     *
     * @throws ShapeException Not direct, or not at a multiple of 8.
     */
    static ByteBuffer file(ByteBuffer bytes, String where) {
        EdgeRuntime.load();
        if (bytes == null || !bytes.isDirect()) {
            throw new ShapeException("a direct ByteBuffer",
                    bytes == null ? "null" : "one on the heap", where,
                    "map the file, or copy it into ByteBuffer.allocateDirect");
        }
        ByteBuffer slice = bytes.slice().order(ByteOrder.nativeOrder());
        if (slice.capacity() > 0 && EdgeRuntime.address(slice) % 8 != 0) {
            throw new ShapeException("bytes at a multiple of 8", "an address between", where,
                    "map the file from an aligned offset, or copy it");
        }
        return slice;
    }

    /**
     * Returns a file's bytes, memory-mapped.
     *
     * @throws FormatException No such file, empty, or larger than a ByteBuffer can be.
     */
    static ByteBuffer map(File file, String suffix) {
        EdgeRuntime.load();
        if (file == null) {
            throw new ShapeException("a file", "null", "`file`", "name an existing file");
        }
        String got;
        RandomAccessFile opened = null;
        try {
            opened = new RandomAccessFile(file, "r");
            long size = opened.length();
            if (size > 0 && size <= Integer.MAX_VALUE) {
                return opened.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, size)
                        .order(ByteOrder.nativeOrder());
            }
            got = size == 0 ? "an empty file" : size + " B";
        } catch (IOException error) {
            got = error.getMessage();
        } finally {
            close(opened);
        }
        throw new FormatException("an " + suffix + " file", got, file.getPath(), "check the path");
    }

    /** Checks a buffer of the caller's that the core reads or writes in place. */
    static FloatBuffer direct(FloatBuffer floats, int n, boolean written, String where) {
        if (floats == null || !floats.isDirect() || floats.order() != ByteOrder.nativeOrder()
                || floats.remaining() < n || written && floats.isReadOnly()) {
            throw new ShapeException("a direct FloatBuffer of native order with " + n + " floats",
                    floats == null ? "null" : (floats.isDirect() ? "direct" : "on the heap") + ", "
                    + floats.order() + ", " + floats.remaining() + " floats"
                    + (floats.isReadOnly() ? ", read-only" : ""), where,
                    "ByteBuffer.allocateDirect(4 * n).order(ByteOrder.nativeOrder())"
                    + ".asFloatBuffer()");
        }
        return floats;
    }

    static void close(RandomAccessFile file) {
        if (file != null) {
            try {
                file.close();
            } catch (IOException error) {
                // It was only read; the map stays.
                return;
            }
        }
    }
}
