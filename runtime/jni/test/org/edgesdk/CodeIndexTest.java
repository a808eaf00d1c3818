package org.edgesdk;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.junit.Test;

public final class CodeIndexTest {
    private static CodeIndex index(String decoder, String[] columns) {
        return CodeIndex.open(Vectors.made("codes/" + decoder + "-" + Vectors.key(columns, 1, 3)
                + ".llc"));
    }

    private static CodeIndex some() throws IOException {
        for (String[] columns : Vectors.cases("codes_mhd.txt")) {
            if (columns[1].equals("20") && columns[2].length() > 20) {
                return index("mhd", columns);
            }
        }
        throw new AssertionError();
    }

    @Test
    public void exactDecodeAnswersTheVectors() throws Exception {
        Vectors.onEveryIsa(() -> {
            for (String[] columns : Vectors.cases("codes_ed.txt")) {
                String[] wanted = columns[4].split(",");
                int[] found = index("ed", columns).decodeEd(Vectors.words(columns[3]));
                assertEquals(wanted.length, found.length);
                for (int i = 0; i < wanted.length; i++) {
                    assertEquals(columns[0], Vectors.number(wanted[i]), found[i]);
                }
            }
        });
    }

    @Test
    public void minimumHammingDecodeAnswersTheVectorsByEveryPlan() throws Exception {
        Vectors.onEveryIsa(() -> {
            for (String[] columns : Vectors.cases("codes_mhd.txt")) {
                CodeIndex index = index("mhd", columns);
                long[] words = Vectors.words(columns[3]);
                String[] wanted = columns[4].split(",");
                Nearest[] near = index.nearest(words);
                int[] ids = new int[wanted.length];
                for (int i = 0; i < wanted.length; i++) {
                    String[] parts = wanted[i].split(":");
                    ids[i] = Vectors.number(parts[0]);
                    assertEquals(columns[0], ids[i], near[i].id);
                    assertEquals(columns[0], Integer.parseInt(parts[1]), near[i].distance);
                    assertEquals(columns[0], Integer.parseInt(parts[2]), near[i].runnerUp);
                }
                assertArrayEquals(columns[0], ids, index.decodeMhd(words));
                for (CodeIndex.Plan plan : CodeIndex.Plan.values()) {
                    if (plan != CodeIndex.Plan.TABLE || index.bits() <= 20) {
                        assertArrayEquals(columns[0], ids, index.decodeMhd(words, plan));
                    }
                }
            }
        });
    }

    @Test
    public void orderedDecodeAnswersTheVectors() throws Exception {
        Vectors.onEveryIsa(() -> {
            for (String[] columns : Vectors.cases("codes_ord.txt")) {
                CodeIndex index = index("ord", columns);
                float[] z = Vectors.floats(columns[3], index.bits());
                Ordered found = index.decodeOrd(z, Integer.parseInt(columns[4]),
                        CodeIndex.Fallback.valueOf(columns[5].toUpperCase()))[0];
                assertEquals(columns[0], Vectors.number(columns[6]), found.id);
                if (columns[7].equals("-")) {
                    assertEquals(found.id, index.decodeSoft(z)[0].id);
                } else {
                    assertEquals(columns[0], Integer.parseInt(columns[7]), found.lookups);
                    assertEquals(columns[0], columns[8], found.met.name().toLowerCase());
                }
            }
        });
    }

    @Test
    public void searchAnswersTheVectors() throws Exception {
        Vectors.onEveryIsa(() -> {
            for (String[] columns : Vectors.cases("codes_search.txt")) {
                CodeIndex index = index("search", columns);
                String[] queries = columns[4].split(",");
                String[] wanted = columns[5].split(";");
                for (int i = 0; i < queries.length; i++) {
                    StringBuilder found = new StringBuilder();
                    for (Hit hit : index.search(wide(queries[i], index.bits()),
                            Integer.parseInt(columns[3]))) {
                        found.append(found.length() == 0 ? "" : ",").append(hit.id).append(':')
                                .append(hit.distance);
                    }
                    assertEquals(columns[0], wanted[i], found.length() == 0 ? "-"
                            : found.toString());
                }
            }
        });
    }

    private static long[] wide(String digits, int bits) {
        long[] words = new long[bits <= 64 ? 1 : bits / 64];
        for (int i = 0; i < words.length; i++) {
            int end = digits.length() - 16 * i;
            words[i] = Long.parseUnsignedLong(digits.substring(Math.max(0, end - 16), end), 16);
        }
        return words;
    }

    @Test
    public void manyThreadsGetTheAnswersOfOne() throws Exception {
        final CodeIndex index = some();
        final long[] words = new long[512];
        for (int i = 0; i < words.length; i++) {
            words[i] = i * 2039L & (1 << index.bits()) - 1;
        }
        final int[] wanted = index.decodeMhd(words);
        final boolean[] good = new boolean[4];
        Thread[] threads = new Thread[good.length];
        for (int t = 0; t < threads.length; t++) {
            final int mine = t;
            threads[t] = new Thread(() -> {
                boolean same = true;
                for (int i = 0; i < 200; i++) {
                    same &= java.util.Arrays.equals(wanted, index.decodeMhd(words));
                }
                good[mine] = same;
            });
            threads[t].start();
        }
        for (int t = 0; t < threads.length; t++) {
            threads[t].join();
            assertTrue(good[t]);
        }
    }

    @Test
    public void wordsThatAreNoneAreRefused() throws Exception {
        CodeIndex index = some();
        assertThrows(CodeException.class, () -> index.decodeEd(new long[] {1L << index.bits()}));
        assertThrows(CodeException.class, () -> index.decodeMhd(new long[] {-1}));
        assertThrows(CodeException.class, () -> index.nearest(new long[] {-1}));
        assertThrows(CodeException.class, () -> index.search(new long[] {-1}, 3));
        assertThrows(ShapeException.class, () -> index.decodeEd(null));
        assertThrows(ShapeException.class, () -> index.decodeMhd(null));
        assertThrows(ShapeException.class, () -> index.decodeMhd(new long[1], null));
        assertThrows(ShapeException.class, () -> index.nearest(null));
        assertThrows(ShapeException.class, () -> index.decodeOrd(null));
        assertThrows(ShapeException.class, () -> index.decodeOrd(new float[index.bits() + 1]));
        assertThrows(ShapeException.class, () -> index.decodeOrd(new float[index.bits()], -1,
                CodeIndex.Fallback.SOFT));
        assertThrows(ShapeException.class, () -> index.decodeOrd(new float[index.bits()], 65537,
                CodeIndex.Fallback.SOFT));
        assertThrows(ShapeException.class, () -> index.decodeOrd(new float[index.bits()], 1,
                null));
        float[] nan = new float[index.bits()];
        nan[3] = Float.NaN;
        assertThrows(CodeException.class, () -> index.decodeOrd(nan));
        assertThrows(CodeException.class, () -> index.decodeSoft(nan));
        assertThrows(ShapeException.class, () -> index.search(null, 1));
        assertThrows(ShapeException.class, () -> index.search(new long[2], 1));
        assertThrows(ShapeException.class, () -> index.search(new long[1], -1));
        assertThrows(ShapeException.class, () -> index.search(new long[1], Integer.MAX_VALUE));
        assertEquals(0, index.search(new long[1], 0).length);
        assertEquals(0, index.decodeEd(new long[0]).length);
        assertEquals(0, index.decodeMhd(new long[0]).length);
        assertEquals(0, index.decodeOrd(new float[0]).length);
    }

    @Test
    public void codesOfItemsAreSearchedAndNotDecoded() throws Exception {
        CodeIndex items = index("search", Vectors.cases("codes_search.txt").get(5));
        assertTrue(!items.isOfClasses());
        assertThrows(EdgeException.class, () -> items.decodeEd(new long[1]));
        assertThrows(EdgeException.class, () -> items.decodeMhd(new long[1]));
        assertThrows(EdgeException.class, () -> items.decodeSoft(new float[items.bits()]));
    }

    @Test
    public void buffersThatAreNotDirectOrNotAlignedAreRefused() throws Exception {
        byte[] whole = Vectors.bytes(Vectors.made("bundle/tiny.edge/codes.llc"));
        assertThrows(ShapeException.class, () -> CodeIndex.open((ByteBuffer) null));
        assertThrows(ShapeException.class, () -> CodeIndex.open((File) null));
        assertThrows(ShapeException.class, () -> CodeIndex.open(ByteBuffer.wrap(whole)));
        ByteBuffer shifted = Memory.allocate(whole.length + 1, "a test");
        shifted.position(1);
        shifted.put(whole);
        shifted.position(1);
        assertThrows(ShapeException.class, () -> CodeIndex.open(shifted));
        ByteBuffer inside = Memory.allocate(whole.length + 64, "a test");
        inside.position(8);
        inside.put(whole);
        inside.flip();
        inside.position(8);
        CodeIndex index = CodeIndex.open(inside.asReadOnlyBuffer());
        assertEquals(whole.length, inside.remaining());
        assertTrue(index.bits() > 0);
        assertThrows(FormatException.class, () -> CodeIndex.open(ByteBuffer.allocateDirect(0)));
        assertThrows(FormatException.class, () -> CodeIndex.open(new File("no/such.llc")));
        assertThrows(FormatException.class, () -> CodeIndex.open(Vectors.made("codes")));
        assertThrows(FormatException.class,
                () -> CodeIndex.open(Vectors.made("listen/digits.grnn")));
    }

    @Test
    public void damagedFilesAreRefused() throws Exception {
        String name = Vectors.key(Vectors.cases("codes_mhd.txt").get(12), 1, 3);
        Vectors.everyDamageIsRefused(Vectors.made("codes/mhd-" + name + ".llc"),
                bytes -> CodeIndex.open(bytes).decodeMhd(new long[] {0}));
    }

    @Test
    public void aClosedIndexThrowsAndClosingTwiceDoesNot() throws Exception {
        CodeIndex index = some();
        index.close();
        index.close();
        assertEquals(20, index.bits());
        assertThrows(ClosedException.class, () -> index.decodeEd(new long[1]));
        assertThrows(ClosedException.class, () -> index.decodeMhd(new long[1]));
        assertThrows(ClosedException.class, () -> index.nearest(new long[1]));
        assertThrows(ClosedException.class, () -> index.decodeOrd(new float[20]));
        assertThrows(ClosedException.class, () -> index.search(new long[1], 1));
    }
}
