package org.edgesdk.demo.core;

import org.edgesdk.Bundle;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.util.HashMap;
import java.util.Map;

/** The app's assets as they lie in the source tree; files can be damaged, or missing. */
final class FolderSource implements Bundle.Source {
    private final File folder;
    private final Map<String, byte[]> instead = new HashMap<String, byte[]>();

    private FolderSource(File folder) {
        this.folder = folder;
    }

    /** One folder of the assets that the property edge.assets names. */
    static FolderSource of(String name) {
        return new FolderSource(new File(System.getProperty("edge.assets"), name));
    }

    /** A folder of what the test's driver has made, by the property edge.made. */
    static File made(String name) {
        return new File(System.getProperty("edge.made"), name);
    }

    /** Let a file hold other bytes; null: let it be missing. */
    FolderSource with(String name, byte[] bytes) {
        instead.put(name, bytes);
        return this;
    }

    /** A file's bytes on the heap. */
    byte[] bytes(String name) throws IOException {
        ByteBuffer mapped = map(name);
        byte[] bytes = new byte[mapped.remaining()];
        mapped.get(bytes);
        return bytes;
    }

    @Override
    public ByteBuffer map(String name) throws IOException {
        if (instead.containsKey(name)) {
            byte[] bytes = instead.get(name);
            if (bytes == null) {
                throw new IOException("no such asset");
            }
            ByteBuffer direct = ByteBuffer.allocateDirect(bytes.length)
                    .order(ByteOrder.LITTLE_ENDIAN);
            direct.put(bytes).flip();
            return direct;
        }
        RandomAccessFile file = new RandomAccessFile(new File(folder, name), "r");
        try {
            return file.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, file.length())
                    .order(ByteOrder.LITTLE_ENDIAN);
        } finally {
            file.close();
        }
    }
}
