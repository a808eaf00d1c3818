package org.edgesdk;

import java.io.File;
import java.nio.ByteBuffer;
import java.util.List;

/**
 * Codes of k bits and the classes they belong to ({@code .llc}), used as the file lies in memory.
 *
 * <p>A word is a long, bit j of the code being bit j of it. Ties go to the lowest id, on every
 * processor. Any number of threads may share an index. All memory is Java's: an index that is
 * never closed leaks nothing, and close() while others use it lets their calls finish.
 */
public final class CodeIndex implements AutoCloseable {
    /** How minimum-Hamming decode goes about it; the answers are the same. */
    public enum Plan { AUTO, TABLE, SCAN, BALL, MULTI }

    /** What ordered decode does where its look-ups find no class. */
    public enum Fallback { NONE, MHD, SOFT }

    /** Look-ups as many as pay, then the scan. */
    public static final int AUTO = 0;

    private static final int CLASSES = 1;

    private static final class At {
        static final int N = EdgeRuntime.at("edge_llc.n");
        static final int NEAREST = EdgeRuntime.at("edge_nearest");
        static final int NEAREST_ID = EdgeRuntime.at("edge_nearest.id");
        static final int NEAREST_DISTANCE = EdgeRuntime.at("edge_nearest.distance");
        static final int RUNNER_UP = EdgeRuntime.at("edge_nearest.runner_up");
        static final int ORDERED = EdgeRuntime.at("edge_ordered");
        static final int ORDERED_ID = EdgeRuntime.at("edge_ordered.id");
        static final int LOOKUPS = EdgeRuntime.at("edge_ordered.lookups");
        static final int MET = EdgeRuntime.at("edge_ordered.met");
        static final int PENALTY = EdgeRuntime.at("edge_ordered.penalty");
        static final int LOOKUPS_MAX = EdgeRuntime.at("EDGE_LOOKUPS_MAX");
        static final int HIT = EdgeRuntime.at("edge_hit");
        static final int HIT_ID = EdgeRuntime.at("edge_hit.id");
        static final int HIT_DISTANCE = EdgeRuntime.at("edge_hit.distance");
        static final int MAX_K = EdgeRuntime.at("EDGE_SEARCH_MAX_K");
    }

    private final int bits;
    private final long size;
    private final int kind;
    private final List<String> labels;
    private final Scratch.Pool pool = new Scratch.Pool();
    private volatile Opened opened;

    private CodeIndex(ByteBuffer bytes, boolean verify, String where) {
        Opened file = new Opened(bytes, "edge_llc");
        EdgeException.check(openFile(file.bytes, bytes.capacity(), verify ? 0 : 1, file.view),
                where);
        bits = file.number("edge_llc.bits");
        kind = file.number("edge_llc.kind");
        size = file.view.getLong(At.N);
        labels = CoreFile.names(bytes, "labl");
        opened = file;
    }

    /**
     * Opens a file's bytes, from position to limit, without a copy; they must stay unchanged.
     *
     * @param bytes Direct, at a multiple of 8.
     * @throws FormatException Not an .llc file, or damaged.
     * @throws VersionException Written by a newer version.
     * @throws ShapeException Not a direct buffer, or not aligned.
     */
    public static CodeIndex open(ByteBuffer bytes) {
        return open(bytes, true);
    }

    /** As open(bytes); errors name `where`. */
    static CodeIndex open(ByteBuffer bytes, String where) {
        return new CodeIndex(Memory.file(bytes, where), true, where);
    }

    /** As open(bytes); without `verify` the digests of its contents are not compared. */
    public static CodeIndex open(ByteBuffer bytes, boolean verify) {
        return new CodeIndex(Memory.file(bytes, "`bytes`"), verify, "`bytes`");
    }

    /** Opens a file, memory-mapped; errors as in open(bytes). */
    public static CodeIndex open(File file) {
        return new CodeIndex(Memory.map(file, ".llc"), true, file.getPath());
    }

    /** Returns the bits of a code. */
    public int bits() {
        return bits;
    }

    /** Returns how many codes it holds. */
    public long size() {
        return size;
    }

    /** Returns whether the codes are of classes, so that words can be decoded. */
    public boolean isOfClasses() {
        return kind == CLASSES;
    }

    /** Returns the classes' names by id, or none. */
    public List<String> labels() {
        return labels;
    }

    /**
     * Returns the class whose code each word is, -1 for none.
     *
     * @throws CodeException A word has bits beyond the codes', or the file has no such decoder.
     */
    public int[] decodeEd(long[] words) {
        return decode(words, null);
    }

    /** Returns the class nearest to each word, -1 only without classes; as decodeEd. */
    public int[] decodeMhd(long[] words) {
        return decode(words, Plan.AUTO);
    }

    /** As decodeMhd(words), in a way of the caller's choice. */
    public int[] decodeMhd(long[] words, Plan plan) {
        return decode(words, demand(plan, "`plan`"));
    }

    private int[] decode(long[] words, Plan plan) {
        demand(words, "`words`");
        Opened file = Opened.open(opened, "index");
        Scratch scratch = pool.take();
        ByteBuffer asked = words(scratch, words);
        ByteBuffer ids = scratch.room(1, 4L * words.length, "`words`");
        int status = plan == null ? ed(file.bytes, file.view, asked, words.length, ids)
                : mhd(file.bytes, file.view, asked, words.length, plan.ordinal(), ids);
        EdgeException.check(status, "`words`");
        int[] found = new int[words.length];
        ids.asIntBuffer().get(found);
        pool.give(scratch);
        return found;
    }

    /** As decodeMhd, with distances. */
    public Nearest[] nearest(long[] words) {
        demand(words, "`words`");
        Opened file = Opened.open(opened, "index");
        Scratch scratch = pool.take();
        ByteBuffer asked = words(scratch, words);
        ByteBuffer room = scratch.room(1, (long) At.NEAREST * words.length, "`words`");
        EdgeException.check(margins(file.bytes, file.view, asked, words.length, room), "`words`");
        Nearest[] found = new Nearest[words.length];
        for (int i = 0; i < found.length; i++) {
            int at = i * At.NEAREST;
            found[i] = new Nearest(room.getInt(at + At.NEAREST_ID),
                    room.getInt(at + At.NEAREST_DISTANCE), room.getInt(at + At.RUNNER_UP));
        }
        pool.give(scratch);
        return found;
    }

    /** As decodeOrd(scores, AUTO, Fallback.SOFT). */
    public Ordered[] decodeOrd(float[] scores) {
        return decodeOrd(scores, AUTO, Fallback.SOFT);
    }

    /**
     * Returns the class c, in ±1, of largest z.c for each row of bits() real-valued scores z.
     *
     * @param scores Rows, one after the other.
     * @param maxLookups 1 to 65536, or AUTO, which ignores `fallback`.
     * @throws CodeException A score is NaN or infinite, or the file has no such decoder.
     * @throws ShapeException Not whole rows, or a number out of range.
     */
    public Ordered[] decodeOrd(float[] scores, int maxLookups, Fallback fallback) {
        demand(fallback, "`fallback`");
        if (maxLookups < 0 || maxLookups > At.LOOKUPS_MAX) {
            throw new ShapeException("1 to " + At.LOOKUPS_MAX + " look-ups, or AUTO",
                    String.valueOf(maxLookups), "`maxLookups`", "AUTO takes as many as pay");
        }
        return ordered(scores, maxLookups, fallback);
    }

    /** As decodeOrd, by comparing every class. */
    public Ordered[] decodeSoft(float[] scores) {
        return ordered(scores, -1, Fallback.NONE);
    }

    private Ordered[] ordered(float[] scores, int maxLookups, Fallback fallback) {
        demand(scores, "`scores`");
        Opened file = Opened.open(opened, "index");
        if (scores.length % bits != 0) {
            throw new ShapeException("rows of " + bits + " scores", scores.length + " scores",
                    "`scores`", "one score for each bit");
        }
        int n = scores.length / bits;
        Scratch scratch = pool.take();
        ByteBuffer asked = scratch.room(0, 4L * scores.length, "`scores`");
        asked.asFloatBuffer().put(scores);
        ByteBuffer answers = scratch.room(1, (long) At.ORDERED * n, "`scores`");
        long size = maxLookups < 0 ? 0 : ordRoom(maxLookups);
        ByteBuffer room = scratch.room(2, size, "`maxLookups`");
        EdgeException.check(ord(file.bytes, file.view, asked, n, maxLookups, fallback.ordinal(),
                room, size, answers), "`scores`");
        Ordered[] found = new Ordered[n];
        for (int i = 0; i < n; i++) {
            int at = i * At.ORDERED;
            found[i] = new Ordered(answers.getInt(at + At.ORDERED_ID),
                    answers.getDouble(at + At.PENALTY), answers.getInt(at + At.LOOKUPS),
                    answers.getInt(at + At.MET));
        }
        pool.give(scratch);
        return found;
    }

    /**
     * Returns the k stored codes nearest to a query, nearest first, ties by row.
     *
     * @param query One word up to 64 bits, else bits() / 64 of them.
     * @param k Fewer come back only if the index holds fewer.
     * @throws ShapeException Another number of words, or k out of range.
     * @throws CodeException Bits beyond the codes', or a file without its codes.
     */
    public Hit[] search(long[] query, int k) {
        demand(query, "`query`");
        Opened file = Opened.open(opened, "index");
        int wide = bits <= 64 ? 1 : bits / 64;
        if (query.length != wide || k < 0 || k > At.MAX_K) {
            throw new ShapeException(wide + " words and k up to " + At.MAX_K,
                    query.length + " words and k = " + k, "`query`", "a word holds 64 bits");
        }
        int n = (int) Math.min(k, size);
        if (n == 0) {
            return new Hit[0];
        }
        Scratch scratch = pool.take();
        ByteBuffer asked = words(scratch, query);
        ByteBuffer hits = scratch.room(1, (long) At.HIT * n, "`k`");
        long roomSize = searchRoom(1, n);
        ByteBuffer room = scratch.room(2, roomSize, "`k`");
        EdgeException.check(nearestCodes(file.bytes, file.view, asked, n, hits, room, roomSize),
                "`query`");
        Hit[] found = new Hit[n];
        for (int i = 0; i < n; i++) {
            int at = i * At.HIT;
            found[i] = new Hit(hits.getLong(at + At.HIT_ID), hits.getInt(at + At.HIT_DISTANCE));
        }
        pool.give(scratch);
        return found;
    }

    /** Lets go of the file; everything but bits(), size() and labels() then throws. */
    @Override
    public void close() {
        opened = null;
    }

    private static ByteBuffer words(Scratch scratch, long[] words) {
        ByteBuffer room = scratch.room(0, 8L * words.length, "`words`");
        room.asLongBuffer().put(words);
        return room;
    }

    private static <T> T demand(T given, String where) {
        if (given == null) {
            throw new ShapeException("a value", "null", where, "pass what is to be decoded");
        }
        return given;
    }

    private static native int openFile(ByteBuffer bytes, long size, int flags, ByteBuffer view);

    private static native int ed(ByteBuffer bytes, ByteBuffer view, ByteBuffer words, int n,
                                 ByteBuffer ids);

    private static native int mhd(ByteBuffer bytes, ByteBuffer view, ByteBuffer words, int n,
                                  int plan, ByteBuffer ids);

    private static native int margins(ByteBuffer bytes, ByteBuffer view, ByteBuffer words, int n,
                                      ByteBuffer nearest);

    private static native long ordRoom(int maxLookups);

    private static native int ord(ByteBuffer bytes, ByteBuffer view, ByteBuffer scores, int n,
                                  int maxLookups, int fallback, ByteBuffer room, long roomSize,
                                  ByteBuffer answers);

    private static native long searchRoom(int n, int k);

    private static native int nearestCodes(ByteBuffer bytes, ByteBuffer view, ByteBuffer query,
                                           int k, ByteBuffer hits, ByteBuffer room, long roomSize);
}
