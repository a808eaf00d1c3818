package org.edgesdk;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.Test;

public final class EdgeRuntimeTest {
    @Test
    public void theVersionIsThatOfTheHeader() throws Exception {
        Matcher version = Pattern.compile("#define EDGE_VERSION \"(.*)\"").matcher(Vectors.text(
                new File(Vectors.vectors(), "../../runtime/include/edge_runtime.h")));
        assertTrue(version.find());
        assertEquals(version.group(1), EdgeRuntime.version());
    }

    @Test
    public void instructionSetsAreListedSlowestFirstAndOthersRefused() {
        assertEquals("scalar", EdgeRuntime.isas().get(0));
        assertTrue(EdgeRuntime.isas().contains(EdgeRuntime.isa()));
        assertThrows(ShapeException.class, () -> EdgeRuntime.useIsa("abacus"));
        assertThrows(ShapeException.class, () -> EdgeRuntime.useIsa(null));
    }

    @Test
    public void everyStatusOfTheCoreHasAnException() {
        int[] statuses = {0x10, 0x11, 0x12, 0x13, 0x14, 0x20, 0x21, 0x22, 0x23, 0x24};
        Class<?>[] kinds = {ShapeException.class, CodeException.class, CodeException.class,
            ShapeException.class, ShapeException.class, ShapeException.class,
            FormatException.class, VersionException.class, CodeException.class,
            ShapeException.class};
        for (int i = 0; i < statuses.length; i++) {
            EdgeException error = EdgeException.fromStatus(statuses[i], "here");
            assertEquals(kinds[i], error.getClass());
            assertTrue(error.got().length() > 5);
            assertEquals("here", error.where());
        }
    }

    @Test
    public void aMessageHasTheFormOfPythons() {
        EdgeException error = new ShapeException("8 bytes", "16", "`query`", "use 128 bits");
        assertEquals("expected 8 bytes, got 16 - at `query`\nhint: use 128 bits",
                error.getMessage());
        EdgeException shorter = new ShapeException("8 bytes", null, null, "use 128 bits");
        assertEquals("expected 8 bytes\nhint: use 128 bits", shorter.getMessage());
        assertNull(shorter.got());
    }

    @Test
    public void aNameThatTheLibraryDoesNotKnowSaysThatVersionsDiffer() {
        assertThrows(UnsupportedPlatformException.class, () -> EdgeRuntime.value("edge_nothing"));
        assertThrows(UnsupportedPlatformException.class, () -> EdgeRuntime.value("edge_hi"));
        assertThrows(UnsupportedPlatformException.class, () -> EdgeRuntime.value(""));
        assertEquals(0xffffffffL, EdgeRuntime.value("EDGE_NONE"));
    }

    @Test
    public void memoryIsAlignedAndZero() {
        for (int size : new int[] {0, 1, 63, 64, 1000}) {
            java.nio.ByteBuffer room = Memory.allocate(size, "a test");
            assertEquals(size, room.capacity());
            assertEquals(0, EdgeRuntime.address(room) % 64);
            for (int i = 0; i < size; i++) {
                assertEquals(0, room.get(i));
            }
        }
        assertThrows(ShapeException.class, () -> Memory.allocate(Integer.MAX_VALUE, "a test"));
        assertThrows(ShapeException.class, () -> Memory.allocate(-1, "a test"));
    }
}
