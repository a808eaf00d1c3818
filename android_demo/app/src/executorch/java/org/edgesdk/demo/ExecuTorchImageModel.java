package org.edgesdk.demo;

import org.edgesdk.GranularityException;
import org.edgesdk.ShapeException;
import org.edgesdk.demo.core.DigitPicture;
import org.edgesdk.demo.core.ImageModel;
import org.pytorch.executorch.EValue;
import org.pytorch.executorch.Module;
import org.pytorch.executorch.Tensor;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * An elastic .pte: one method for each granularity, as {@code edge_sdk.export} writes them, all
 * over the same weights. For one thread.
 */
final class ExecuTorchImageModel implements ImageModel, AutoCloseable {
    private static final List<String> NAMES = Arrays.asList("S", "M", "L", "XL");
    private static final long[] SHAPE = {1, 1, DigitPicture.SIDE, DigitPicture.SIDE};

    private final Module module;
    private final List<String> granularities = new ArrayList<String>();

    /**
     * Load a file and those of its methods that are granularities.
     *
     * @param path of the .pte, whose digest has been compared.
     */
    ExecuTorchImageModel(String path) {
        module = Module.load(path, Module.LOAD_MODE_MMAP);
        List<String> found = Arrays.asList(module.getMethods());
        for (String name : NAMES) {
            if (found.contains(name)) {
                module.loadMethod(name);
                granularities.add(name);
            }
        }
    }

    @Override
    public List<String> granularities() {
        return Collections.unmodifiableList(granularities);
    }

    @Override
    public float[] embed(float[] pixels, String granularity) {
        if (!granularities.contains(granularity)) {
            throw new GranularityException("one of " + granularities, granularity,
                    "`granularity`", "see granularities()");
        }
        if (pixels == null || pixels.length != DigitPicture.N_PIXELS) {
            throw new ShapeException(DigitPicture.N_PIXELS + " pixels",
                    pixels == null ? "null" : pixels.length + "", "`pixels`",
                    "DigitPicture makes them");
        }
        EValue[] outputs = module.execute(granularity, EValue.from(Tensor.fromBlob(pixels, SHAPE)));
        return outputs[0].toTensor().getDataAsFloatArray();
    }

    /** Let go of the file; `embed` then fails. */
    @Override
    public void close() {
        module.destroy();
    }
}
