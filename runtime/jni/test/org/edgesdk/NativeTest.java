package org.edgesdk;

import static org.junit.Assert.assertTrue;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import org.junit.Test;

/** Native methods whatever they are given: the classes never give them this. */
public final class NativeTest {
    private static final Class<?>[] CLASSES = {EdgeRuntime.class, CoreFile.class, CodeIndex.class,
        Head.class, Governor.class, FastGrnn.class, LogMel.class};
    private static final int ROOM = 65536;

    private static List<Method> natives(Class<?> type) {
        List<Method> natives = new ArrayList<>();
        for (Method method : type.getDeclaredMethods()) {
            if (Modifier.isNative(method.getModifiers())) {
                method.setAccessible(true);
                natives.add(method);
            }
        }
        return natives;
    }

    private static ByteBuffer bytes(int choice) {
        switch (choice) {
            case 0:
                return null;
            case 1:
                return ByteBuffer.allocate(ROOM);
            case 2:
                return ByteBuffer.allocateDirect(0);
            case 3: { // at an odd address
                ByteBuffer odd = Memory.allocate(ROOM, "a test");
                odd.position(1);
                return odd.slice();
            }
            case 4:
                return Memory.allocate(12, "a test");
            default:
                return Memory.allocate(ROOM, "a test");
        }
    }

    private static Object argument(Class<?> type, Vectors.Random random) {
        int choice = (int) (random.word() >>> 40);
        if (type == ByteBuffer.class) {
            return bytes(choice % 8);
        }
        if (type == FloatBuffer.class) {
            ByteBuffer buffer = bytes(choice % 8);
            return buffer == null ? null : buffer.order(ByteOrder.nativeOrder()).asFloatBuffer();
        }
        if (type == int.class) {
            return new int[] {-1, 0, 1, 2, 256, Integer.MAX_VALUE, Integer.MIN_VALUE}[choice % 7];
        }
        if (type == long.class) {
            return new long[] {-1, 0, 1, 4096, ROOM, Long.MAX_VALUE, Long.MIN_VALUE}[choice % 7];
        }
        return new double[] {Double.NaN, 0, 1, Double.POSITIVE_INFINITY}[choice % 4];
    }

    @Test
    public void nothingCrashesWhateverIsPassed() throws Exception {
        EdgeRuntime.load();
        String isa = EdgeRuntime.isa();
        Vectors.Random random = new Vectors.Random(3);
        int calls = 0;
        for (Class<?> type : CLASSES) {
            for (Method method : natives(type)) {
                Class<?>[] types = method.getParameterTypes();
                for (int i = 0; i < 300; i++) {
                    Object[] arguments = new Object[types.length];
                    for (int j = 0; j < types.length; j++) {
                        arguments[j] = argument(types[j], random);
                    }
                    method.invoke(null, arguments);
                    calls++;
                }
            }
        }
        EdgeRuntime.useIsa(isa);
        assertTrue(calls > 300 * 30);
    }
}
