package org.edgesdk.demo.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import org.edgesdk.Bundle;
import org.edgesdk.EdgeException;
import org.edgesdk.FormatException;
import org.edgesdk.VersionException;
import org.junit.Test;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Random;

/** What the app is told when an asset is damaged: which file, and what to do. */
public class DamagedAssetsTest {
    private static final String[] LAYERS = {"manifest.json", "up-0.mrl", "up-1.mrl", "up-2.mrl",
        "up-3.mrl", "down.mrl"};
    private static final String[] BUNDLE = {"manifest.json", "head.mrl", "cascades.json",
        "codes.llc", "bits-0.mrl", "bits-1.mrl", "model.pte"};

    private interface Damage {
        byte[] of(byte[] bytes);
    }

    private static final Damage[] DAMAGES = {
        new Damage() {
            @Override
            public byte[] of(byte[] bytes) {
                return null;
            }
        },
        new Damage() {
            @Override
            public byte[] of(byte[] bytes) {
                return new byte[0];
            }
        },
        new Damage() {
            @Override
            public byte[] of(byte[] bytes) {
                return Arrays.copyOf(bytes, bytes.length / 2);
            }
        },
        new Damage() {
            @Override
            public byte[] of(byte[] bytes) {
                byte[] flipped = bytes.clone();
                flipped[flipped.length / 3] ^= 1;
                return flipped;
            }
        },
    };

    private static void demandFormatException(String folder, String name, byte[] bytes) {
        FolderSource source = FolderSource.of(folder).with(name, bytes);
        try {
            if (folder.equals("digits-core")) {
                CoreImageModel.open(source, "assets/digits-core");
            } else {
                Bundle.open(source);
            }
            throw new AssertionError(name + " was taken, damaged");
        } catch (FormatException error) {
            assertTrue(error.getMessage(), error.where().contains(name));
            assertTrue(error.hint().length() > 5);
        }
    }

    @Test
    public void every_damaged_file_of_the_layers_is_named() throws Exception {
        for (String name : LAYERS) {
            byte[] good = FolderSource.of("digits-core").bytes(name);
            for (Damage damage : DAMAGES) {
                demandFormatException("digits-core", name, damage.of(good));
            }
        }
    }

    @Test
    public void every_damaged_file_of_the_bundle_is_named() throws Exception {
        for (String name : BUNDLE) {
            byte[] good = FolderSource.of("digits.edge").bytes(name);
            for (Damage damage : DAMAGES) {
                demandFormatException("digits.edge", name, damage.of(good));
            }
        }
    }

    /** Whatever one byte of the layers' manifest becomes, unless it means the same. */
    @Test
    public void a_changed_byte_of_the_manifest_is_a_typed_error() throws Exception {
        byte[] good = FolderSource.of("digits-core").bytes("manifest.json");
        Random random = new Random(3);
        int refused = 0;
        for (int trial = 0; trial < 400; trial++) {
            byte[] bad = good.clone();
            int at = random.nextInt(bad.length);
            bad[at] = (byte) (32 + random.nextInt(95));
            boolean same = bad[at] == good[at] || bad[at] == ' ' && good[at] == '\n';
            try {
                CoreImageModel.open(FolderSource.of("digits-core").with("manifest.json", bad),
                        "assets").close();
                assertTrue("byte " + at + " as " + (char) bad[at] + " was taken", same);
            } catch (EdgeException error) {
                assertFalse(same);
                refused++;
            }
        }
        assertTrue(refused > 300);
    }

    @Test
    public void newer_layers_are_told_from_damaged_ones() throws Exception {
        String text = new String(FolderSource.of("digits-core").bytes("manifest.json"), "UTF-8");
        byte[] newer = text.replace("\"schema_version\": 1", "\"schema_version\": 2")
                .getBytes("UTF-8");
        try {
            CoreImageModel.open(FolderSource.of("digits-core").with("manifest.json", newer),
                    "assets");
            throw new AssertionError("newer layers were taken");
        } catch (VersionException error) {
            assertEquals("version 2", error.got());
            assertEquals("assets/manifest.json", error.where());
        }
    }

    @Test
    public void a_damaged_speech_model_is_refused() throws IOException {
        demandRefused(FolderSource.of("speech").bytes("digits.grnn"), true);
    }

    @Test
    public void damaged_codes_are_refused() throws IOException {
        demandRefused(FolderSource.of("codes").bytes("omniglot.llc"), false);
    }

    private static void demandRefused(byte[] good, boolean speech) {
        for (Damage damage : DAMAGES) {
            byte[] bad = damage.of(good);
            if (bad == null) {
                continue;
            }
            ByteBuffer direct = ByteBuffer.allocateDirect(bad.length);
            direct.put(bad).flip();
            try {
                AutoCloseable opened = speech ? new SpeechModel(direct) : new CodesFile(direct);
                throw new AssertionError("a damaged file was taken as " + opened);
            } catch (FormatException error) {
                assertTrue(error.hint().length() > 5);
            }
        }
    }
}
