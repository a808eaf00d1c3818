package org.edgesdk.demo;

import android.content.Context;

import org.edgesdk.Bundle;
import org.edgesdk.FormatException;
import org.edgesdk.demo.core.CoreImageModel;
import org.edgesdk.demo.core.ImageModel;
import org.edgesdk.demo.core.Loaded;

/** The flavour "core": the model on the embeddable core, from its layers in the assets. */
final class ModelFactory {
    private static final String LAYERS = "digits-core";

    private ModelFactory() {
    }

    /** @throws org.edgesdk.EdgeException a layer is missing, damaged, or of another model. */
    static ImageModel open(Context context, Bundle bundle, Loaded loaded) {
        CoreImageModel model = CoreImageModel.open(
                loaded.beside(new AssetSource(context.getAssets(), LAYERS)), "assets/" + LAYERS);
        if (!model.weightsSha256().equals(bundle.weightsSha256())) {
            throw new FormatException("layers of the bundle's model", model.weightsSha256(),
                    "assets/" + LAYERS, "pack the assets again");
        }
        return model;
    }
}
