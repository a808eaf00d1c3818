package org.edgesdk.demo;

import android.content.Context;

import org.edgesdk.Bundle;
import org.edgesdk.OutputException;
import org.edgesdk.demo.core.ImageModel;
import org.edgesdk.demo.core.Loaded;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;

/** The flavour "executorch": the bundle's .pte through ExecuTorch's Android library. */
final class ModelFactory {
    private static final String ENGINE = "executorch";

    private ModelFactory() {
    }

    /** @throws org.edgesdk.EdgeException the model is missing, or there is no room for a copy. */
    static ImageModel open(Context context, Bundle bundle, Loaded loaded) {
        // Its Module opens paths alone, so the verified bytes leave the APK once.
        File copy = new File(context.getCodeCacheDir(), "model.pte");
        try {
            ByteBuffer bytes = bundle.modelFile(ENGINE);
            loaded.useModel(ENGINE, bytes.remaining());
            write(bytes, copy);
        } catch (IOException error) {
            throw new OutputException("room for the model", error.getMessage(), copy.getPath(),
                    "free some memory of this device");
        }
        return new ExecuTorchImageModel(copy.getPath());
    }

    private static void write(ByteBuffer bytes, File file) throws IOException {
        FileOutputStream out = new FileOutputStream(file);
        try {
            while (bytes.hasRemaining()) {
                out.getChannel().write(bytes);
            }
        } finally {
            out.close();
        }
    }
}
