package org.edgesdk.demo;

import android.content.Context;
import android.os.Build;
import android.util.Log;

import org.edgesdk.Bundle;
import org.edgesdk.Digests;
import org.edgesdk.EdgeRuntime;
import org.edgesdk.FormatException;
import org.edgesdk.demo.core.CodesFile;
import org.edgesdk.demo.core.DeviceProfile;
import org.edgesdk.demo.core.Files;
import org.edgesdk.demo.core.ImageModel;
import org.edgesdk.demo.core.ImageSession;
import org.edgesdk.demo.core.Loaded;
import org.edgesdk.demo.core.SpeechModel;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;

/** Opens what lies in the APK's assets, and keeps the profile in the app's files. */
final class Models {
    private static final String BUNDLE = "digits.edge";
    private static final String PROFILE = "profile.json";

    private Models() {
    }

    /** @throws org.edgesdk.EdgeException an asset is missing or damaged; it says which. */
    static ImageSession openImages(Context context) {
        EdgeRuntime.load();
        long start = System.nanoTime();
        Loaded loaded = new Loaded(new AssetSource(context.getAssets(), BUNDLE));
        Bundle bundle = Bundle.open(loaded);
        ImageModel model = ModelFactory.open(context, bundle, loaded);
        return new ImageSession(bundle, model, loaded, (System.nanoTime() - start) / 1e6);
    }

    /** @throws org.edgesdk.EdgeException the asset is missing or damaged. */
    static SpeechModel openSpeech(Context context) {
        return new SpeechModel(map(context, "speech", "digits.grnn"));
    }

    /** @throws org.edgesdk.EdgeException the asset is missing or damaged. */
    static CodesFile openCodes(Context context) {
        return new CodesFile(map(context, "codes", "omniglot.llc"));
    }

    private static ByteBuffer map(Context context, String folder, String name) {
        EdgeRuntime.load();
        try {
            return new AssetSource(context.getAssets(), folder).map(name);
        } catch (IOException error) {
            throw new FormatException("a file that was packed", "none: " + error.getMessage(),
                    "assets/" + folder + "/" + name, "pack the assets again");
        }
    }

    /** Names this device, this core and these weights. */
    static String profileKey(Context context, ImageSession session) {
        return Digests.sha256(Build.FINGERPRINT + "|" + EdgeRuntime.version() + "|"
                + EdgeRuntime.isa() + "|" + session.weightsSha256() + "|"
                + context.getPackageName()).substring(0, 16);
    }

    /** The profile of that key from an earlier start, or null. */
    static DeviceProfile storedProfile(Context context, String key) {
        String text = Files.readText(new File(context.getFilesDir(), PROFILE));
        DeviceProfile stored = text == null ? null : DeviceProfile.fromJson(text);
        return stored != null && key.equals(stored.key) ? stored : null;
    }

    /** Without room it is measured again at the next start. */
    static void storeProfile(Context context, DeviceProfile profile) {
        try {
            Files.writeText(new File(context.getFilesDir(), PROFILE), profile.toJson());
        } catch (IOException error) {
            Log.w("EdgeDemo", "the profile was not stored", error);
        }
    }
}
