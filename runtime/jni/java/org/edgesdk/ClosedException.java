package org.edgesdk;

/** An object was used after its close(). */
public final class ClosedException extends EdgeException {
    private static final long serialVersionUID = 1L;

    /** Makes an error; arguments as in {@link EdgeException}. */
    public ClosedException(String expected, String got, String where, String hint) {
        super(expected, got, where, hint);
    }
}
