package org.edgesdk;

/**
 * Every error this library raises on purpose: expected, got, where, and a hint.
 *
 * <p>The subclasses are those of {@code edge_sdk/errors.py}, and so are the words.
 */
public class EdgeException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final String expected;
    private final String got;
    private final String where;
    private final String hint;

    /**
     * Makes an error.
     *
     * @param expected What would have been right.
     * @param got What was there instead, or null.
     * @param where The argument or file at fault, or null.
     * @param hint What to do about it.
     */
    public EdgeException(String expected, String got, String where, String hint) {
        super(message(expected, got, where, hint));
        this.expected = expected;
        this.got = got;
        this.where = where;
        this.hint = hint;
    }

    /** Returns what would have been right. */
    public final String expected() {
        return expected;
    }

    /** Returns what was there instead, or null. */
    public final String got() {
        return got;
    }

    /** Returns the argument or file at fault, or null. */
    public final String where() {
        return where;
    }

    /** Returns what to do about it. */
    public final String hint() {
        return hint;
    }

    private static String message(String expected, String got, String where, String hint) {
        StringBuilder text = new StringBuilder("expected ").append(expected);
        if (got != null) {
            text.append(", got ").append(got);
        }
        if (where != null) {
            text.append(" - at ").append(where);
        }
        return text.append("\nhint: ").append(hint).toString();
    }

    /** Returns the exception for a status of the core, as {@code errors.from_status} does. */
    static EdgeException fromStatus(int status, String where) {
        EdgeRuntime.load();
        String name = EdgeRuntime.statusName(status);
        String text = EdgeRuntime.statusText(status);
        switch (name) {
            case "ERR_WIDTH":
                return new CodeException("codes that fit the index's bits", text, where,
                        "pass codes below 2**bits");
            case "ERR_NOT_FINITE":
                return new CodeException("finite numbers", text, where,
                        "look where the model makes NaN");
            case "ERR_UNTRAINED":
                return new ShapeException("a dim the head was trained for", text, where,
                        "see dims()");
            case "ERR_FORMAT":
                return new FormatException("a file of this kind, undamaged", text, where,
                        "write it again");
            case "ERR_VERSION":
                return new VersionException("a file of this version or older", text, where,
                        "update edge-inference-sdk");
            case "ERR_ABSENT":
                return new CodeException("an index built for this decoder", text, where,
                        "build it again with this decoder");
            default:
                return new ShapeException("arguments within range", text, where,
                        "see the documentation");
        }
    }

    /** Throws unless `status` is the core's "no error". */
    static void check(int status, String where) {
        if (status != 0) {
            throw fromStatus(status, where);
        }
    }
}
