package org.edgesdk;

/** An array or buffer has the wrong size or kind, or a number is out of range. */
public final class ShapeException extends EdgeException {
    private static final long serialVersionUID = 1L;

    /** Makes an error; arguments as in {@link EdgeException}. */
    public ShapeException(String expected, String got, String where, String hint) {
        super(expected, got, where, hint);
    }
}
