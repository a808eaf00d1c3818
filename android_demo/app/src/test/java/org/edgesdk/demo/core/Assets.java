package org.edgesdk.demo.core;

import org.edgesdk.Bundle;

import java.io.IOException;
import java.io.UncheckedIOException;

/** The app's models, opened from the source tree as the app opens them from the APK. */
final class Assets {
    private Assets() {
    }

    static ImageSession images() {
        return images(FolderSource.of("digits.edge"), FolderSource.of("digits-core"));
    }

    static ImageSession images(Bundle.Source bundle, Bundle.Source layers) {
        long start = System.nanoTime();
        Loaded loaded = new Loaded(bundle);
        Bundle opened = Bundle.open(loaded);
        CoreImageModel model = CoreImageModel.open(loaded.beside(layers), "assets/digits-core");
        return new ImageSession(opened, model, loaded, (System.nanoTime() - start) / 1e6);
    }

    static CodesFile codes() {
        try {
            return new CodesFile(FolderSource.of("codes").map("omniglot.llc"));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    static SpeechModel speech() {
        try {
            return new SpeechModel(FolderSource.of("speech").map("digits.grnn"));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
