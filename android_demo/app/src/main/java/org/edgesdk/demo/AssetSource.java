package org.edgesdk.demo;

import android.content.res.AssetFileDescriptor;
import android.content.res.AssetManager;

import org.edgesdk.Bundle;

import java.io.EOFException;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.channels.ReadableByteChannel;

/** Files of one folder of the APK's assets, memory-mapped where they lie. */
final class AssetSource implements Bundle.Source {
    /** The core reads numbers in place: at multiples of this. */
    private static final int ALIGNMENT = 8;

    private static final int MOST_BYTES = 64 << 20;

    private final AssetManager assets;
    private final String folder;

    AssetSource(AssetManager assets, String folder) {
        this.assets = assets;
        this.folder = folder;
    }

    /** A file's bytes: mapped if it is stored and aligned, as build.sh does it; else copied. */
    @Override
    public ByteBuffer map(String name) throws IOException {
        String path = folder + "/" + name;
        AssetFileDescriptor asset;
        try {
            asset = assets.openFd(path);
        } catch (FileNotFoundException compressed) {
            return copy(path);
        }
        try {
            if (asset.getStartOffset() % ALIGNMENT != 0) {
                return copy(path);
            }
            FileInputStream stream = new FileInputStream(asset.getFileDescriptor());
            FileChannel channel = stream.getChannel();
            return channel.map(FileChannel.MapMode.READ_ONLY, asset.getStartOffset(),
                    asset.getLength()).order(ByteOrder.LITTLE_ENDIAN);
        } finally {
            // The mapping outlives the descriptor.
            asset.close();
        }
    }

    private ByteBuffer copy(String path) throws IOException {
        InputStream stream = assets.open(path);
        try {
            ReadableByteChannel channel = Channels.newChannel(stream);
            ByteBuffer bytes = ByteBuffer.allocateDirect(1 << 14).order(ByteOrder.LITTLE_ENDIAN);
            while (channel.read(bytes) >= 0) {
                if (!bytes.hasRemaining()) {
                    bytes = larger(bytes, path);
                }
            }
            bytes.flip();
            return bytes;
        } finally {
            stream.close();
        }
    }

    private static ByteBuffer larger(ByteBuffer full, String path) throws IOException {
        if (full.capacity() >= MOST_BYTES) {
            throw new EOFException(path + " is larger than " + MOST_BYTES + " bytes");
        }
        ByteBuffer twice = ByteBuffer.allocateDirect(2 * full.capacity())
                .order(ByteOrder.LITTLE_ENDIAN);
        full.flip();
        return twice.put(full);
    }
}
